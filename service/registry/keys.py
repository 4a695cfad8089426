"""Rows of tenants' keys: made, read, removed. What a key is, `service/credentials` says.

The sidecar reads these rows by itself (`docs/adr/0016-credentials.md`): `id`, `tenant`, `scopes`
and `hash` keep their meaning.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, delete, func, insert, select

from service.credentials.scopes import SCOPES, Scope, scopes_of, text_of
from service.credentials.tenant_keys import hash_of, new_id, new_key
from service.errors import UnacceptableRequest
from service.registry import tables
from service.registry.records import KeyRecord, RegistryLimits

_c = tables.keys.c


@dataclass(frozen=True, slots=True)
class HeldKey:
    """A key as it is held in memory."""

    record: KeyRecord
    hash: bytes  # 32 bytes


def check_scopes(given: Collection[str]) -> frozenset[Scope]:
    """Return the scopes of a new key; raise `UnacceptableRequest` for none or unknown ones."""
    listed = ", ".join(SCOPES)
    unknown = ", ".join(sorted(scope[:80] for scope in set(given) - set(SCOPES))[:10])
    if unknown:
        raise UnacceptableRequest(f"a key's scopes are of {listed}, not {unknown}")
    if not given:
        raise UnacceptableRequest(f"a key has at least one scope of {listed}")
    return frozenset(scope for scope in SCOPES if scope in given)


def make(
    connection: Connection,
    tenant: str,
    scopes: frozenset[Scope],
    actor: str,
    at: str,
    limits: RegistryLimits,
) -> tuple[KeyRecord, str]:
    """Write a new key and return its record and itself, which nothing else will ever tell.

    Raises `UnacceptableRequest` beyond the limit.
    """
    mine = select(func.count()).select_from(tables.keys).where(_c.tenant == tenant)
    if connection.execute(mine).scalar_one() >= limits.keys_per_tenant_max:
        raise UnacceptableRequest(
            f"the tenant {tenant} has {limits.keys_per_tenant_max} keys, the limit; revoke some"
        )
    record = KeyRecord(new_id(), tenant, scopes, at, actor)
    key = new_key(record.id)
    connection.execute(
        insert(tables.keys).values(
            id=record.id,
            tenant=tenant,
            scopes=text_of(scopes),
            hash=hash_of(key).hex(),
            actor=actor,
            created_at=at,
        )
    )
    return record, key


def held(connection: Connection, tenant: str | None = None) -> dict[str, HeldKey]:
    """Return the keys of a tenant, or of all, oldest first."""
    query = select(tables.keys).order_by(_c.created_at, _c.id)
    if tenant is not None:
        query = query.where(_c.tenant == tenant)
    return {row.id: _held(row) for row in connection.execute(query)}


def remove(connection: Connection, key_id: str) -> None:
    """Remove a key."""
    connection.execute(delete(tables.keys).where(_c.id == key_id))


def _held(row: Any) -> HeldKey:
    record = KeyRecord(row.id, row.tenant, scopes_of(row.scopes), row.created_at, row.actor)
    return HeldKey(record, bytes.fromhex(row.hash))
