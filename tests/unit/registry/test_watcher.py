"""Another process's changes are seen, and a database that fails stops no request."""

import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from service.errors import NoLiveVersion, StoreFull, UnknownAdapter
from service.registry.records import TenantSettings, Usage
from service.registry.registry import Registry
from service.registry.watcher import Watcher
from tests.fakes.manifests import BACKBONE, manifest_of
from tests.fakes.packages import package_of
from tests.fakes.patience import until
from tests.unit.registry.conftest import FakeClock

MANIFEST = manifest_of("bert", endings=("layer.0.attention.self.query",))
FILE = "registry.sqlite3"
POLL_S = 0.01


class Counted:
    """Counts calls."""

    def __init__(self) -> None:
        self.changes = 0
        self.failures = 0

    def change(self) -> None:
        self.changes += 1

    def fail(self) -> None:
        self.failures += 1


@pytest.fixture
def counted() -> Counted:
    return Counted()


@pytest.fixture
def watching(registry: Registry, state: Path, counted: Counted) -> Iterator[Registry]:
    """Another registry on the same state, which watches; its writes give up soon."""
    assert registry.tenants()
    other = Registry.open(state, BACKBONE, busy_s=0.05)
    other.watch(POLL_S, counted.change, counted.fail)
    yield other
    other.close()


def live_version(registry: Registry) -> int | None:
    try:
        return registry.route("acme", "routing", None).version
    except (UnknownAdapter, NoLiveVersion):
        return None


def test_what_another_changes_is_seen_without_asking(
    registry: Registry, watching: Registry, counted: Counted
) -> None:
    registry.publish("acme", "routing", package_of(MANIFEST), {}, "ann")
    registry.set_rollout("acme", "routing", {"live": 1}, None, "ann")
    until(lambda: live_version(watching) == 1)
    record, key = registry.create_key("acme", ["predict"], "ann")
    until(lambda: watching.authenticate(key) == record)
    registry.revoke_key("acme", record.id, "ann")
    until(lambda: watching.authenticate(key) is None)
    settings = TenantSettings(weight=5.0)
    registry.put_tenant("acme", settings, "ann")
    until(lambda: watching.tenant_settings("acme") == settings)
    assert watching.route("acme", "routing", None).settings == settings
    assert counted.changes >= 1
    assert counted.failures == 0


def test_two_that_change_at_once_end_up_with_the_same(
    state: Path, registry: Registry, watching: Registry, counted: Counted
) -> None:
    registry.watch(POLL_S, counted.change, counted.fail)

    def change(who: Registry, name: str) -> None:
        for i in range(30):
            who.put_tenant(f"{name}-{i}", TenantSettings(), "ann")

    with ExitStack() as stack:
        patient = Registry.open(state, BACKBONE)
        stack.callback(patient.close)
        patient.watch(POLL_S, counted.change, counted.fail)
        threads = [
            threading.Thread(target=change, args=(who, name))
            for who, name in ((registry, "a"), (patient, "b"))
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for who in (registry, patient, watching):
            until(lambda who=who: len(who._keeper.view.routes.tenants) == 61)  # type: ignore[misc]
        assert registry._keeper.view == patient._keeper.view == watching._keeper.view
    assert counted.failures == 0


def test_usage_is_no_change(registry: Registry, watching: Registry, counted: Counted) -> None:
    registry.put_tenant("globex", TenantSettings(), "ann")
    until(lambda: counted.changes == 1)
    day = FakeClock().now.date()
    registry.add_usage({("acme", day): Usage(1, 1, 1, 1.0, 0)})
    watching.add_usage({("acme", day): Usage(1, 1, 1, 1.0, 0)})
    watching.put_tenant("initech", TenantSettings(), "ann")  # its own, so it knows already
    registry.put_tenant("umbrella", TenantSettings(), "ann")
    until(lambda: counted.changes == 2)
    assert len(watching._keeper.view.routes.tenants) == 4


def test_requests_go_on_while_another_holds_the_registry(
    registry: Registry, watching: Registry, counted: Counted, state: Path
) -> None:
    registry.publish("acme", "routing", package_of(MANIFEST), {}, "ann")
    registry.set_rollout("acme", "routing", {"live": 1}, None, "ann")
    _, key = registry.create_key("acme", ["predict"], "ann")
    until(lambda: watching.authenticate(key) is not None)
    with watching._database.read() as connection:
        assert connection.exec_driver_sql("PRAGMA busy_timeout").scalar() == 50
    with closing(sqlite3.connect(state / FILE, isolation_level=None)) as holder:
        holder.execute("BEGIN EXCLUSIVE")
        for write in (
            lambda: watching.put_tenant("globex", TenantSettings(), "ann"),
            lambda: watching.set_rollout("acme", "routing", {"live": None}, None, "ann"),
            lambda: watching.create_key("acme", ["predict"], "ann"),
            lambda: watching.add_usage({("acme", FakeClock().now.date()): Usage(1, 1, 1, 1, 1)}),
        ):
            with pytest.raises(StoreFull, match="another process holds it"):
                write()
            assert watching.route("acme", "routing", None).version == 1
            assert watching.authenticate(key) is not None
        assert len(watching.keys("acme")) == 1
        assert not watching.refresh()
        holder.execute("ROLLBACK")
    assert counted.failures == 0
    assert watching.put_tenant("globex", TenantSettings(), "ann")[1]


@pytest.mark.usefixtures("registry")
def test_others_can_be_followed_while_an_own_change_waits(state: Path) -> None:
    """The own change holds nothing that following others needs."""
    slow = Registry.open(state, BACKBONE)
    with closing(sqlite3.connect(state / FILE, isolation_level=None)) as holder:
        holder.execute("BEGIN IMMEDIATE")
        waiting = threading.Thread(
            target=lambda: slow.put_tenant("globex", TenantSettings(), "ann")
        )
        waiting.start()
        until(slow._keeper._turn.locked)
        assert not slow._keeper._lock.locked()
        assert not slow.refresh()
        assert waiting.is_alive()
        holder.execute("ROLLBACK")
    waiting.join()
    assert slow.tenant_settings("globex") == TenantSettings()
    slow.close()


def test_what_cannot_be_asked_is_asked_again(tmp_path: Path, counted: Counted) -> None:
    path = tmp_path / FILE
    refreshed = threading.Event()

    def refresh() -> bool:
        refreshed.set()
        return True

    watcher = Watcher(path, refresh, POLL_S, counted.change, counted.fail)
    until(lambda: counted.failures >= 3)
    assert not refreshed.is_set()
    assert not path.exists()  # asking makes no file
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE a (b)")
    until(refreshed.is_set)
    watcher.stop()
    watcher.stop()
    assert counted.changes == 1


@pytest.mark.usefixtures("registry")
def test_what_cannot_be_read_is_read_again_though_nothing_changed_since(
    state: Path, counted: Counted
) -> None:
    attempts = []

    def refresh() -> bool:
        attempts.append(1)
        if len(attempts) < 4:
            raise ValueError("damaged")
        return True

    watcher = Watcher(state / FILE, refresh, POLL_S, counted.change, counted.fail)
    until(lambda: counted.changes == 1)
    watcher.stop()
    assert (counted.failures, len(attempts)) == (3, 4)


@pytest.mark.usefixtures("registry")
def test_where_nobody_writes_nothing_is_read(state: Path, counted: Counted) -> None:
    attempts = []

    def refresh() -> bool:
        attempts.append(1)
        return False

    watcher = Watcher(state / FILE, refresh, POLL_S, counted.change, counted.fail)
    until(lambda: len(attempts) == 1)
    time.sleep(20 * POLL_S)
    watcher.stop()
    assert (len(attempts), counted.changes, counted.failures) == (1, 0, 0)


def test_each_answer_is_told_and_no_failure_is(tmp_path: Path, counted: Counted) -> None:
    path, answers = tmp_path / FILE, []
    watcher = Watcher(
        path, lambda: False, POLL_S, counted.change, counted.fail, lambda: answers.append(1)
    )
    until(lambda: counted.failures >= 3)
    assert not answers
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE a (b)")
    until(lambda: len(answers) >= 3)
    watcher.stop()


def test_closing_ends_the_thread(state: Path) -> None:
    registry = Registry.open(state, BACKBONE)
    watcher = registry.watch(60.0, lambda: None, lambda: None)
    begun = time.monotonic()
    registry.close()
    assert not watcher._thread.is_alive()
    assert time.monotonic() - begun < 30


@pytest.mark.usefixtures("registry")
def test_a_registry_that_was_moved_away_does_not_answer_until_it_is_back(
    state: Path, counted: Counted
) -> None:
    watcher = Watcher(state / FILE, lambda: True, POLL_S, counted.change, counted.fail)
    until(lambda: counted.changes == 1)
    (state / FILE).rename(state / "elsewhere")
    until(lambda: counted.failures >= 3)
    assert not (state / FILE).exists()
    (state / "elsewhere").rename(state / FILE)
    until(lambda: counted.changes == 2)
    watcher.stop()


def test_what_would_be_written_into_a_file_that_nobody_opens_again_is_refused(state: Path) -> None:
    registry = Registry.open(state, BACKBONE)
    file, away = state / FILE, state / "elsewhere"
    file.rename(away)
    with pytest.raises(StoreFull, match="is gone: put registry"):
        registry.put_tenant("acme", TenantSettings(), "ann")
    file.write_bytes(b"")
    with pytest.raises(StoreFull, match="was replaced by another"):
        registry.put_tenant("acme", TenantSettings(), "ann")
    away.replace(file)
    registry.put_tenant("acme", TenantSettings(), "ann")
    registry.close()
    opened = Registry.open(state, BACKBONE)
    assert [tenant.name for tenant in opened.tenants()] == ["acme"]
    opened.close()
