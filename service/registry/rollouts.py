"""Rollouts: one document per adapter says which version answers; each change is a revision."""

from collections.abc import Mapping, Sequence

from sqlalchemy import Connection, func, insert, select

from service.errors import RevisionMismatch, UnacceptableRequest
from service.registry import tables
from service.registry.records import Rollout, Version

_c = tables.rollouts.c


def current(connection: Connection, tenant: str, adapter: str) -> Rollout:
    """Return the rollout that holds now; revision 0 where there was none yet."""
    newest = select(tables.rollouts).where(_c.tenant == tenant, _c.adapter == adapter)
    row = connection.execute(newest.order_by(_c.revision.desc()).limit(1)).one_or_none()
    if row is None:
        return Rollout(tenant, adapter, 0, None, None, None, None)
    return Rollout(tenant, adapter, row.revision, row.live, row.previous, row.actor, row.created_at)


def at_revision(connection: Connection, tenant: str, adapter: str, revision: int) -> Rollout:
    """Return a rollout of the past, which is there."""
    row = connection.execute(
        select(tables.rollouts).where(
            _c.tenant == tenant, _c.adapter == adapter, _c.revision == revision
        )
    ).one()
    return Rollout(tenant, adapter, revision, row.live, row.previous, row.actor, row.created_at)


def ever_live(connection: Connection, tenant: str, adapter: str) -> frozenset[int]:
    """Return the versions that were live at any time."""
    query = select(_c.live).distinct().where(_c.tenant == tenant, _c.adapter == adapter)
    return frozenset(row.live for row in connection.execute(query) if row.live is not None)


def live_versions(connection: Connection, tenant: str | None = None) -> dict[tuple[str, str], int]:
    """Return the live version of each adapter that has one, by tenant and adapter."""
    newest = select(_c.tenant, _c.adapter, func.max(_c.revision).label("revision"))
    if tenant is not None:
        newest = newest.where(_c.tenant == tenant)
    last = newest.group_by(_c.tenant, _c.adapter).subquery()
    query = select(_c.tenant, _c.adapter, _c.live).join(
        last,
        (_c.tenant == last.c.tenant)
        & (_c.adapter == last.c.adapter)
        & (_c.revision == last.c.revision),
    )
    rows = connection.execute(query.where(_c.live.is_not(None)))
    return {(row.tenant, row.adapter): row.live for row in rows}


def read_document(document: Mapping[str, object]) -> int | None:
    """Return the version that a rollout document makes live, None for none.

    Raises `UnacceptableRequest`, naming every key that is not known.
    """
    unknown = sorted(set(document) - {"live"})
    if unknown:
        names = ", ".join(key[:80] for key in unknown)
        raise UnacceptableRequest(f"a rollout has `live` only, not {names}")
    if "live" not in document:
        raise UnacceptableRequest("a rollout says which version is `live`; null: none")
    live = document["live"]
    if live is not None and (type(live) is not int or live < 1):
        raise UnacceptableRequest("`live` is the number of a version, or null")
    assert live is None or isinstance(live, int)
    return live


def check_revision(rollout: Rollout, if_match: int | None) -> None:
    """Raise `RevisionMismatch` where the caller knows another revision than the current one."""
    if if_match is not None and if_match != rollout.revision:
        raise RevisionMismatch(
            f"the rollout of {rollout.tenant}.{rollout.adapter} is at revision"
            f" {rollout.revision}, not {if_match}: somebody changed it in between"
        )


def flaw_of(known: Sequence[Version], number: int, backbone: str) -> str | None:
    """Say why a version cannot be live; None where it can."""
    version = next((version for version in known if version.version == number), None)
    if version is None:
        return f"there is no version {number}, or it was deleted"
    if version.backbone != backbone:
        return (
            f"version {number} was judged against the bundle {version.backbone}, and this server"
            f" serves {backbone}; upload it again"
        )
    return None


def put(
    connection: Connection,
    before: Rollout,
    live: int | None,
    previous: int | None,
    actor: str,
    at: str,
) -> Rollout:
    """Write the next revision and return it."""
    after = Rollout(before.tenant, before.adapter, before.revision + 1, live, previous, actor, at)
    connection.execute(
        insert(tables.rollouts).values(
            tenant=after.tenant,
            adapter=after.adapter,
            revision=after.revision,
            live=after.live,
            previous=after.previous,
            actor=after.actor,
            created_at=after.created_at,
        )
    )
    return after
