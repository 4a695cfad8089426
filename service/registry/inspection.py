"""Whether a state directory is whole: the database, what it says, and the files that it names."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from service.engine.errors import Problem
from service.errors import InvalidSettings
from service.registry import rollouts, schema, tables, tenants, versions
from service.registry.database import FILE, Database
from service.registry.store import Progress, Store

# So many findings are no upload that came in between.
_LOOKED_AT_AGAIN_MAX = 100


def problems_of_state(state: Path, progress: Progress | None = None) -> Iterator[Problem]:
    """Yield what is wrong with a state directory, whether a server runs on it or not.

    Nothing is changed, migrated or swept. Raises `InvalidSettings` where there is no registry.
    """
    if not (state / FILE).exists():
        raise InvalidSettings(f"{state} holds no registry: there is no {FILE} in it")
    with closing(Database(state)) as database, closing(Store(state)) as store:
        store.share()
        yield from problems(database, store, progress)


def problems(
    database: Database, store: Store, progress: Progress | None = None
) -> Iterator[Problem]:
    """Yield what is wrong with a registry; uploads and changes may go on meanwhile."""
    try:
        flaws = database.flaws()
        yield from (Problem(FILE, flaw) for flaw in flaws)
        if flaws:
            return
        with database.read() as connection:
            found = schema.read_schema(connection)
            if found != str(tables.SCHEMA):
                what = f"has schema {found}, and this version of tenantry reads {tables.SCHEMA}"
                yield Problem(FILE, f"{what}; `tenantry serve` brings an older one up to date")
                return
            told = list(_contradictions(connection))
            wanted, allowed = versions.wanted(connection), versions.buried(connection)
    except DBAPIError as error:
        yield Problem(FILE, f"it cannot be read: {error.orig}")
        return
    yield from told
    flawed = list(store.check(wanted, allowed, progress=progress))
    if 0 < len(flawed) <= _LOOKED_AT_AGAIN_MAX:
        # An upload may have come in between. While this holds the database, none does.
        with database.write() as connection:
            wanted, allowed = versions.wanted(connection), versions.buried(connection)
            flawed = list(store.check(wanted, allowed, only={name for name, _ in flawed}))
    yield from (Problem(f"store: {name}", flaw) for name, flaw in flawed)


def _contradictions(connection: Connection) -> Iterator[Problem]:
    """Yield what the tables say that cannot be."""
    names = {tenant.name for tenant in tenants.every(connection)}
    kept: dict[tuple[str, str], set[int]] = {}
    for row in versions.routed_rows(connection):
        if row.deleted_at is None:
            kept.setdefault((row.tenant, row.adapter), set()).add(row.number)
    for tenant, adapter in sorted(kept):
        if tenant not in names:
            yield Problem(f"{tenant}.{adapter}", "it has versions, and there is no such tenant")
    for (tenant, adapter), rollout in sorted(rollouts.every_current(connection).items()):
        roles = rollout.roles()
        for number in sorted(set(roles) - kept.get((tenant, adapter), set())):
            yield Problem(
                f"{tenant}.{adapter}",
                f"its rollout names version {number} as {roles[number]}, and there is none",
            )
