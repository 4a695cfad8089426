"""An open state directory, and what requests ask of it: answered from memory, without I/O."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

from service.credentials.tenant_keys import find
from service.engine.adapter import Adapter
from service.engine.bundle import Manifest
from service.engine.errors import Problem
from service.errors import InvalidSettings
from service.registry import inspection, journal, versions
from service.registry.database import BUSY_S, FILE, Database, refusing_full
from service.registry.keeper import Keeper
from service.registry.records import (
    KeyRecord,
    Named,
    RegistryLimits,
    Rollout,
    Route,
    TenantSettings,
    Version,
)
from service.registry.routes import Routes
from service.registry.store import Progress, Store, holds_anything
from service.registry.watcher import Watcher

# Called with the rollout before, the one after, who changed it and when, as ISO 8601.
OnRollout = Callable[[Rollout, Rollout, str, str], object]


def _now() -> datetime:
    return datetime.now(UTC)


@contextmanager
def _refusing_unusable(state: Path) -> Iterator[None]:
    """Raise `InvalidSettings` where a state directory cannot be made or used.

    A disk without room is another matter, which passes.
    """
    try:
        yield
    except (FileExistsError, FileNotFoundError, NotADirectoryError, PermissionError) as error:
        reason = f"{error.filename}: {error.strerror}"
        raise InvalidSettings(f"the state directory {state} cannot be used: {reason}") from error


def _check_not_lost(state: Path, *, knows_any: bool) -> None:
    """Raise `InvalidSettings` where adapters are there and a registry that never knew of any.

    The sweep would remove them all.
    """
    if not knows_any and holds_anything(state):
        raise InvalidSettings(
            f"{state} holds adapters, and {FILE}, which names them, is missing or empty: put it"
            " back with its -wal and -shm, or take a backup (`tenantry state restore`); a new"
            " start needs an empty directory"
        )


class OpenRegistry:
    """One state directory that is open, and what requests ask of it."""

    def __init__(
        self,
        database: Database,
        store: Store,
        bundle_digest: str,
        limits: RegistryLimits,
        clock: Callable[[], datetime],
    ) -> None:
        self._database = database
        self._store = store
        self._backbone = bundle_digest
        self._limits = limits
        self._clock = clock
        self._keeper = Keeper(database, bundle_digest, clock)
        self._watcher: Watcher | None = None
        self.on_rollout: OnRollout | None = None
        """Called after each change of a rollout, in their order, before the change returns.

        The change is on disk by then, so an error here is told to the caller and undoes nothing.
        It must not change the registry.
        """
        self.on_deleted: Callable[[Sequence[str]], object] | None = None
        """Called with the digests of deleted versions; others may still have the same content."""

    @classmethod
    def open(
        cls,
        state: Path,
        bundle_digest: str,
        limits: RegistryLimits | None = None,
        clock: Callable[[], datetime] = _now,
        *,
        busy_s: float = BUSY_S,
    ) -> Self:
        """Open the registry of a state directory, and make it where there is none.

        A registry of an older version is brought up to date; what an upload left behind that was
        never acknowledged is removed. A write waits `busy_s` for other processes'. Raises
        `InvalidSettings` where the directory cannot be used, or holds something else or a newer
        schema, and `StoreFull` where it cannot be written.
        """
        with refusing_full(), _refusing_unusable(state), ExitStack() as opened:
            state.mkdir(mode=0o700, parents=True, exist_ok=True)
            _check_not_lost(state, knows_any=(state / FILE).exists())
            database = Database(state, busy_s)
            opened.callback(database.close)
            database.prepare()
            store = Store(state)
            opened.callback(store.close)
            with database.write() as connection:
                # Without its -wal, a small registry is a file that knows nothing.
                _check_not_lost(state, knows_any=journal.has_lines(connection))
                store.sweep(*versions.wanted(connection))
            registry = cls(database, store, bundle_digest, limits or RegistryLimits(), clock)
            opened.pop_all()
        return registry

    def close(self) -> None:
        """Stop watching and close files; nothing may be called afterwards."""
        if self._watcher is not None:
            self._watcher.stop()
        self._database.close()
        self._store.close()

    def refresh(self) -> bool:
        """Take over what other processes changed; return whether there was anything."""
        return self._keeper.refresh()

    def watch(
        self,
        poll_s: float,
        on_change: Callable[[], object],
        on_failure: Callable[[], object],
        on_answer: Callable[[], object] = lambda: None,
    ) -> Watcher:
        """Take over what other processes change, from now on, asking every `poll_s`.

        `on_change` is called after each time that there was something, `on_failure` after each
        that could not be asked, `on_answer` after each that could, all of them in a thread of
        their own. It ends with `Watcher.stop`, or when the registry is closed.
        """
        assert self._watcher is None, "one thread is enough"
        self._watcher = Watcher(
            self._database.path, self.refresh, poll_s, on_change, on_failure, on_answer
        )
        return self._watcher

    def route(
        self, tenant: str, adapter: str, version: int | None, key: str | None = None
    ) -> Route:
        """Return which version answers: the one of that number, or the one that is drawn.

        The draw is between the live version and its canary; `key`, the routing key, always draws
        the same. Raises `UnknownTenant`, `UnknownAdapter`, `UnknownVersion` or `NoLiveVersion`.
        """
        return self._keeper.view.routes.find(tenant, adapter, version, key)

    def routes(self) -> Routes:
        """Return every route at this moment; the same object until something changes."""
        return self._keeper.view.routes

    def tenant_settings(self, name: str) -> TenantSettings:
        """Return a tenant's settings; raise `UnknownTenant`."""
        return self._keeper.view.routes.of(name).settings

    def find_reference(self, reference: bytes) -> Named | None:
        """Return what the 8 bytes in a prediction id stand for, a deleted version too."""
        return self._keeper.view.references.get(reference)

    def authenticate(self, key: str) -> KeyRecord | None:
        """Return whose key this is; None where no tenant has it."""
        found = find(self._keeper.view.keys, key)
        return None if found is None else found.record

    def load_adapter(self, digest: str, manifest: Manifest) -> Adapter:
        """Read an adapter from the store, every byte verified.

        Raises `AdapterUnreadable`, naming the digest.
        """
        return self._store.load(digest, manifest)

    def extra_file(self, version: Version, name: str) -> bytes | None:
        """Return another file that a version's upload brought (`README.md`), None if it did not.

        Raises `AdapterUnreadable` where it was altered.
        """
        digest = version.extras.get(name)
        return None if digest is None else self._store.read_file(digest)

    def problems(self, progress: Progress | None = None) -> Iterator[Problem]:
        """Yield what is wrong with the database, what it says, and the files that it names."""
        return inspection.problems(self._database, self._store, progress)
