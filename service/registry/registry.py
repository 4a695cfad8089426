"""The registry: which tenants there are, what they published, and what answers.

Everything that changes something is on disk when it returns, with its line in the audit trail, in
one transaction. Everything here may be called from any thread; all but `route` waits for the disk.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Lock
from typing import Any, Self

from sqlalchemy import Connection, select

from service.engine.adapter import Adapter
from service.engine.bundle import Manifest
from service.engine.errors import Problem
from service.errors import (
    Conflict,
    UnacceptableRequest,
    UnknownAdapter,
    UnknownTenant,
    UnknownVersion,
)
from service.registry import journal, publishing, rollouts, tables, tenants, versions
from service.registry.change import Change
from service.registry.database import Database, refusing_full
from service.registry.records import (
    AdapterSummary,
    AuditPage,
    RegistryLimits,
    Rollout,
    Route,
    Tenant,
    TenantSettings,
    Version,
    check_name,
)
from service.registry.routes import Routes, read_routes
from service.registry.store import Store
from service.registry.versions import Draft
from service.uploads.package import Package

# A request that was routed before a version was deleted may still have to load its files.
_GRACE = timedelta(seconds=120)

_AUDITED_PROBLEMS_MAX = 20


def _now() -> datetime:
    return datetime.now(UTC)


class Registry:
    """One state directory; open it with `Registry.open`."""

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
        self._lock = Lock()  # over every change, so that routes follow each other as commits do
        self._routes = Routes()

    @classmethod
    def open(
        cls,
        state: Path,
        bundle_digest: str,
        limits: RegistryLimits | None = None,
        clock: Callable[[], datetime] = _now,
    ) -> Self:
        """Open the registry of a state directory, and make it where there is none.

        What an upload left behind that was never acknowledged is removed. Raises
        `InvalidSettings` where the directory holds something else or another schema, and
        `StoreFull` where it cannot be written.
        """
        with refusing_full(), ExitStack() as opened:
            state.mkdir(parents=True, exist_ok=True)
            database = Database(state)
            opened.callback(database.close)
            database.prepare()
            store = Store(state)
            opened.callback(store.close)
            with database.write() as connection:
                store.sweep(*versions.wanted(connection))
            registry = cls(database, store, bundle_digest, limits or RegistryLimits(), clock)
            registry.refresh()
            opened.pop_all()
        return registry

    def close(self) -> None:
        """Close files; nothing may be called afterwards."""
        self._database.close()
        self._store.close()

    def refresh(self) -> None:
        """Read the routes anew, for what other processes changed."""
        with self._lock, self._database.read() as connection:
            self._routes = read_routes(connection, self._backbone)

    def route(self, tenant: str, adapter: str, version: int | None) -> Route:
        """Return which version answers: the one of that number, or the live one; without I/O.

        Raises `UnknownTenant`, `UnknownAdapter`, `UnknownVersion` or `NoLiveVersion`.
        """
        return self._routes.find(tenant, adapter, version)

    @contextmanager
    def _change(self, actor: str) -> Iterator[Change]:
        """Give a transaction; its routes are put in place once it is on disk."""
        with self._lock:
            with self._database.write() as connection:
                change = Change(connection, self._time(), actor, self._backbone, self._routes)
                yield change
            self._routes = change.routes

    def _time(self) -> str:
        return self._clock().isoformat(timespec="microseconds")

    def put_tenant(self, name: str, settings: TenantSettings, actor: str) -> tuple[Tenant, bool]:
        """Make a tenant, or give it other settings; return it and whether it was made.

        Raises `UnacceptableRequest` for a name that cannot be one, or beyond the limit.
        """
        check_name(name, "a tenant")
        with self._change(actor) as change:
            before = tenants.find(change.connection, name)
            if before is None:
                tenant = Tenant(name, settings, change.at)
                tenants.make(change.connection, tenant, self._limits)
                change.routes = change.routes.with_tenant(name)
                change.log("tenant.created", tenant=name, after=settings.document())
                return tenant, True
            if before.settings != settings:
                tenants.change(change.connection, name, settings)
                change.log(
                    "tenant.changed",
                    tenant=name,
                    before=before.settings.document(),
                    after=settings.document(),
                )
            return Tenant(name, settings, before.created_at), False

    def tenant(self, name: str) -> Tenant:
        """Return a tenant; raise `UnknownTenant`."""
        with self._database.read() as connection:
            return _known_tenant(connection, name)

    def tenants(self) -> list[Tenant]:
        """Return every tenant, by name."""
        with self._database.read() as connection:
            return tenants.every(connection)

    def delete_tenant(self, name: str, actor: str) -> None:
        """Delete a tenant and its adapters, of which tombstones stay.

        Raises `UnknownTenant`, and `Conflict` while an adapter of it is live.
        """
        with self._change(actor) as change:
            tenant = _known_tenant(change.connection, name)
            live = rollouts.live_versions(change.connection, name)
            if live:
                listed = ", ".join(sorted(adapter for _, adapter in live)[:10])
                raise Conflict(f"the tenant {name} still has live adapters: {listed}")
            for summary in versions.summaries(change.connection, name):
                own = versions.of_adapter(change.connection, name, summary.adapter)
                publishing.delete(change, own)
            tenants.remove(change.connection, name)
            change.routes = change.routes.without_tenant(name)
            change.log("tenant.deleted", tenant=name, before=tenant.settings.document())

    def publish(
        self,
        tenant: str,
        adapter: str,
        package: Package,
        report: Mapping[str, Any],
        actor: str,
    ) -> tuple[Version, bool]:
        """Give a package the adapter's next number; return the version and whether it is new.

        The same digest again is the same version. Raises `UnknownTenant`, `UnacceptableRequest`
        for a name that cannot be one or beyond a limit, and `StoreFull`.
        """
        check_name(adapter, "an adapter")
        self.tenant(tenant)  # before anything is written
        staged = self._store.stage(package)
        try:
            with self._change(actor) as change:
                _known_tenant(change.connection, tenant)
                self._collect(change)
                known = versions.find_digest(change.connection, tenant, adapter, package.digest)
                if known is not None:
                    version = publishing.judge_again(change, known, report)
                else:
                    draft = Draft(tenant, adapter, package, report, staged.extras, self._backbone)
                    version = publishing.add(change, draft, self._limits)
                self._store.admit(staged, with_extras=known is None)
        finally:
            self._store.discard(staged)
        return version, known is None

    def note_refused(
        self, tenant: str, adapter: str, problems: Sequence[Problem], actor: str
    ) -> None:
        """Keep the audit line of an upload that was refused, and nothing else of it."""
        with self._change(actor) as change:
            listed = [str(problem) for problem in problems[:_AUDITED_PROBLEMS_MAX]]
            after = {"problems": listed, "count": len(problems)}
            change.log("version.refused", tenant=tenant, adapter=adapter, after=after)

    def note_quarantined(self, digest: str, actor: str) -> None:
        """Keep an audit line for each adapter that has a version of this digest."""
        columns = tables.versions.c
        query = select(columns.tenant, columns.adapter, columns.number).where(
            columns.digest == digest, columns.deleted_at.is_(None)
        )
        with self._change(actor) as change:
            for tenant, adapter, number in change.connection.execute(query).all():
                after = {"version": number, "digest": digest, "why": "inf or NaN in an answer"}
                change.log("version.quarantined", tenant=tenant, adapter=adapter, after=after)

    def adapters(self, tenant: str) -> list[AdapterSummary]:
        """Return a tenant's adapters, by name; raise `UnknownTenant`."""
        with self._database.read() as connection:
            _known_tenant(connection, tenant)
            return versions.summaries(connection, tenant)

    def versions(self, tenant: str, adapter: str, *, deleted: bool = False) -> list[Version]:
        """Return an adapter's versions, by number; with tombstones where asked for.

        Raises `UnknownTenant` or `UnknownAdapter`.
        """
        with self._database.read() as connection:
            _known_tenant(connection, tenant)
            return _known_versions(connection, tenant, adapter, deleted=deleted)

    def version(self, tenant: str, adapter: str, number: int) -> Version:
        """Return a version; raise `UnknownTenant`, `UnknownAdapter` or `UnknownVersion`."""
        for version in self.versions(tenant, adapter):
            if version.version == number:
                return version
        raise UnknownVersion(f"{tenant}.{adapter} has no version {number}")

    def delete_version(self, tenant: str, adapter: str, number: int, actor: str) -> None:
        """Delete a version, of which a tombstone stays.

        Raises `UnknownTenant`, `UnknownAdapter` or `UnknownVersion`, and `Conflict` while it is
        live.
        """
        with self._change(actor) as change:
            _known_tenant(change.connection, tenant)
            known = _known_versions(change.connection, tenant, adapter)
            chosen = [version for version in known if version.version == number]
            if not chosen:
                raise UnknownVersion(f"{tenant}.{adapter} has no version {number}")
            publishing.delete(change, chosen)
            self._collect(change)

    def delete_adapter(self, tenant: str, adapter: str, actor: str) -> None:
        """Delete every version of an adapter, of which tombstones stay.

        Raises `UnknownTenant` or `UnknownAdapter`, and `Conflict` while one is live.
        """
        with self._change(actor) as change:
            _known_tenant(change.connection, tenant)
            publishing.delete(change, _known_versions(change.connection, tenant, adapter))
            self._collect(change)

    def _collect(self, change: Change) -> None:
        """Remove the files that only tombstones name, once no request can be on its way there."""
        until = (self._clock() - _GRACE).isoformat(timespec="microseconds")
        self._store.remove(*versions.collect(change.connection, until))

    def rollout(self, tenant: str, adapter: str) -> Rollout:
        """Return an adapter's rollout; raise `UnknownTenant` or `UnknownAdapter`."""
        with self._database.read() as connection:
            _known_tenant(connection, tenant)
            _known_versions(connection, tenant, adapter)
            return rollouts.current(connection, tenant, adapter)

    def set_rollout(
        self,
        tenant: str,
        adapter: str,
        document: Mapping[str, object],
        if_match: int | None,
        actor: str,
    ) -> Rollout:
        """Put a rollout document in place; the same again changes nothing.

        Raises `UnknownTenant`, `UnknownAdapter`, `RevisionMismatch` where `if_match` is another
        revision than the current one, and `UnacceptableRequest` for a document that cannot be.
        """
        live = rollouts.read_document(document)
        with self._change(actor) as change:
            _known_tenant(change.connection, tenant)
            known = _known_versions(change.connection, tenant, adapter)
            before = rollouts.current(change.connection, tenant, adapter)
            rollouts.check_revision(before, if_match)
            if live is not None:
                flaw = rollouts.flaw_of(known, live, self._backbone)
                if flaw is not None:
                    raise UnacceptableRequest(flaw)
            if before.revision and live == before.live:
                return before
            return _roll(change, "rollout.set", before, live, before.revision or None)

    def rollback(self, tenant: str, adapter: str, if_match: int | None, actor: str) -> Rollout:
        """Return to the rollout before the current one, as a new revision.

        Rolling back twice goes back two steps, not to and fro: whoever presses the button again
        still wants away from what is live. Raises `UnknownTenant`, `UnknownAdapter`,
        `RevisionMismatch`, and `Conflict` where there is nothing to return to.
        """
        with self._change(actor) as change:
            _known_tenant(change.connection, tenant)
            known = _known_versions(change.connection, tenant, adapter)
            before = rollouts.current(change.connection, tenant, adapter)
            rollouts.check_revision(before, if_match)
            if before.previous is None:
                raise Conflict(f"{tenant}.{adapter} has no earlier rollout to return to")
            past = rollouts.at_revision(change.connection, tenant, adapter, before.previous)
            if past.live is not None:
                flaw = rollouts.flaw_of(known, past.live, self._backbone)
                if flaw is not None:
                    raise Conflict(f"revision {past.revision} cannot be returned to: {flaw}")
            return _roll(change, "rollout.back", before, past.live, past.previous)

    def adapter_files(self, digest: str) -> Path:
        """Return the folder of an adapter's files."""
        return self._store.folder(digest)

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

    def audit(
        self,
        tenant: str | None = None,
        since: datetime | None = None,
        cursor: int | None = None,
        limit: int = 100,
    ) -> AuditPage:
        """Return lines of the audit trail, oldest first: of a tenant, from a time on, in pages."""
        if since is not None and since.tzinfo is None:
            since = since.replace(tzinfo=UTC)
        text = None if since is None else since.astimezone(UTC).isoformat(timespec="microseconds")
        with self._database.read() as connection:
            return journal.read_lines(connection, tenant, text, cursor, limit)


def _known_tenant(connection: Connection, name: str) -> Tenant:
    tenant = tenants.find(connection, name)
    if tenant is None:
        raise UnknownTenant(f"there is no tenant {name[:80]!r}")
    return tenant


def _known_versions(
    connection: Connection, tenant: str, adapter: str, *, deleted: bool = False
) -> list[Version]:
    known = versions.of_adapter(connection, tenant, adapter, deleted=deleted)
    if not known:
        raise UnknownAdapter(f"the tenant {tenant} has no adapter {adapter[:80]!r}")
    return known


def _roll(
    change: Change, action: str, before: Rollout, live: int | None, previous: int | None
) -> Rollout:
    after = rollouts.put(change.connection, before, live, previous, change.actor, change.at)
    change.reroute(after.tenant, after.adapter)
    change.log(
        action,
        tenant=after.tenant,
        adapter=after.adapter,
        before={"revision": before.revision, **before.document()},
        after={"revision": after.revision, **after.document()},
    )
    return after
