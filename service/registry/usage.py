"""Usage: what each tenant asked for, by day; kept for 400 days."""

from collections.abc import Mapping
from datetime import date, timedelta
from typing import Any

from sqlalchemy import Connection, bindparam, delete, insert, select, update

from service.registry import tables
from service.registry.records import Usage, UsageLine

KEPT_DAYS = 400

_c = tables.usage.c
_SUMS = ("requests", "texts", "tokens", "compute_s", "limited")
_MORE: dict[str, Any] = {name: bindparam(f"more_{name}") for name in _SUMS}
_ADD = (
    update(tables.usage)
    .where(_c.tenant == bindparam("of_tenant"), _c.day == bindparam("of_day"))
    .values({name: _c[name] + more for name, more in _MORE.items()})
)
_BEGIN = insert(tables.usage).values(
    tenant=bindparam("of_tenant"), day=bindparam("of_day"), **_MORE
)


def add(connection: Connection, rows: Mapping[tuple[str, date], Usage], today: date) -> None:
    """Add to what is there, and forget what is older than 400 days."""
    query = select(_c.tenant, _c.day).where(_c.day.in_({day for _, day in rows}))
    there = {(row.tenant, row.day) for row in connection.execute(query)}
    known: list[dict[str, Any]] = []
    new: list[dict[str, Any]] = []
    for (tenant, day), own in rows.items():
        more = {f"more_{name}": getattr(own, name) for name in _SUMS}
        to = known if (tenant, day) in there else new
        to.append({"of_tenant": tenant, "of_day": day, **more})
    if known:
        connection.execute(_ADD, known)
    if new:
        connection.execute(_BEGIN, new)
    connection.execute(delete(tables.usage).where(_c.day < today - timedelta(days=KEPT_DAYS)))


def read(
    connection: Connection, tenant: str, since: date | None, until: date | None
) -> list[UsageLine]:
    """Return a tenant's days, oldest first, both ends included."""
    query = select(tables.usage).where(_c.tenant == tenant).order_by(_c.day)
    if since is not None:
        query = query.where(_c.day >= since)
    if until is not None:
        query = query.where(_c.day <= until)
    return [
        UsageLine(row.day, row.requests, row.texts, row.tokens, row.compute_s, row.limited)
        for row in connection.execute(query)
    ]
