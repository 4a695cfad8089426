"""The state that is moved from: what its rollouts name, read beside a server that goes on.

Nothing of it is changed, and it may be in use. Of each version the store keeps every file that its
upload brought, the hold-out among them, so that all of it can be judged and sent again.
"""

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy.exc import DBAPIError

from service.engine.adapter import Adapter
from service.engine.bundle import Manifest
from service.errors import InvalidSettings, StateDamaged
from service.registry import rollouts, schema, tables, tenants, versions
from service.registry.database import FILE, Database
from service.registry.records import Rollout, RolloutRole, Tenant, Version
from service.registry.store import Store


@dataclass(frozen=True, slots=True)
class Placed:
    """A version that a rollout names, and as what."""

    version: Version
    role: RolloutRole


@dataclass(frozen=True, slots=True)
class Household:
    """One adapter: its rollout, and the versions that it names, the live one first."""

    rollout: Rollout
    placed: tuple[Placed, ...]


class OldState:
    """A state directory that is moved from."""

    def __init__(self, database: Database, store: Store) -> None:
        self._database = database
        self._store = store

    def tenants(self) -> list[Tenant]:
        """Return every tenant, by name."""
        with self._database.read() as connection:
            return tenants.every(connection)

    def households(self) -> list[Household]:
        """Return every adapter of which a version is live, by name."""
        found = []
        with self._database.read() as connection:
            for (tenant, adapter), rollout in sorted(rollouts.every_current(connection).items()):
                roles = rollout.roles()
                named = {
                    version.version: version
                    for version in versions.some(connection, tenant, adapter, roles)
                }
                if rollout.live is None or rollout.live not in named:
                    continue
                others = sorted(named.keys() - {rollout.live})
                order = [rollout.live, *others]
                placed = tuple(Placed(named[number], roles[number]) for number in order)
                found.append(Household(rollout, placed))
        return found

    def files(self, version: Version) -> Mapping[str, bytes]:
        """Return the files that an upload brought; raise `AdapterUnreadable` for altered ones."""
        extras = {name: self._store.read_file(digest) for name, digest in version.extras.items()}
        return {**self._store.files(version.digest), **extras}

    def adapter(self, version: Version, manifest: Manifest) -> Adapter:
        """Return a version's adapter as its own bundle serves it; raise `AdapterUnreadable`."""
        return self._store.load(version.digest, manifest)


@contextmanager
def opened(state: Path) -> Iterator[OldState]:
    """Open a state directory for reading, whether a server runs on it or not.

    Raises `InvalidSettings` where there is no registry, or one of another schema, and
    `StateDamaged` where the registry cannot be read, then or later.
    """
    if not (state / FILE).is_file():
        raise InvalidSettings(f"{state} holds no registry: there is no {FILE} in it")
    with (
        _telling_damage(state),
        closing(Database(state)) as database,
        closing(Store(state)) as store,
    ):
        store.share()
        with database.read() as connection:
            found = schema.read_schema(connection)
        if found != str(tables.SCHEMA):
            raise InvalidSettings(
                f"{state} has schema {found}, and this version of tenantry reads {tables.SCHEMA};"
                " start this version's server on it once, which brings it up to date"
            )
        yield OldState(database, store)


@contextmanager
def _telling_damage(state: Path) -> Iterator[None]:
    """Raise `StateDamaged` in place of what a database says that is none, or is not whole."""
    try:
        yield
    except (DBAPIError, sqlite3.Error) as error:
        cause = error.orig if isinstance(error, DBAPIError) else error
        raise StateDamaged(
            f"{state / FILE} cannot be read: {cause}; `tenantry state check --state {state}` says"
            " what is damaged, and `tenantry state restore` makes a whole state of a backup, to"
            " give as --from-state"
        ) from error
