"""The registry: which tenants there are, what they published, and what answers.

Everything that changes something is on disk when it returns, with its line in the audit trail, in
one transaction. Everything here may be called from any thread. What requests ask for (`route`,
`authenticate`, `tenant_settings`, `find_reference`) is answered from memory; all else waits for
the disk.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

import orjson
from sqlalchemy import select

from service.engine.errors import Problem
from service.errors import NotPermitted
from service.registry import (
    journal,
    keys,
    publishing,
    rolling,
    rollouts,
    tables,
    tenancy,
    tenants,
    usage,
    versions,
)
from service.registry.change import Change
from service.registry.lookups import (
    known_rollout,
    known_tenant,
    known_version,
    known_versions,
)
from service.registry.opened import OpenRegistry
from service.registry.records import (
    AdapterSummary,
    AuditLine,
    AuditPage,
    KeyRecord,
    Named,
    Proof,
    Rollout,
    Tenant,
    TenantSettings,
    Usage,
    UsageLine,
    Verdict,
    Version,
    check_name,
)
from service.registry.rollout_document import read_document
from service.registry.versions import Draft
from service.uploads.package import Package

# A request that was routed before a version was deleted may still have to load its files.
_GRACE = timedelta(seconds=120)

_AUDITED_PROBLEMS_MAX = 20


class Registry(OpenRegistry):
    """One state directory; open it with `Registry.open`."""

    def put_tenant(self, name: str, settings: TenantSettings, actor: str) -> tuple[Tenant, bool]:
        """Make a tenant, or give it other settings; return it and whether it was made.

        Raises `UnacceptableRequest` for a name that cannot be one, or beyond the limit.
        """
        check_name(name, "a tenant")
        with self._keeper.change(actor) as change:
            return tenancy.put(change, name, settings, self._limits)

    def tenant(self, name: str) -> Tenant:
        """Return a tenant; raise `UnknownTenant`."""
        with self._database.read() as connection:
            return known_tenant(connection, name)

    def tenants(self) -> list[Tenant]:
        """Return every tenant, by name."""
        with self._database.read() as connection:
            return tenants.every(connection)

    def delete_tenant(self, name: str, actor: str) -> None:
        """Delete a tenant, its keys and its adapters, of which tombstones stay.

        Raises `UnknownTenant`, and `Conflict` while a rollout of it names a version.
        """
        with self._keeper.change(actor) as change:
            tenancy.delete(change, known_tenant(change.connection, name))
            self._tell_deleted(change)

    def create_key(self, tenant: str, scopes: Collection[str], actor: str) -> tuple[KeyRecord, str]:
        """Make a key; return its record, and the key itself, which is kept nowhere.

        Raises `UnknownTenant`, and `UnacceptableRequest` for scopes that are none or beyond the
        limit.
        """
        checked = keys.check_scopes(scopes)
        with self._keeper.change(actor) as change:
            known = known_tenant(change.connection, tenant)
            return tenancy.create_key(change, known, checked, self._limits)

    def keys(self, tenant: str) -> list[KeyRecord]:
        """Return a tenant's keys, oldest first; raise `UnknownTenant`."""
        with self._database.read() as connection:
            known_tenant(connection, tenant)
            return [held.record for held in keys.held(connection, tenant).values()]

    def revoke_key(self, tenant: str, key_id: str, actor: str) -> None:
        """Revoke a key; this process refuses it from before this returns.

        Raises `UnknownTenant` or `UnknownKey`.
        """
        with self._keeper.change(actor) as change:
            tenancy.revoke_key(change, known_tenant(change.connection, tenant), key_id)

    def publish(
        self,
        tenant: str,
        adapter: str,
        package: Package,
        report: Mapping[str, Any],
        actor: str,
        *,
        state: Verdict = "validated",
        before: Callable[[Version], object] | None = None,
    ) -> tuple[Version, bool]:
        """Give a package the adapter's next number; return the version and whether it is new.

        `before` is called with the version before it is one: where it raises, nothing is published.

        The same digest again is the same version, with the verdict and report that it has, unless
        those were of another bundle. Files of it that were damaged are mended. Raises
        `UnknownTenant`, `UnacceptableRequest` for a name that cannot be one or beyond a limit, and
        `StoreFull`.
        """
        check_name(adapter, "an adapter")
        self.tenant(tenant)  # before anything is written
        staged = self._store.stage(package)
        try:
            with self._keeper.change(actor) as change:
                known_tenant(change.connection, tenant)
                self._collect(change)
                known = versions.find_digest(change.connection, tenant, adapter, package.digest)
                if known is not None:
                    version = publishing.judge_again(change, known, report, state)
                else:
                    draft = Draft(
                        tenant, adapter, package, report, staged.extras, self._backbone, state
                    )
                    version = publishing.add(change, draft, self._limits)
                if before is not None:
                    before(version)
                self._store.admit(staged, with_extras=known is None)
        finally:
            self._store.discard(staged)
        return version, known is None

    def find_version_of(self, tenant: str, adapter: str, digest: str) -> Version | None:
        """Return the version that has this content and was judged against this server's bundle.

        None too where there is no such tenant or adapter.
        """
        with self._database.read() as connection:
            found = versions.find_digest(connection, tenant, adapter, digest)
        return found if found is not None and found.backbone == self._backbone else None

    def note_refused(
        self, tenant: str, adapter: str, problems: Sequence[Problem], actor: str
    ) -> None:
        """Keep the audit line of an upload that was refused, and nothing else of it."""
        with self._keeper.change(actor) as change:
            listed = [str(problem) for problem in problems[:_AUDITED_PROBLEMS_MAX]]
            after = {"problems": listed, "count": len(problems)}
            change.log("version.refused", tenant=tenant, adapter=adapter, after=after)

    def note_quarantined(self, digest: str, actor: str) -> list[Named]:
        """Keep an audit line for each version of this digest, and return the versions."""
        columns = tables.versions.c
        query = select(columns.tenant, columns.adapter, columns.number, columns.labels).where(
            columns.digest == digest, columns.deleted_at.is_(None)
        )
        found = []
        with self._keeper.change(actor) as change:
            for tenant, adapter, number, labels in change.connection.execute(query).all():
                after = {"version": number, "digest": digest, "why": "inf or NaN in an answer"}
                change.log("version.quarantined", tenant=tenant, adapter=adapter, after=after)
                known = tuple(orjson.loads(labels))
                found.append(Named(tenant, adapter, number, digest, known, deleted=False))
        return found

    def adapters(self, tenant: str) -> list[AdapterSummary]:
        """Return a tenant's adapters, by name; raise `UnknownTenant`."""
        with self._database.read() as connection:
            known_tenant(connection, tenant)
            return versions.summaries(connection, tenant)

    def versions(self, tenant: str, adapter: str, *, deleted: bool = False) -> list[Version]:
        """Return an adapter's versions, by number; with tombstones where asked for.

        Raises `UnknownTenant` or `UnknownAdapter`.
        """
        with self._database.read() as connection:
            known_tenant(connection, tenant)
            return known_versions(connection, tenant, adapter, deleted=deleted)

    def version(self, tenant: str, adapter: str, number: int) -> Version:
        """Return a version; raise `UnknownTenant`, `UnknownAdapter` or `UnknownVersion`."""
        with self._database.read() as connection:
            known_tenant(connection, tenant)
            return known_version(connection, tenant, adapter, number)

    def delete_version(self, tenant: str, adapter: str, number: int, actor: str) -> None:
        """Delete a version, of which a tombstone stays.

        Raises `UnknownTenant`, `UnknownAdapter` or `UnknownVersion`, and `Conflict` while the
        rollout names it.
        """
        with self._keeper.change(actor) as change:
            known_tenant(change.connection, tenant)
            chosen = known_version(change.connection, tenant, adapter, number)
            publishing.delete(change, [chosen])
            self._collect(change)
            self._tell_deleted(change)

    def delete_adapter(self, tenant: str, adapter: str, actor: str) -> None:
        """Delete every version of an adapter, of which tombstones stay.

        Raises `UnknownTenant` or `UnknownAdapter`, and `Conflict` while the rollout names one.
        """
        with self._keeper.change(actor) as change:
            known_tenant(change.connection, tenant)
            publishing.delete(change, known_versions(change.connection, tenant, adapter))
            self._collect(change)
            self._tell_deleted(change)

    def _collect(self, change: Change) -> None:
        """Remove the files that only tombstones name, once no request can be on its way there."""
        until = (self._clock() - _GRACE).isoformat(timespec="microseconds")
        self._store.remove(*versions.collect(change.connection, until))

    def rollout(self, tenant: str, adapter: str) -> Rollout:
        """Return an adapter's rollout; raise `UnknownTenant` or `UnknownAdapter`."""
        with self._database.read() as connection:
            return known_rollout(connection, tenant, adapter)

    def set_rollout(
        self,
        tenant: str,
        adapter: str,
        document: Mapping[str, object],
        if_match: int | None,
        actor: str,
        *,
        may_force: bool = True,
    ) -> Rollout:
        """Put a rollout document in place; the same again changes nothing.

        Raises `UnknownTenant`, `UnknownAdapter`, `RevisionMismatch` where `if_match` is another
        revision than the current one, `UnacceptableRequest` for a document that cannot be, naming
        everything that is wrong with it, and `NotPermitted` where it has a `force` and the caller
        may not.
        """
        wanted = read_document(document, self._limits.shadows_max)
        if wanted.forced is not None and not may_force:
            raise NotPermitted("`force` in a rollout needs a key with the scope admin")
        with self._keeper.change(actor) as change:
            before = known_rollout(change.connection, tenant, adapter)
            after = rolling.place(change, before, wanted, if_match)
            self._tell(change, before, after)
            return after

    def rollback(self, tenant: str, adapter: str, if_match: int | None, actor: str) -> Rollout:
        """Return to the rollout before the current one, as a new revision.

        Its canary and shadows come back with it. Rolling back twice goes back two steps, not to
        and fro: whoever presses the button again still wants away from what is live. Raises
        `UnknownTenant`, `UnknownAdapter`, `RevisionMismatch`, and `Conflict` where there is
        nothing to return to.
        """
        with self._keeper.change(actor) as change:
            before = known_rollout(change.connection, tenant, adapter)
            after = rolling.back(change, before, if_match)
            self._tell(change, before, after)
            return after

    def begin_of_trial(self, rollout: Rollout) -> Rollout:
        """Return the first rollout of those in a row that have this one's canary and live."""
        with self._database.read() as connection:
            return rollouts.begin_of_trial(connection, rollout)

    def way_back(self, rollout: Rollout) -> tuple[int, Rollout] | None:
        """Return the version that was live before and is a shadow now, and since which rollout.

        None where nobody left it there.
        """
        with self._database.read() as connection:
            before = rollouts.live_before(connection, rollout)
            if before is None or before not in rollout.shadows:
                return None
            return before, rollouts.begin_of_watch(connection, rollout, before)

    def take_out_canary(self, seen: Rollout, proof: Proof, actor: str) -> Rollout:
        """Take the canary of a rollout out, if that is still the current one.

        Raises what `rollback` raises.
        """
        with self._keeper.change(actor) as change:
            before = known_rollout(change.connection, seen.tenant, seen.adapter)
            after = rolling.without_canary(change, before, proof, seen.revision)
            self._tell(change, before, after)
            return after

    def return_to_shadow(self, seen: Rollout, version: int, proof: Proof, actor: str) -> Rollout:
        """Make a shadow of a rollout live, if that is still the current one.

        Raises what `rollback` raises.
        """
        with self._keeper.change(actor) as change:
            before = known_rollout(change.connection, seen.tenant, seen.adapter)
            after = rolling.back_to_shadow(change, before, version, proof, seen.revision)
            self._tell(change, before, after)
            return after

    def last_automatic_rollback(self, tenant: str, adapter: str) -> AuditLine | None:
        """Return the audit line of the last rollback that nobody asked for; None: there is none."""
        with self._database.read() as connection:
            return journal.last_of(connection, tenant, adapter, rolling.AUTOMATIC)

    def _tell(self, change: Change, before: Rollout, after: Rollout) -> None:
        tell = self.on_rollout
        if tell is not None and after.revision != before.revision:
            change.told.append(lambda: tell(before, after, change.actor, change.at))

    def _tell_deleted(self, change: Change) -> None:
        tell = self.on_deleted
        if tell is not None and change.gone:
            change.told.append(lambda: tell(change.gone))

    def audit(
        self,
        tenant: str | None = None,
        since: datetime | None = None,
        cursor: int | None = None,
        limit: int = 100,
        *,
        own: bool = False,
    ) -> AuditPage:
        """Return lines of the audit trail, oldest first: of a tenant, from a time on, in pages.

        `own` leaves out what is of an earlier tenant of the same name.
        """
        if since is not None and since.tzinfo is None:
            since = since.replace(tzinfo=UTC)
        text = None if since is None else since.astimezone(UTC).isoformat(timespec="microseconds")
        with self._database.read() as connection:
            if own and tenant is not None:
                cursor = max(cursor or 0, journal.beginning_of(connection, tenant) - 1)
            return journal.read_lines(connection, tenant, text, cursor, limit)

    def add_usage(self, rows: Mapping[tuple[str, date], Usage]) -> None:
        """Add to the usage of tenants and days, all or nothing; raise `StoreFull`."""
        if rows:
            with self._database.write() as connection:
                usage.add(connection, rows, self._clock().astimezone(UTC).date())

    def usage(
        self, tenant: str, since: date | None = None, until: date | None = None
    ) -> list[UsageLine]:
        """Return a tenant's usage by day, oldest first, both ends included.

        What a deleted tenant used can be read as long as it is kept. Raises `UnknownTenant` where
        there is neither a tenant nor usage of that name.
        """
        with self._database.read() as connection:
            lines = usage.read(connection, tenant, since, until)
            if not lines:
                known_tenant(connection, tenant)
            return lines
