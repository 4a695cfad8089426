"""The table of keys as another program reads it: what `docs/adr/0016-credentials.md` promises."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from service.credentials.scopes import Scope, scopes_of
from service.credentials.tenant_keys import find
from service.registry.records import TenantSettings
from service.registry.registry import Registry
from tests.fakes.manifests import BACKBONE


@dataclass(frozen=True)
class Row:
    tenant: str
    scopes: frozenset[Scope]
    hash: bytes


@contextmanager
def watched(state: Path) -> Iterator[sqlite3.Connection]:
    uri = f"file:{state / 'registry.sqlite3'}?mode=ro"
    with closing(sqlite3.connect(uri, uri=True)) as connection:
        yield connection


def rows(connection: sqlite3.Connection) -> dict[str, Row]:
    found = connection.execute("SELECT id, tenant, scopes, hash FROM keys")
    return {
        key_id: Row(tenant, scopes_of(scopes), bytes.fromhex(hashed))
        for key_id, tenant, scopes, hashed in found
    }


def data_version(connection: sqlite3.Connection) -> int:
    [version] = connection.execute("PRAGMA data_version").fetchone()
    return int(version)


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[Registry]:
    with closing(Registry.open(tmp_path, BACKBONE)) as registry:
        for tenant in ("acme", "globex"):
            registry.put_tenant(tenant, TenantSettings(), "ann")
        yield registry


def test_a_reader_beside_the_service_knows_every_key_that_opens(
    registry: Registry, tmp_path: Path
) -> None:
    made = [
        registry.create_key(tenant, ["predict", "publish"], "ann") for tenant in ("acme", "globex")
    ]
    with watched(tmp_path) as connection:
        known = rows(connection)
    assert known.keys() == {record.id for record, _ in made}
    for record, key in made:
        assert find(known, key) == Row(
            record.tenant, frozenset({"predict", "publish"}), known[record.id].hash
        )


def test_a_reader_is_told_that_it_must_look_again_and_loses_what_was_revoked(
    registry: Registry, tmp_path: Path
) -> None:
    kept, _ = registry.create_key("acme", ["predict"], "ann")
    revoked, key = registry.create_key("acme", ["predict"], "ann")
    registry.create_key("globex", ["admin"], "ann")
    with watched(tmp_path) as connection:
        assert find(rows(connection), key) is not None
        version = data_version(connection)
        assert data_version(connection) == version
        registry.revoke_key("acme", revoked.id, "ann")
        registry.delete_tenant("globex", "ann")
        assert data_version(connection) != version
        assert find(rows(connection), key) is None
        assert rows(connection).keys() == {kept.id}


def test_keys_can_be_read_where_no_service_runs(registry: Registry, tmp_path: Path) -> None:
    _, key = registry.create_key("acme", ["predict"], "ann")
    registry.close()
    with watched(tmp_path) as connection:
        assert find(rows(connection), key) is not None
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            connection.execute("DELETE FROM keys")
