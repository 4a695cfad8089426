"""Versions: immutable, numbered from 1 per adapter, each a name for a digest."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from sqlalchemy import Connection, func, insert, select, update

from service.errors import UnacceptableRequest
from service.registry import rollouts, tables
from service.registry.records import (
    AdapterSummary,
    RegistryLimits,
    RolloutRole,
    State,
    Verdict,
    Version,
)
from service.uploads.package import Package

_c = tables.versions.c
_KEPT = _c.deleted_at.is_(None)

NUMBER_MAX = (1 << 31) - 1  # no adapter gets so far; a database's integers end somewhere


def find(connection: Connection, tenant: str, adapter: str, number: int) -> Version | None:
    """Return a version, a deleted one too; None where there never was one."""
    query = select(tables.versions).where(
        _c.tenant == tenant, _c.adapter == adapter, _c.number == number
    )
    row = connection.execute(query).one_or_none()
    return None if row is None else _version(row, *_parts(connection, tenant, adapter))


def find_digest(connection: Connection, tenant: str, adapter: str, digest: str) -> Version | None:
    """Return the version of a digest that was not deleted."""
    query = select(tables.versions).where(
        _c.tenant == tenant, _c.adapter == adapter, _c.digest == digest, _KEPT
    )
    row = connection.execute(query.order_by(_c.number.desc()).limit(1)).one_or_none()
    return None if row is None else _version(row, *_parts(connection, tenant, adapter))


def of_adapter(
    connection: Connection, tenant: str, adapter: str, *, deleted: bool = False
) -> list[Version]:
    """Return an adapter's versions by number, the deleted ones only where asked for."""
    query = select(tables.versions).where(_c.tenant == tenant, _c.adapter == adapter)
    if not deleted:
        query = query.where(_KEPT)
    parts = _parts(connection, tenant, adapter)
    return [_version(row, *parts) for row in connection.execute(query.order_by(_c.number))]


def some(
    connection: Connection, tenant: str, adapter: str, numbers: Iterable[int]
) -> list[Version]:
    """Return those of an adapter's versions that have one of a few numbers and are not deleted."""
    query = select(tables.versions).where(
        _c.tenant == tenant,
        _c.adapter == adapter,
        _c.number.in_([number for number in numbers if number <= NUMBER_MAX]),
        _KEPT,
    )
    parts = _parts(connection, tenant, adapter)
    return [_version(row, *parts) for row in connection.execute(query.order_by(_c.number))]


def are_there(connection: Connection, tenant: str, adapter: str) -> bool:
    """Return whether an adapter has versions that were not deleted."""
    query = select(_c.id).where(_c.tenant == tenant, _c.adapter == adapter, _KEPT).limit(1)
    return connection.execute(query).first() is not None


def summaries(connection: Connection, tenant: str) -> list[AdapterSummary]:
    """Return a tenant's adapters by name."""
    known = rollouts.every_current(connection, tenant)
    query = select(
        _c.adapter,
        func.count().label("versions"),
        func.max(_c.number).label("latest"),
        func.min(_c.created_at).label("since"),
    ).where(_c.tenant == tenant, _KEPT)
    found = []
    for row in connection.execute(query.group_by(_c.adapter).order_by(_c.adapter)):
        rollout = known.get((tenant, row.adapter)) or rollouts.none_yet(tenant, row.adapter)
        found.append(
            AdapterSummary(
                tenant,
                row.adapter,
                row.versions,
                row.latest,
                rollout.live,
                row.since,
                rollout.canary,
                rollout.shadows,
            )
        )
    return found


@dataclass(frozen=True, slots=True)
class Draft:
    """A version before it has a number."""

    tenant: str
    adapter: str
    package: Package
    report: Mapping[str, Any]
    extras: Mapping[str, str]
    backbone: str
    verdict: Verdict


def insert_next(connection: Connection, draft: Draft, at: str) -> Version:
    """Write the next version of an adapter and return it."""
    newest = connection.execute(
        select(func.max(_c.number)).where(_c.tenant == draft.tenant, _c.adapter == draft.adapter)
    ).scalar()
    version = Version(
        tenant=draft.tenant,
        adapter=draft.adapter,
        version=(newest or 0) + 1,
        digest=draft.package.digest,
        backbone=draft.backbone,
        state=draft.verdict,
        labels=draft.package.metadata.labels,
        metadata=draft.package.metadata.model_dump(mode="json"),
        report=draft.report,
        extras=draft.extras,
        bytes=draft.package.adapter.nbytes,
        created_at=at,
        verdict=draft.verdict,
    )
    windows = draft.package.metadata.windows
    connection.execute(
        insert(tables.versions).values(
            tenant=version.tenant,
            adapter=version.adapter,
            number=version.version,
            digest=version.digest,
            backbone=version.backbone,
            labels=_json(version.labels),
            calibrated=draft.package.metadata.calibrated,
            metadata=_json(version.metadata),
            report=_json(version.report),
            extras=_json(version.extras),
            bytes=version.bytes,
            created_at=at,
            files_gone=False,
            verdict=version.verdict,
            windows=None if windows is None else _json(windows.model_dump()),
        )
    )
    return version


def check_room(connection: Connection, tenant: str, adapter: str, limits: RegistryLimits) -> None:
    """Raise `UnacceptableRequest` where another version would be beyond a limit."""
    mine = select(func.count()).where(_c.tenant == tenant, _c.adapter == adapter, _KEPT)
    count = connection.execute(mine).scalar_one()
    if count >= limits.versions_per_adapter_max:
        raise UnacceptableRequest(
            f"{tenant}.{adapter} has {count} versions, and the limit is"
            f" {limits.versions_per_adapter_max}; delete some"
        )
    if count:
        return
    names = select(_c.tenant, _c.adapter).where(_KEPT).distinct()
    all_adapters = connection.execute(select(func.count()).select_from(names.subquery()))
    if all_adapters.scalar_one() >= limits.adapters_max:
        raise UnacceptableRequest(f"the server holds {limits.adapters_max} adapters, its limit")
    own = names.where(_c.tenant == tenant).subquery()
    if (
        connection.execute(select(func.count()).select_from(own)).scalar_one()
        >= limits.adapters_per_tenant_max
    ):
        raise UnacceptableRequest(
            f"the tenant {tenant} has {limits.adapters_per_tenant_max} adapters, the limit"
        )


def rejudge(
    connection: Connection,
    version: Version,
    backbone: str,
    report: Mapping[str, Any],
    verdict: Verdict,
) -> None:
    """Note that a version was judged again, against another bundle."""
    connection.execute(
        update(tables.versions)
        .where(_c.tenant == version.tenant, _c.adapter == version.adapter)
        .where(_c.number == version.version)
        .values(backbone=backbone, report=_json(report), verdict=verdict)
    )


def bury(connection: Connection, chosen: Iterable[Version], at: str) -> None:
    """Turn versions into tombstones, which keep digest and labels."""
    for version in chosen:
        connection.execute(
            update(tables.versions)
            .where(_c.tenant == version.tenant, _c.adapter == version.adapter)
            .where(_c.number == version.version)
            .values(deleted_at=at)
        )


def wanted(connection: Connection) -> tuple[set[str], set[str]]:
    """Return the digests of adapters and of other files that versions name."""
    return _digests(connection.execute(select(_c.digest, _c.extras).where(_KEPT)).all())


def buried(connection: Connection) -> tuple[set[str], set[str]]:
    """Return the digests of what may still be there, because a tombstone names it."""
    rows = connection.execute(select(_c.digest, _c.extras).where(~_KEPT, ~_c.files_gone))
    return _digests(rows.all())


def collect(connection: Connection, until: str) -> tuple[set[str], set[str]]:
    """Return the digests that only tombstones from before a time name; each is told once."""
    is_due = (_c.deleted_at < until) & ~_c.files_gone
    due = connection.execute(select(_c.digest, _c.extras).where(is_due)).all()
    if not due:
        return set(), set()
    connection.execute(update(tables.versions).where(is_due).values(files_gone=True))
    later = select(_c.digest, _c.extras).where(_KEPT | (_c.deleted_at >= until))
    still = _digests(connection.execute(later).all())
    adapters, files = _digests(due)
    return adapters - still[0], files - still[1]


def _digests(rows: Sequence[Any]) -> tuple[set[str], set[str]]:
    files = {digest for row in rows for digest in orjson.loads(row.extras).values()}
    return {row.digest for row in rows}, files


def routed_rows(
    connection: Connection, tenant: str | None = None, adapter: str | None = None
) -> Sequence[Any]:
    """Return what requests need of every version, of the deleted ones too."""
    query = select(
        _c.tenant,
        _c.adapter,
        _c.number,
        _c.digest,
        _c.backbone,
        _c.labels,
        _c.calibrated,
        _c.windows,
        _c.deleted_at,
    )
    if tenant is not None:
        query = query.where(_c.tenant == tenant)
    if adapter is not None:
        query = query.where(_c.adapter == adapter)
    return connection.execute(query).all()


def _parts(
    connection: Connection, tenant: str, adapter: str
) -> tuple[Mapping[int, RolloutRole], frozenset[int]]:
    roles = rollouts.current(connection, tenant, adapter).roles()
    return roles, rollouts.ever_live(connection, tenant, adapter)


def _version(row: Any, roles: Mapping[int, RolloutRole], ever_live: frozenset[int]) -> Version:
    state: State = row.verdict
    if row.deleted_at is not None:
        state = "deleted"
    elif row.number in roles:
        state = roles[row.number]
    elif row.number in ever_live:
        state = "retired"
    return Version(
        tenant=row.tenant,
        adapter=row.adapter,
        version=row.number,
        digest=row.digest,
        backbone=row.backbone,
        state=state,
        labels=tuple(orjson.loads(row.labels)),
        metadata=orjson.loads(row.metadata),
        report=orjson.loads(row.report),
        extras=orjson.loads(row.extras),
        bytes=row.bytes,
        created_at=row.created_at,
        verdict=row.verdict,
    )


def _json(value: object) -> str:
    return orjson.dumps(value).decode()
