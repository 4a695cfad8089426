import errno
import resource
import shutil
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from sqlalchemy.exc import OperationalError

from service.errors import AdapterUnreadable, InvalidSettings, StoreFull
from service.registry.database import refusing_full
from service.registry.records import TenantSettings
from service.registry.registry import Registry
from service.uploads.package import Package
from tests.fakes.manifests import BACKBONE, manifest_of
from tests.fakes.packages import CONFIG, WEIGHTS, package_of
from tests.unit.registry.conftest import FakeClock

MANIFEST = manifest_of("bert", endings=("layer.0.attention.self.query",))


def package(seed: int = 0) -> Package:
    return package_of(MANIFEST, seed=seed, others={"README.md": b"card %d" % seed})


def files_below(state: Path) -> set[str]:
    return {
        str(path.relative_to(state / "store"))
        for path in (state / "store").rglob("*")
        if path.is_file() and path.name != "lock"
    }


def test_files_lie_where_their_digests_say(registry: Registry, state: Path) -> None:
    version, _ = registry.publish("acme", "routing", package(), {}, "ann")
    name = version.digest.removeprefix("sha256:")
    card = version.extras["README.md"].removeprefix("sha256:")
    folder = f"adapters/{name[:2]}/{name}"
    assert files_below(state) == {
        f"{folder}/identity.json",
        f"{folder}/{CONFIG}",
        f"{folder}/{WEIGHTS}",
        f"files/{card[:2]}/{card}",
    }
    assert registry._store.folder(version.digest) == state / "store" / folder


@pytest.mark.parametrize("name", [CONFIG, WEIGHTS, "identity.json"])
@pytest.mark.parametrize("damage", ["one bit", "cut off", "gone", "empty"])
def test_a_damaged_file_is_found_and_the_adapter_named(
    registry: Registry, name: str, damage: str
) -> None:
    sent = package()
    registry.publish("acme", "routing", sent, {}, "ann")
    path = registry._store.folder(sent.digest) / name
    data = bytearray(path.read_bytes())
    if damage == "gone":
        path.unlink()
    else:
        if damage == "one bit":
            at = data.index(b"8") if name == CONFIG else len(data) // 2
            data[at] ^= 1
        lengths = {"one bit": len(data), "cut off": len(data) - 5, "empty": 0}
        path.write_bytes(data[: lengths[damage]])
    with pytest.raises(AdapterUnreadable, match=sent.digest):
        registry.load_adapter(sent.digest, MANIFEST)


@pytest.mark.parametrize("config", [b"[]", b'{"r": "8"}', b'{"r": 99999999999999999999999999999}'])
def test_a_config_of_other_kinds_is_found(registry: Registry, config: bytes) -> None:
    sent = package()
    registry.publish("acme", "routing", sent, {}, "ann")
    (registry._store.folder(sent.digest) / CONFIG).write_bytes(config)
    with pytest.raises(AdapterUnreadable, match=sent.digest):
        registry.load_adapter(sent.digest, MANIFEST)


def test_an_adapter_that_does_not_fit_the_bundle_is_named(registry: Registry) -> None:
    sent = package()
    registry.publish("acme", "routing", sent, {}, "ann")
    with pytest.raises(AdapterUnreadable, match=f"{sent.digest} does not fit"):
        registry.load_adapter(sent.digest, manifest_of("bert", max_rank=2))


def test_a_damaged_adapter_is_mended_by_sending_it_again(registry: Registry) -> None:
    sent = package()
    registry.publish("acme", "routing", sent, {}, "ann")
    (registry._store.folder(sent.digest) / WEIGHTS).write_bytes(b"")
    assert not registry.publish("acme", "routing", sent, {}, "ann")[1]
    assert registry.load_adapter(sent.digest, MANIFEST).digest == sent.digest


def test_an_altered_card_is_found(registry: Registry, state: Path) -> None:
    version, _ = registry.publish("acme", "routing", package(), {}, "ann")
    (card,) = (state / "store" / "files").glob("*/*")
    card.write_bytes(b"other")
    with pytest.raises(AdapterUnreadable, match=version.extras["README.md"]):
        registry.extra_file(version, "README.md")
    card.unlink()
    with pytest.raises(AdapterUnreadable, match=version.extras["README.md"]):
        registry.extra_file(version, "README.md")


def test_nothing_is_left_of_what_was_on_its_way(registry: Registry, state: Path) -> None:
    registry.publish("acme", "routing", package(), {}, "ann")
    assert list((state / "store" / "tmp").iterdir()) == []


def test_what_no_version_names_is_swept_when_the_registry_opens(
    registry: Registry, state: Path
) -> None:
    sent = package(0)
    registry.publish("acme", "routing", sent, {}, "ann")
    wanted = files_below(state)
    store = state / "store"
    orphan = "a" * 64
    shutil.copytree(registry._store.folder(sent.digest), store / "adapters" / "aa" / orphan)
    (store / "files" / "aa").mkdir()
    (store / "files" / "aa" / orphan).write_bytes(b"x")
    (store / "tmp" / "half").mkdir()
    (store / "tmp" / "half" / WEIGHTS).write_bytes(b"x")
    registry.close()
    Registry.open(state, BACKBONE).close()
    assert files_below(state) == wanted


@pytest.mark.usefixtures("registry")
def test_nothing_is_swept_while_another_process_has_the_store_open(state: Path) -> None:
    on_its_way = state / "store" / "tmp" / "half"
    on_its_way.mkdir()
    Registry.open(state, BACKBONE).close()
    assert on_its_way.exists()


def test_the_files_of_a_deleted_version_stay_for_requests_on_their_way(
    registry: Registry, state: Path, clock: FakeClock
) -> None:
    for seed in range(2):
        registry.publish("acme", "routing", package(seed), {}, "ann")
    registry.publish("acme", "spam", package(1), {}, "ann")
    kept = files_below(state)
    registry.delete_adapter("acme", "routing", "ann")
    assert registry.load_adapter(package(0).digest, MANIFEST).digest == package(0).digest
    clock.pass_s(200)
    registry.publish("acme", "other", package(2), {}, "ann")
    assert not registry._store.folder(package(0).digest).exists()
    assert registry.load_adapter(package(1).digest, MANIFEST).digest == package(1).digest
    assert registry.load_adapter(package(2).digest, MANIFEST).digest == package(2).digest
    gone = kept - files_below(state)
    assert len(gone) == 4  # the adapter's three files and its card


def test_the_files_of_a_version_that_came_back_stay(registry: Registry, clock: FakeClock) -> None:
    registry.publish("acme", "routing", package(0), {}, "ann")
    registry.delete_adapter("acme", "routing", "ann")
    clock.pass_s(100)
    registry.publish("acme", "routing", package(0), {}, "ann")
    clock.pass_s(100)
    registry.publish("acme", "other", package(1), {}, "ann")
    assert registry.load_adapter(package(0).digest, MANIFEST).digest == package(0).digest


def test_a_file_that_is_no_registry_is_refused(state: Path) -> None:
    state.mkdir()
    (state / "registry.sqlite3").write_bytes(b"something else" * 100)
    with pytest.raises(InvalidSettings, match="is no registry"):
        Registry.open(state, BACKBONE)


@pytest.mark.parametrize("taken", ["", "store"])
def test_a_state_directory_that_cannot_be_one_is_refused_and_named(state: Path, taken: str) -> None:
    (state / taken).parent.mkdir(exist_ok=True)
    (state / taken).write_bytes(b"a file")
    with pytest.raises(InvalidSettings, match=f"state directory {state} cannot be used"):
        Registry.open(state, BACKBONE)


def test_another_schema_is_refused_with_both_named(registry: Registry, state: Path) -> None:
    registry.close()
    with sqlite3.connect(state / "registry.sqlite3") as connection:
        connection.execute("UPDATE about SET value = '99' WHERE key = 'schema'")
    connection.close()
    with pytest.raises(
        InvalidSettings, match="has schema 99, and this version of tenantry reads 1"
    ):
        Registry.open(state, BACKBONE)


def test_commits_reach_the_disk_before_they_return(registry: Registry) -> None:
    with registry._database.read() as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2


def test_a_full_database_is_told_and_nothing_is_half_there(registry: Registry, state: Path) -> None:
    registry.publish("acme", "routing", package(0), {}, "ann")
    before = files_below(state)
    with registry._database.read() as connection:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
        connection.exec_driver_sql(f"PRAGMA max_page_count={pages}")
    report = {"large": "x" * 100_000}
    with pytest.raises(StoreFull, match="the disk is full"):
        registry.publish("acme", "routing", package(1), report, "ann")
    assert files_below(state) == before
    assert len(registry.versions("acme", "routing")) == 1
    assert registry.route("acme", "routing", 1).digest == package(0).digest


@contextmanager
def files_no_larger_than(size: int) -> Iterator[None]:
    """Let the system refuse to write beyond a size, as it does on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_is_told_and_nothing_is_half_there(registry: Registry, state: Path) -> None:
    registry.publish("acme", "routing", package(0), {}, "ann")
    before = files_below(state)
    large = package(1)
    with files_no_larger_than(1_000), pytest.raises(StoreFull, match="File too large"):
        registry.publish("acme", "routing", large, {}, "ann")
    assert files_below(state) == before
    assert list((state / "store" / "tmp").iterdir()) == []
    assert registry.publish("acme", "routing", large, {}, "ann")[0].version == 2


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EROFS])
def test_a_disk_that_takes_no_more_is_told(code: int) -> None:
    with pytest.raises(StoreFull, match="cannot be written"), refusing_full():
        raise OSError(code, "no")


def test_other_errors_are_not_mistaken_for_a_full_disk() -> None:
    with pytest.raises(PermissionError), refusing_full():
        raise PermissionError(errno.EACCES, "no")
    with pytest.raises(OperationalError), refusing_full():
        raise OperationalError("x", {}, sqlite3.OperationalError("no such table"))


def test_a_registry_that_another_process_holds_is_told(registry: Registry, state: Path) -> None:
    with registry._database.read() as connection:  # the pool's one idle connection
        connection.exec_driver_sql("PRAGMA busy_timeout=50")
    holder = sqlite3.connect(state / "registry.sqlite3", isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreFull, match="another process holds it"):
        registry.put_tenant("globex", TenantSettings(), "ann")
    holder.execute("ROLLBACK")
    holder.close()
    assert registry.put_tenant("globex", TenantSettings(), "ann")[1]


def test_a_state_directory_that_is_made_is_its_owners_alone(tmp_path: Path) -> None:
    with closing(Registry.open(tmp_path / "state", BACKBONE)):
        assert stat.S_IMODE((tmp_path / "state").stat().st_mode) == 0o700


@pytest.mark.parametrize("left", ["nothing", "an empty file", "what knows nothing"])
def test_a_start_without_the_registry_removes_no_adapter(
    registry: Registry, state: Path, left: str
) -> None:
    registry.publish("acme", "routing", package(), {}, "ann")
    registry.close()
    for file in state.glob("registry.sqlite3*"):
        file.unlink()
    if left == "an empty file":
        (state / "registry.sqlite3").touch()
    if left == "what knows nothing":  # as a small one whose -wal is lost
        elsewhere = state.parent / "elsewhere"
        Registry.open(elsewhere, BACKBONE).close()
        shutil.copy(elsewhere / "registry.sqlite3", state)
    kept = files_below(state)
    with pytest.raises(InvalidSettings, match="names them, is missing or empty"):
        Registry.open(state, BACKBONE)
    assert files_below(state) == kept != set()
