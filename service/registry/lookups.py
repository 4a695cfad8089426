"""Tenants, adapters, versions and rollouts by their names, or the error that says what is unknown.

They read within the transaction of a caller who goes on from there.
"""

from sqlalchemy import Connection

from service.errors import UnknownAdapter, UnknownTenant, UnknownVersion
from service.registry import rollouts, tenants, versions
from service.registry.records import Rollout, Tenant, Version


def known_tenant(connection: Connection, name: str) -> Tenant:
    """Return a tenant; raise `UnknownTenant`."""
    found = tenants.find(connection, name)
    if found is None:
        raise UnknownTenant(f"there is no tenant {name[:80]!r}")
    return found


def known_versions(
    connection: Connection, tenant: str, adapter: str, *, deleted: bool = False
) -> list[Version]:
    """Return an adapter's versions, with tombstones where asked for; raise `UnknownAdapter`."""
    found = versions.of_adapter(connection, tenant, adapter, deleted=deleted)
    if not found:
        raise _no_adapter(tenant, adapter)
    return found


def known_version(connection: Connection, tenant: str, adapter: str, number: int) -> Version:
    """Return a version; raise `UnknownAdapter` or `UnknownVersion`."""
    for found in versions.some(connection, tenant, adapter, [number]):
        return found
    _check_adapter(connection, tenant, adapter)
    raise UnknownVersion(f"{tenant}.{adapter} has no version {number}")


def known_rollout(connection: Connection, tenant: str, adapter: str) -> Rollout:
    """Return an adapter's current rollout; raise `UnknownTenant` or `UnknownAdapter`."""
    known_tenant(connection, tenant)
    _check_adapter(connection, tenant, adapter)
    return rollouts.current(connection, tenant, adapter)


def _check_adapter(connection: Connection, tenant: str, adapter: str) -> None:
    if not versions.are_there(connection, tenant, adapter):
        raise _no_adapter(tenant, adapter)


def _no_adapter(tenant: str, adapter: str) -> UnknownAdapter:
    return UnknownAdapter(f"the tenant {tenant} has no adapter {adapter[:80]!r}")
