"""Keys of tenants, read from a registry that another process writes."""

import logging
from pathlib import Path

import pytest

from monitoring.web import tenant_keys
from monitoring.web.tenant_keys import CHECK_S, TenantKeys
from service.registry import database
from service.registry.database import Database
from service.registry.keys import make, remove
from service.registry.records import RegistryLimits

AT = "2025-03-31T09:30:00.000000+00:00"


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s

    def pass_check(self) -> None:
        self.now_s += CHECK_S + 0.01


class Service:
    """The side that writes."""

    def __init__(self, state: Path) -> None:
        self.database = Database(state)
        self.database.prepare()

    def make_key(self, tenant: str) -> tuple[str, bytes]:
        scopes = frozenset({"predict"})
        with self.database.write() as connection:
            record, key = make(connection, tenant, scopes, "tests", AT, RegistryLimits())  # type: ignore[arg-type]
        return record.id, key.encode()

    def revoke(self, key_id: str) -> None:
        with self.database.write() as connection:
            remove(connection, key_id)


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_the_file_is_the_registry_s() -> None:
    assert tenant_keys.FILE == database.FILE


def test_a_key_tells_its_tenant(tmp_path: Path, clock: Clock) -> None:
    _, key = Service(tmp_path).make_key("acme")
    keys = TenantKeys(tmp_path, clock)
    assert keys.tenant_of(key) == "acme"
    assert keys.tenant_of(key[:-1] + b"!") is None
    assert keys.tenant_of(b"tk_0123456789abcdef_" + b"A" * 43) is None
    assert keys.tenant_of("schlüssel".encode()) is None
    keys.close()


def test_a_new_key_is_known_soon_and_a_revoked_one_forgotten(tmp_path: Path, clock: Clock) -> None:
    service = Service(tmp_path)
    keys = TenantKeys(tmp_path, clock)
    first_id, first = service.make_key("acme")
    assert keys.tenant_of(first) == "acme"
    _, second = service.make_key("globex")
    assert keys.tenant_of(second) is None, "it asks once a second at most"
    clock.pass_check()
    assert keys.tenant_of(second) == "globex"
    service.revoke(first_id)
    clock.pass_check()
    assert keys.tenant_of(first) is None
    assert keys.tenant_of(second) == "globex"
    keys.close()


def test_without_a_registry_no_tenant_has_a_key_until_there_is_one(
    tmp_path: Path, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    keys = TenantKeys(tmp_path, clock)
    key = b"tk_0123456789abcdef_" + b"A" * 43
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            assert keys.tenant_of(key) is None
            clock.pass_check()
    assert len(caplog.records) == 1, "it is logged once"
    assert not list(tmp_path.iterdir()), "nothing is made"
    _, made = Service(tmp_path).make_key("acme")
    assert keys.tenant_of(made) == "acme"
    keys.close()


def test_a_registry_that_cannot_be_read_has_no_keys(tmp_path: Path, clock: Clock) -> None:
    service = Service(tmp_path)
    _, key = service.make_key("acme")
    keys = TenantKeys(tmp_path, clock)
    assert keys.tenant_of(key) == "acme"
    service.database.close()
    for path in tmp_path.iterdir():
        path.rename(path.with_name("away-" + path.name))
    clock.pass_check()
    assert keys.tenant_of(key) is None
    for path in tmp_path.iterdir():
        path.rename(path.with_name(path.name.removeprefix("away-")))
    clock.pass_check()
    assert keys.tenant_of(key) == "acme"
    keys.close()


def test_a_registry_put_in_the_place_of_another_is_read_anew(tmp_path: Path, clock: Clock) -> None:
    state, other = tmp_path / "state", tmp_path / "other"
    state.mkdir()
    other.mkdir()
    first, second = Service(state), Service(other)
    _, old = first.make_key("acme")
    _, new = second.make_key("globex")
    keys = TenantKeys(state, clock)
    assert keys.tenant_of(old) == "acme"
    first.database.close()
    second.database.close()
    state.rename(tmp_path / "away")
    other.rename(state)
    clock.pass_check()
    assert keys.tenant_of(new) == "globex"
    assert keys.tenant_of(old) is None
    keys.close()


def test_a_file_that_is_no_registry_gives_no_keys(
    tmp_path: Path, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / tenant_keys.FILE).write_bytes(b"not a database at all" * 100)
    keys = TenantKeys(tmp_path, clock)
    with caplog.at_level(logging.WARNING):
        assert keys.tenant_of(b"tk_0123456789abcdef_" + b"A" * 43) is None
    assert "cannot be read" in caplog.text
    keys.close()
