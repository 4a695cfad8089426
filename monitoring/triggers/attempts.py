"""Attempts to send, as the database knows them.

An attempt is claimed before it is made: claiming counts it and sets the time of the next one, in
one transaction that only one process can win. So one trigger is never under way twice, and a
process that dies in an attempt leaves a trigger that is tried again.
"""

from dataclasses import dataclass

from sqlalchemy import Connection, case, func, or_, select, update

from monitoring.triggers.retries import Retries, Verdict
from monitoring.triggers.tables import TRIGGERS


@dataclass(frozen=True, slots=True)
class Attempt:
    """An attempt that was claimed: whoever holds this may make it."""

    key: str
    body: bytes
    number: int  # 1, 2, ...


def claim(connection: Connection, now_s: float, retries: Retries, draw: float) -> Attempt | None:
    """Claim the attempt that has been due longest; return None where none is.

    `draw`, uniform in [0, 1), spreads the next one. A trigger has failed whose last attempt was
    begun and never settled, or that is too old, as those are that a log of weeks gives when it is
    read for the first time. One whose next attempt is further ahead than any can be, because the
    clock was wrong when it was set, is due.
    """
    out_of_reach = TRIGGERS.c.next_s > now_s + retries.delay_s_max
    waiting = TRIGGERS.c.fate == "waiting"
    due = waiting & or_(TRIGGERS.c.next_s <= now_s, out_of_reach)
    old = TRIGGERS.c.raised_us < round((now_s - retries.oldest_s) * 1e6)
    connection.execute(
        update(TRIGGERS)
        .where(due, old, TRIGGERS.c.attempts == 0)
        .values(fate="failed", detail="too old when it could be sent first")
    )
    connection.execute(
        update(TRIGGERS)
        .where(due, TRIGGERS.c.attempts >= retries.attempts)
        .values(fate="failed", detail=f"given up after {retries.attempts} attempts")
    )
    query = select(TRIGGERS.c.key, TRIGGERS.c.body, TRIGGERS.c.attempts).where(due)
    row = connection.execute(query.order_by(TRIGGERS.c.next_s, TRIGGERS.c.key).limit(1)).first()
    if row is None:
        return None
    number = row.attempts + 1
    won = connection.execute(
        update(TRIGGERS)
        .where(TRIGGERS.c.key == row.key, TRIGGERS.c.attempts == row.attempts, waiting)
        .values(attempts=number, next_s=now_s + retries.delay_s(number, draw))
    )
    return Attempt(row.key, row.body, number) if won.rowcount == 1 else None


def settle(connection: Connection, attempt: Attempt, verdict: Verdict, now_s: float) -> None:
    """Write down what came of an attempt; of one that failed, unless a later one was begun."""
    here = (TRIGGERS.c.key == attempt.key) & (TRIGGERS.c.fate == "waiting")
    if verdict.standing != "delivered":
        here &= TRIGGERS.c.attempts == attempt.number
    asked_s = now_s + verdict.not_before_s
    connection.execute(
        update(TRIGGERS)
        .where(here)
        .values(
            fate=verdict.standing,
            detail=verdict.detail,
            next_s=case((TRIGGERS.c.next_s < asked_s, asked_s), else_=TRIGGERS.c.next_s),
        )
    )


def next_due_s(connection: Connection) -> float | None:
    """Return when the next attempt is due, by the wall clock; None where nothing waits."""
    query = select(func.min(TRIGGERS.c.next_s)).where(TRIGGERS.c.fate == "waiting")
    found: float | None = connection.execute(query).scalar()
    return found
