"""Rollouts: one document per adapter says which versions answer; each change is a revision."""

from typing import Any

import orjson
from sqlalchemy import Connection, func, insert, select

from service.registry import tables
from service.registry.records import Canary, Rollout
from service.registry.rollout_document import RolloutDocument

_c = tables.rollouts.c


def current(connection: Connection, tenant: str, adapter: str) -> Rollout:
    """Return the rollout that holds now; revision 0 where there was none yet."""
    newest = select(tables.rollouts).where(_c.tenant == tenant, _c.adapter == adapter)
    row = connection.execute(newest.order_by(_c.revision.desc()).limit(1)).one_or_none()
    return none_yet(tenant, adapter) if row is None else _rollout(row)


def none_yet(tenant: str, adapter: str) -> Rollout:
    """Return what holds before an adapter's first document."""
    return Rollout(tenant, adapter, 0, None, None, None, None)


def at_revision(connection: Connection, tenant: str, adapter: str, revision: int) -> Rollout:
    """Return a rollout of the past, which is there."""
    query = select(tables.rollouts).where(
        _c.tenant == tenant, _c.adapter == adapter, _c.revision == revision
    )
    return _rollout(connection.execute(query).one())


def ever_live(connection: Connection, tenant: str, adapter: str) -> frozenset[int]:
    """Return the versions that were live at any time."""
    query = select(_c.live).distinct().where(_c.tenant == tenant, _c.adapter == adapter)
    return frozenset(row.live for row in connection.execute(query) if row.live is not None)


def begin_of_trial(connection: Connection, rollout: Rollout) -> Rollout:
    """Return the first rollout of those in a row that have this canary and this live version."""
    query = select(tables.rollouts).where(
        _c.tenant == rollout.tenant,
        _c.adapter == rollout.adapter,
        _c.revision < rollout.revision,
    )
    first = rollout
    for row in connection.execute(query.order_by(_c.revision.desc())):
        earlier = _rollout(row)
        if _arms(earlier) != _arms(rollout):
            break
        first = earlier
    return first


def begin_of_watch(connection: Connection, rollout: Rollout, shadow: int) -> Rollout:
    """Return the first rollout of those in a row with this live version and this shadow."""
    query = select(tables.rollouts).where(
        _c.tenant == rollout.tenant,
        _c.adapter == rollout.adapter,
        _c.revision < rollout.revision,
    )
    first = rollout
    for row in connection.execute(query.order_by(_c.revision.desc())):
        earlier = _rollout(row)
        if earlier.live != rollout.live or shadow not in earlier.shadows:
            break
        first = earlier
    return first


def live_before(connection: Connection, rollout: Rollout) -> int | None:
    """Return the version that was live before the one that is; None: there was none."""
    query = select(_c.live).where(
        _c.tenant == rollout.tenant,
        _c.adapter == rollout.adapter,
        _c.revision < rollout.revision,
        _c.live.is_not(None),
        _c.live != rollout.live,
    )
    number: int | None = connection.execute(
        query.order_by(_c.revision.desc()).limit(1)
    ).scalar_one_or_none()
    return number


def _arms(rollout: Rollout) -> tuple[int | None, int | None]:
    return rollout.live, rollout.canary_version


def every_current(
    connection: Connection, tenant: str | None = None
) -> dict[tuple[str, str], Rollout]:
    """Return the rollout of each adapter that ever had one, by tenant and adapter."""
    newest = select(_c.tenant, _c.adapter, func.max(_c.revision).label("revision"))
    if tenant is not None:
        newest = newest.where(_c.tenant == tenant)
    last = newest.group_by(_c.tenant, _c.adapter).subquery()
    query = select(tables.rollouts).join(
        last,
        (_c.tenant == last.c.tenant)
        & (_c.adapter == last.c.adapter)
        & (_c.revision == last.c.revision),
    )
    return {(row.tenant, row.adapter): _rollout(row) for row in connection.execute(query)}


def put(
    connection: Connection,
    before: Rollout,
    document: RolloutDocument,
    previous: int | None,
    actor: str,
    at: str,
) -> Rollout:
    """Write the next revision and return it."""
    canary = document.canary
    after = Rollout(
        before.tenant,
        before.adapter,
        before.revision + 1,
        document.live,
        previous,
        actor,
        at,
        canary,
        document.shadows,
        document.forced,
    )
    connection.execute(
        insert(tables.rollouts).values(
            tenant=after.tenant,
            adapter=after.adapter,
            revision=after.revision,
            live=after.live,
            previous=after.previous,
            actor=after.actor,
            created_at=after.created_at,
            canary=None if canary is None else canary.version,
            percent=None if canary is None else canary.percent,
            shadows=orjson.dumps(after.shadows).decode(),
            forced=after.forced,
        )
    )
    return after


def _rollout(row: Any) -> Rollout:
    return Rollout(
        row.tenant,
        row.adapter,
        row.revision,
        row.live,
        row.previous,
        row.actor,
        row.created_at,
        None if row.canary is None else Canary(row.canary, row.percent),
        tuple(orjson.loads(row.shadows)),
        row.forced,
    )
