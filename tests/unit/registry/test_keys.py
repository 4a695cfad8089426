import hashlib
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from service.errors import UnacceptableRequest, UnknownKey, UnknownTenant
from service.registry.records import KeyRecord, RegistryLimits, TenantSettings
from service.registry.registry import Registry
from tests.fakes.manifests import BACKBONE


def test_a_key_opens_its_tenant_with_its_scopes(registry: Registry) -> None:
    record, key = registry.create_key("acme", ["predict", "publish"], "ann")
    assert re.fullmatch(r"tk_[0-9a-f]{16}_[A-Za-z0-9_-]{43}", key)
    assert record == KeyRecord(
        key[3:19],
        "acme",
        frozenset({"predict", "publish"}),
        "2025-03-01T00:00:00.000000+00:00",
        "ann",
    )
    assert registry.authenticate(key) == record
    assert registry.keys("acme") == [record]


def test_each_key_opens_what_it_is_for(registry: Registry) -> None:
    registry.put_tenant("globex", TenantSettings(), "ann")
    made = [registry.create_key(("acme", "globex")[i % 2], ["predict"], "ann") for i in range(20)]
    keys = [key for _, key in made]
    assert len({key[:19] for key in keys}) == len({key[20:] for key in keys}) == 20
    for record, key in made:
        assert registry.authenticate(key) == record


def test_what_is_not_a_key_opens_nothing(registry: Registry) -> None:
    _, key = registry.create_key("acme", ["predict"], "ann")
    _, other = registry.create_key("acme", ["predict"], "ann")
    last = "B" if key[-1] == "A" else "A"
    for wrong in (
        "",
        "tk_",
        key[:-1],
        key + "A",
        key[:-1] + last,
        key[:19],
        key.upper(),
        f" {key}",
        f"{key}\n",
        key[:19] + other[19:],
        f"tk_{'0' * 16}_{key[20:]}",
        key.replace("tk_", "tk-"),
        "ä" * len(key),
        "\udcff" * len(key),
    ):
        assert registry.authenticate(wrong) is None, wrong
    assert registry.authenticate(key) is not None


def test_a_key_is_written_nowhere(registry: Registry, state: Path) -> None:
    _, key = registry.create_key("acme", ["admin"], "ann")
    secret = key[20:].encode()
    with registry._database.read() as connection:
        kept = connection.exec_driver_sql("SELECT hash FROM keys").scalar_one()
    assert kept == hashlib.sha256(key.encode()).hexdigest()
    registry.close()
    for path in state.rglob("*"):
        assert path.is_dir() or secret not in path.read_bytes()


def test_a_revoked_key_opens_nothing_at_once(registry: Registry, state: Path) -> None:
    first, key = registry.create_key("acme", ["predict"], "ann")
    second, other = registry.create_key("acme", ["predict"], "ann")
    registry.revoke_key("acme", first.id, "bob")
    assert registry.authenticate(key) is None
    assert registry.authenticate(other) == second
    assert registry.keys("acme") == [second]
    with pytest.raises(UnknownKey, match=first.id):
        registry.revoke_key("acme", first.id, "bob")
    registry.close()
    again = Registry.open(state, BACKBONE)
    assert again.authenticate(key) is None
    assert again.authenticate(other) == second
    again.close()


def test_a_key_of_another_tenant_cannot_be_revoked(registry: Registry) -> None:
    registry.put_tenant("globex", TenantSettings(), "ann")
    record, key = registry.create_key("globex", ["predict"], "ann")
    with pytest.raises(UnknownKey, match="the tenant acme has no key"):
        registry.revoke_key("acme", record.id, "ann")
    assert registry.authenticate(key) == record
    assert registry.keys("acme") == []


def test_deleting_a_tenant_revokes_its_keys(registry: Registry) -> None:
    registry.put_tenant("globex", TenantSettings(), "ann")
    record, key = registry.create_key("globex", ["predict"], "ann")
    kept, other = registry.create_key("acme", ["predict"], "ann")
    registry.delete_tenant("globex", "bob")
    assert registry.authenticate(key) is None
    registry.put_tenant("globex", TenantSettings(), "bob")
    assert registry.authenticate(key) is None
    assert registry.keys("globex") == []
    assert registry.authenticate(other) == kept
    revoked = [line for line in registry.audit("globex").lines if line.action == "key.revoked"]
    assert [(line.actor, line.before["id"]) for line in revoked] == [("bob", record.id)]


@pytest.mark.parametrize(
    ("scopes", "reason"),
    [
        ([], "at least one scope of predict, publish, admin"),
        (["predict", "root"], "are of predict, publish, admin, not root"),
        (["Admin"], "not Admin"),
    ],
)
def test_scopes_that_cannot_be_are_refused(
    registry: Registry, scopes: list[str], reason: str
) -> None:
    with pytest.raises(UnacceptableRequest, match=reason):
        registry.create_key("acme", scopes, "ann")
    assert registry.keys("acme") == []


def test_a_tenant_that_is_not_there_has_no_keys(registry: Registry) -> None:
    with pytest.raises(UnknownTenant):
        registry.create_key("nobody", ["predict"], "ann")
    with pytest.raises(UnknownTenant):
        registry.keys("nobody")
    with pytest.raises(UnknownTenant):
        registry.revoke_key("nobody", "0" * 16, "ann")


def test_keys_are_bounded(state: Path) -> None:
    registry = Registry.open(state, BACKBONE, RegistryLimits(keys_per_tenant_max=2))
    for tenant in ("acme", "globex"):
        registry.put_tenant(tenant, TenantSettings(), "ann")
    first, _ = registry.create_key("acme", ["predict"], "ann")
    registry.create_key("acme", ["predict"], "ann")
    with pytest.raises(UnacceptableRequest, match="the tenant acme has 2 keys, the limit"):
        registry.create_key("acme", ["predict"], "ann")
    registry.create_key("globex", ["predict"], "ann")
    registry.revoke_key("acme", first.id, "ann")
    registry.create_key("acme", ["predict"], "ann")
    registry.close()


def test_every_change_has_a_line_without_the_key(registry: Registry) -> None:
    record, key = registry.create_key("acme", ["publish", "predict"], "ann")
    registry.revoke_key("acme", record.id, "bob")
    lines = registry.audit("acme").lines[-2:]
    told = {"id": record.id, "scopes": ["predict", "publish"]}
    assert [(line.actor, line.action, line.before, line.after) for line in lines] == [
        ("ann", "key.created", None, told),
        ("bob", "key.revoked", told, None),
    ]
    assert key[20:] not in str(registry.audit(limit=1_000))


def test_the_limit_holds_however_many_ask(state: Path) -> None:
    registry = Registry.open(state, BACKBONE, RegistryLimits(keys_per_tenant_max=5))
    registry.put_tenant("acme", TenantSettings(), "ann")

    def create(_: int) -> bool:
        try:
            registry.create_key("acme", ["predict"], "ann")
        except UnacceptableRequest:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(create, range(16))) == 5
    registry.close()
