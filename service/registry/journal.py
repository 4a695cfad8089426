"""The audit trail, read in pages; `change.Change` writes it."""

from typing import Any

import orjson
from sqlalchemy import Connection, func, select

from service.registry import tables
from service.registry.records import AuditLine, AuditPage

LINES_MAX = 1_000
MADE = "tenant.created"


def read_lines(
    connection: Connection,
    tenant: str | None,
    since: str | None,
    cursor: int | None,
    limit: int,
) -> AuditPage:
    """Return up to `limit` lines, oldest first: behind the cursor, of a tenant, from a time on."""
    columns = tables.audit.c
    query = select(tables.audit).order_by(columns.id).limit(min(limit, LINES_MAX) + 1)
    if tenant is not None:
        query = query.where(columns.tenant == tenant)
    if since is not None:
        query = query.where(columns.at >= since)
    if cursor is not None:
        query = query.where(columns.id > cursor)
    lines = [_line(row) for row in connection.execute(query)]
    more = len(lines) > min(limit, LINES_MAX)
    kept = lines[: min(limit, LINES_MAX)]
    return AuditPage(tuple(kept), kept[-1].id if more else None)


def _line(row: Any) -> AuditLine:
    return AuditLine(
        row.id,
        row.at,
        row.actor,
        row.action,
        row.tenant,
        row.adapter,
        _decoded(row.before),
        _decoded(row.after),
    )


def beginning_of(connection: Connection, tenant: str) -> int:
    """Return the id of the line that tells how the tenant of this name now was made; 0: of none.

    What another tenant of that name left comes before it, whatever the clock said then.
    """
    columns = tables.audit.c
    query = select(func.max(columns.id)).where(columns.tenant == tenant, columns.action == MADE)
    return connection.execute(query).scalar_one() or 0


def has_lines(connection: Connection) -> bool:
    """Return whether anything was ever done here."""
    return connection.execute(select(tables.audit.c.id).limit(1)).one_or_none() is not None


def last_of(connection: Connection, tenant: str, adapter: str, action: str) -> AuditLine | None:
    """Return the last line of an action on an adapter; None: there is none.

    What another tenant of that name left is not told.
    """
    columns = tables.audit.c
    query = select(tables.audit).where(
        columns.tenant == tenant,
        columns.adapter == adapter,
        columns.action == action,
        columns.id > beginning_of(connection, tenant),
    )
    row = connection.execute(query.order_by(columns.id.desc()).limit(1)).one_or_none()
    return None if row is None else _line(row)


def _decoded(text: str | None) -> Any:
    return None if text is None else orjson.loads(text)
