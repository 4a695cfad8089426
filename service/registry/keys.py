"""Keys of tenants: `tk_`, 16 hexadecimal digits of id, `_`, and 43 base64url characters.

Only the SHA-256 of a key is kept. A slow hash guards secrets that people choose, because those
can be guessed; these hold 256 random bits, which nobody guesses, however fast the hash. So every
request can afford it.
"""

import hashlib
import hmac
import re
import secrets
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import orjson
from sqlalchemy import Connection, delete, func, insert, select

from service.errors import UnacceptableRequest
from service.registry import tables
from service.registry.records import SCOPES, KeyRecord, RegistryLimits, Scope

_c = tables.keys.c
_KEY = re.compile(r"tk_([0-9a-f]{16})_[A-Za-z0-9_-]{43}", re.ASCII)
_NOBODYS_HASH = bytes(32)  # nothing hashes to it


@dataclass(frozen=True, slots=True)
class HeldKey:
    """A key as it is held in memory."""

    record: KeyRecord
    hash: bytes  # 32 bytes


Held = Mapping[str, HeldKey]  # by id


def find(held: Held, key: str) -> KeyRecord | None:
    """Return whose key this is, in a time that does not tell how much of it was right."""
    match = _KEY.fullmatch(key)
    if match is None:
        return None
    known = held.get(match[1])
    expected = _NOBODYS_HASH if known is None else known.hash
    same = hmac.compare_digest(_hash(key), expected)
    return known.record if same and known is not None else None


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
    record = KeyRecord(secrets.token_hex(8), tenant, scopes, at, actor)
    key = f"tk_{record.id}_{secrets.token_urlsafe(32)}"
    connection.execute(
        insert(tables.keys).values(
            id=record.id,
            tenant=tenant,
            scopes=orjson.dumps(listed(scopes)).decode(),
            hash=_hash(key).hex(),
            actor=actor,
            created_at=at,
        )
    )
    return record, key


def listed(scopes: Collection[Scope]) -> list[Scope]:
    """Return scopes in their usual order."""
    return [scope for scope in SCOPES if scope in scopes]


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
    scopes = frozenset(orjson.loads(row.scopes))
    record = KeyRecord(row.id, row.tenant, scopes, row.created_at, row.actor)
    return HeldKey(record, bytes.fromhex(row.hash))


def _hash(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()
