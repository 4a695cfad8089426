"""What is followed line by line is what would be read anew, whoever changed it and however."""

import random
import sqlite3
from collections.abc import Callable
from contextlib import ExitStack, closing, suppress
from pathlib import Path

import pytest
from sqlalchemy import event

from service.engine.errors import Problem, TenantryError
from service.events.ids import reference
from service.registry import view as views
from service.registry.records import Named, TenantSettings
from service.registry.registry import Registry
from service.registry.view import View, read_view
from tests.fakes.manifests import BACKBONE, manifest_of
from tests.fakes.packages import package_of

MANIFEST = manifest_of("bert", endings=("layer.0.attention.self.query",))
PACKAGES = [package_of(MANIFEST, seed=seed) for seed in range(4)]
FILE = "registry.sqlite3"


def read_anew(registry: Registry) -> View:
    with registry._database.read() as connection:
        return read_view(connection, BACKBONE)


WEIGHTS = (3, 16, 10, 3, 3, 2, 1, 1, 2, 1, 1, 1)


class Operators:
    """People who change things at random, and often what cannot be changed."""

    def __init__(self, registries: list[Registry], seed: int) -> None:
        self.draw = random.Random(seed)
        self.registries = registries

    def change(self) -> None:
        registry = self.draw.choice(self.registries)
        actions: list[Callable[[Registry, str, str], object]] = [
            lambda r, t, _: r.put_tenant(t, TenantSettings(weight=self.draw.choice([1, 2])), "x"),
            lambda r, t, a: r.publish(t, a, self.draw.choice(PACKAGES), {}, "x"),
            lambda r, t, a: r.set_rollout(t, a, self.document(), None, "x"),
            lambda r, t, a: r.set_rollout(t, a, {"live": None}, None, "x"),
            lambda r, t, a: r.rollback(t, a, None, "x"),
            lambda r, t, a: r.delete_version(t, a, self.draw.randint(1, 3), "x"),
            lambda r, t, a: r.delete_adapter(t, a, "x"),
            self.close_down,
            lambda r, t, _: r.create_key(t, ["predict"], "x"),
            lambda r, t, _: r.revoke_key(t, self.draw.choice(r.keys(t)).id, "x"),
            lambda r, t, a: r.note_refused(t, a, [Problem("a", "b")], "x"),
            lambda r, _, __: r.note_quarantined(self.draw.choice(PACKAGES).digest, "x"),
        ]
        tenant, adapter = self.draw.choice("abc"), self.draw.choice("pq")
        with suppress(TenantryError, IndexError):  # there may be nothing to delete or revoke
            self.draw.choices(actions, WEIGHTS)[0](registry, tenant, adapter)

    def close_down(self, registry: Registry, tenant: str, _: str) -> None:
        for adapter in registry.adapters(tenant):
            registry.set_rollout(tenant, adapter.adapter, {"live": None}, None, "x")
        registry.delete_tenant(tenant, "x")

    def document(self) -> dict[str, object]:
        first, second, third = self.draw.sample(range(1, 5), 3)
        document: dict[str, object] = {"live": first}
        if self.draw.random() < 0.5:
            document["canary"] = {"version": second, "percent": 30}
        if self.draw.random() < 0.5:
            document["shadow"] = [third]
        return document


@pytest.mark.parametrize("seed", range(3))
def test_following_gives_what_reading_anew_would(state: Path, seed: int) -> None:
    with ExitStack() as stack:
        registries = [Registry.open(state, BACKBONE) for _ in range(3)]
        for registry in registries:
            stack.callback(registry.close)
        operators = Operators(registries[:2], seed)
        for _ in range(60):
            for _ in range(operators.draw.randint(1, 8)):
                operators.change()
            for registry in registries:
                registry.refresh()
                assert registry._keeper.view == read_anew(registry)
        done = {line.action for line in registries[2].audit(limit=1_000).lines}
        assert done == ACTIONS


ACTIONS = {
    "tenant.created",
    "tenant.changed",
    "tenant.deleted",
    "version.published",
    "version.deleted",
    "version.refused",
    "version.quarantined",
    "rollout.set",
    "rollout.back",
    "key.created",
    "key.revoked",
}


def test_an_own_change_takes_over_what_others_changed_before(
    registry: Registry, state: Path
) -> None:
    other = Registry.open(state, BACKBONE)
    registry.publish("acme", "routing", PACKAGES[0], {}, "ann")
    _, key = registry.create_key("acme", ["predict"], "ann")
    other.put_tenant("globex", TenantSettings(), "bob")
    assert other.route("acme", "routing", 1).digest == PACKAGES[0].digest
    assert other.authenticate(key) is not None
    assert not other.refresh()
    other.close()


def test_where_nothing_changed_the_view_stays(registry: Registry) -> None:
    before = registry._keeper.view
    assert not registry.refresh()
    assert registry._keeper.view is before


def test_a_change_that_fails_is_not_seen(registry: Registry) -> None:
    before = registry._keeper.view

    def fail() -> None:
        with registry._keeper.change("x") as change:
            change.log("tenant.created", tenant="nobody")
            raise RuntimeError("no")

    with pytest.raises(RuntimeError, match="no"):
        fail()
    assert registry._keeper.view is before
    assert registry.audit("nobody").lines == ()


def test_a_change_that_cannot_be_committed_is_not_seen(registry: Registry) -> None:
    _, key = registry.create_key("acme", ["predict"], "ann")
    record = registry.authenticate(key)
    assert record is not None

    def fail(_: object) -> None:
        assert registry.authenticate(key) == record
        raise sqlite3.OperationalError("the power failed")

    event.listen(registry._database._engine, "commit", fail)
    with pytest.raises(sqlite3.OperationalError, match="the power failed"):
        registry.revoke_key("acme", record.id, "ann")
    event.remove(registry._database._engine, "commit", fail)
    assert registry.authenticate(key) == record
    assert registry.keys("acme") == [record]


def test_a_request_holds_on_to_the_moment_that_it_saw(registry: Registry) -> None:
    for package in PACKAGES[:2]:
        registry.publish("acme", "routing", package, {}, "ann")
    registry.set_rollout("acme", "routing", {"live": 1}, None, "ann")
    routes = registry._keeper.view.routes
    registry.set_rollout("acme", "routing", {"live": 2}, None, "ann")
    registry.set_rollout("acme", "routing", {"live": None}, None, "ann")
    registry.delete_version("acme", "routing", 1, "ann")
    assert routes.find("acme", "routing", None).version == 1
    assert routes.find("acme", "routing", 1).digest == PACKAGES[0].digest


@pytest.mark.parametrize("lines_max", [1, 2, 5])
def test_too_many_lines_are_read_anew(
    registry: Registry, state: Path, monkeypatch: pytest.MonkeyPatch, lines_max: int
) -> None:
    other = Registry.open(state, BACKBONE)
    for i in range(5):
        registry.put_tenant(f"t{i}", TenantSettings(), "ann")
    monkeypatch.setattr(views, "_LINES_MAX", lines_max)
    assert other.refresh()
    assert other._keeper.view == read_anew(registry)
    other.close()


def put_back(state: Path, copy: Path) -> None:
    with (
        closing(sqlite3.connect(copy)) as source,
        closing(sqlite3.connect(state / FILE)) as target,
    ):
        source.backup(target)


def test_a_database_that_was_put_back_is_read_anew(
    registry: Registry, state: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "copy"
    with (
        closing(sqlite3.connect(state / FILE)) as source,
        closing(sqlite3.connect(copy)) as target,
    ):
        source.backup(target)
    _, key = registry.create_key("acme", ["predict"], "ann")
    registry.put_tenant("globex", TenantSettings(), "ann")
    put_back(state, copy)
    assert registry.refresh()
    assert registry.authenticate(key) is None
    assert registry._keeper.view == read_anew(registry)
    assert [tenant.name for tenant in registry.tenants()] == ["acme"]


def test_another_history_of_the_same_length_is_told_apart(registry: Registry, state: Path) -> None:
    registry.put_tenant("globex", TenantSettings(), "ann")
    with closing(sqlite3.connect(state / FILE)) as connection:
        connection.execute("DELETE FROM tenants WHERE name = 'globex'")
        connection.execute("UPDATE audit SET at = '2025-03-02' WHERE tenant = 'globex'")
        connection.commit()
    assert registry.refresh()
    assert registry._keeper.view == read_anew(registry)


def test_lines_that_are_gone_are_no_reason_to_miss_a_change(
    registry: Registry, state: Path
) -> None:
    other = Registry.open(state, BACKBONE)
    registry.put_tenant("globex", TenantSettings(), "ann")
    registry.put_tenant("initech", TenantSettings(), "ann")
    with closing(sqlite3.connect(state / FILE)) as connection:
        connection.execute("DELETE FROM audit WHERE tenant = 'globex'")
        connection.commit()
    assert other.refresh()
    assert other.tenant_settings("globex") == TenantSettings()
    other.close()


def test_a_reference_stands_for_its_version_for_ever(registry: Registry, state: Path) -> None:
    registry.publish("acme", "routing", PACKAGES[0], {}, "ann")
    made = reference("acme", "routing", 1)
    named = Named("acme", "routing", 1, PACKAGES[0].digest, PACKAGES[0].metadata.labels, False)
    assert registry.find_reference(made) == named
    assert registry.find_reference(reference("acme", "routing", 2)) is None
    registry.delete_tenant("acme", "ann")
    buried = Named("acme", "routing", 1, named.digest, named.labels, True)
    assert registry.find_reference(made) == buried
    registry.close()
    again = Registry.open(state, "sha256:" + "c" * 64)  # whatever bundle is served
    assert again.find_reference(made) == buried
    again.close()


def test_a_tenant_has_settings_as_long_as_it_is_there(registry: Registry) -> None:
    assert registry.tenant_settings("acme") == TenantSettings()
    settings = TenantSettings(weight=3.0)
    registry.put_tenant("acme", settings, "ann")
    assert registry.tenant_settings("acme") == settings
    registry.delete_tenant("acme", "ann")
    with pytest.raises(TenantryError, match="there is no tenant 'acme'"):
        registry.tenant_settings("acme")
