"""Triggers that were raised, in the sidecar's database: stored before they are sent.

A trigger is stored in the transaction that writes down the figures it follows from. So after a
kill at any moment either both are there or neither, and a replay raises it anew; its key is
unique, so it is there once.
"""

from typing import Literal

from sqlalchemy import Connection, delete, func, insert, select

from monitoring.report import TriggerReport
from monitoring.triggers.event import body_of
from monitoring.triggers.tables import TRIGGERS
from monitoring.triggers.trigger import Trigger, key_of, microseconds_of

Fate = Literal["waiting", "delivered", "failed", "dry-run", "no-receiver"]
KEPT = 10_000  # triggers that are settled; up to a tenth more, so that few stores delete any

_SETTLED = TRIGGERS.c.fate != "waiting"


def store(connection: Connection, trigger: Trigger, cooldown_us: int, fate: Fate) -> bool:
    """Store a trigger; return False where it was stored before.

    `fate` is `waiting`, or where nothing is to be sent `dry-run` or `no-receiver`. Of those that
    are settled the latest `KEPT` stay at least.
    """
    key = key_of(trigger, cooldown_us)
    if connection.execute(select(TRIGGERS.c.key).where(TRIGGERS.c.key == key)).first():
        return False
    connection.execute(
        insert(TRIGGERS).values(
            key=key,
            tenant=trigger.tenant,
            adapter=trigger.adapter,
            version=trigger.version,
            reason=trigger.reason,
            raised_us=microseconds_of(trigger.raised),
            body=body_of(trigger, key),
            summary=trigger.summary,
            fate=fate,
            attempts=0,
            next_s=0.0,
            detail="",
        )
    )
    settled = connection.execute(select(func.count()).where(_SETTLED)).scalar_one()
    if settled > KEPT + KEPT // 10:
        prune(connection, KEPT)
    return True


def reports(
    connection: Connection,
    *,
    tenant: str | None = None,
    adapter: str | None = None,
    limit: int = 50,
) -> tuple[TriggerReport, ...]:
    """Return the triggers of all, of a tenant or of an adapter, latest first."""
    query = select(TRIGGERS).order_by(TRIGGERS.c.raised_us.desc(), TRIGGERS.c.key).limit(limit)
    if tenant is not None:
        query = query.where(TRIGGERS.c.tenant == tenant)
    if adapter is not None:
        query = query.where(TRIGGERS.c.adapter == adapter)
    return tuple(
        TriggerReport(
            id=row.key,
            tenant=row.tenant,
            adapter=row.adapter,
            version=row.version,
            reason=row.reason,
            raised_s=row.raised_us / 1e6,
            delivered=row.fate,
            attempts=row.attempts,
            detail="; ".join(filter(None, (row.summary, row.detail))),
        )
        for row in connection.execute(query)
    )


def prune(connection: Connection, kept: int) -> None:
    """Keep those that wait, and the latest of those that are settled."""
    newest = select(TRIGGERS.c.key).where(_SETTLED)
    newest = newest.order_by(TRIGGERS.c.raised_us.desc(), TRIGGERS.c.key).limit(kept)
    connection.execute(delete(TRIGGERS).where(_SETTLED, TRIGGERS.c.key.not_in(newest)))


def forget(connection: Connection, tenant: str) -> None:
    """Delete everything of a tenant, also what waits to be sent."""
    connection.execute(delete(TRIGGERS).where(TRIGGERS.c.tenant == tenant))
