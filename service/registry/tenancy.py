"""How tenants come, change and go, within one change of the registry."""

from service.credentials.scopes import Scope, listed
from service.errors import Conflict, UnknownKey
from service.registry import journal, keys, publishing, rollouts, tenants, versions
from service.registry.change import Change
from service.registry.records import KeyRecord, RegistryLimits, Tenant, TenantSettings


def put(
    change: Change, name: str, settings: TenantSettings, limits: RegistryLimits
) -> tuple[Tenant, bool]:
    """Make a tenant, or give it other settings; return it and whether it was made."""
    before = tenants.find(change.connection, name)
    if before is None:
        tenant = Tenant(name, settings, change.at)
        tenants.make(change.connection, tenant, limits)
        change.log(journal.MADE, tenant=name, after=settings.document())
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


def delete(change: Change, tenant: Tenant) -> None:
    """Delete a tenant, its keys and its adapters; raise `Conflict` while a rollout names any."""
    name = tenant.name
    used = [
        adapter
        for (_, adapter), rollout in rollouts.every_current(change.connection, name).items()
        if rollout.roles()
    ]
    if used:
        named = ", ".join(sorted(used)[:10])
        raise Conflict(
            f"the tenant {name} still has adapters whose rollouts name versions: {named}"
        )
    for summary in versions.summaries(change.connection, name):
        publishing.delete(change, versions.of_adapter(change.connection, name, summary.adapter))
    for held in keys.held(change.connection, name).values():
        _revoke(change, held.record)
    tenants.remove(change.connection, name)
    change.log("tenant.deleted", tenant=name, before=tenant.settings.document())


def create_key(
    change: Change, tenant: Tenant, scopes: frozenset[Scope], limits: RegistryLimits
) -> tuple[KeyRecord, str]:
    """Make a key; return its record and itself."""
    record, key = keys.make(change.connection, tenant.name, scopes, change.actor, change.at, limits)
    change.log("key.created", tenant=tenant.name, after=_document(record))
    return record, key


def revoke_key(change: Change, tenant: Tenant, key_id: str) -> None:
    """Remove a key; raise `UnknownKey`."""
    held = keys.held(change.connection, tenant.name).get(key_id)
    if held is None:
        raise UnknownKey(f"the tenant {tenant.name} has no key {key_id[:80]!r}")
    _revoke(change, held.record)


def _revoke(change: Change, record: KeyRecord) -> None:
    keys.remove(change.connection, record.id)
    change.log("key.revoked", tenant=record.tenant, before=_document(record))


def _document(record: KeyRecord) -> dict[str, object]:
    return {"id": record.id, "scopes": listed(record.scopes)}
