"""Tenants: a name, settings, and when it was made."""

from typing import Any

import orjson
from sqlalchemy import Connection, delete, func, insert, select, update

from service.errors import UnacceptableRequest
from service.registry import tables
from service.registry.records import RegistryLimits, Tenant, TenantSettings

_c = tables.tenants.c


def find(connection: Connection, name: str) -> Tenant | None:
    """Return the tenant of that name."""
    row = connection.execute(select(tables.tenants).where(_c.name == name)).one_or_none()
    return None if row is None else _tenant(row)


def every(connection: Connection) -> list[Tenant]:
    """Return all tenants by name."""
    return [_tenant(row) for row in connection.execute(select(tables.tenants).order_by(_c.name))]


def make(connection: Connection, tenant: Tenant, limits: RegistryLimits) -> None:
    """Write a new tenant; raise `UnacceptableRequest` beyond the limit."""
    count = connection.execute(select(func.count()).select_from(tables.tenants)).scalar_one()
    if count >= limits.tenants_max:
        raise UnacceptableRequest(f"the server holds {limits.tenants_max} tenants, its limit")
    connection.execute(
        insert(tables.tenants).values(
            name=tenant.name, settings=_json(tenant.settings), created_at=tenant.created_at
        )
    )


def change(connection: Connection, name: str, settings: TenantSettings) -> None:
    """Give a tenant other settings."""
    connection.execute(
        update(tables.tenants).where(_c.name == name).values(settings=_json(settings))
    )


def remove(connection: Connection, name: str) -> None:
    """Remove a tenant's row."""
    connection.execute(delete(tables.tenants).where(_c.name == name))


def _tenant(row: Any) -> Tenant:
    return Tenant(
        row.name, TenantSettings.model_validate(orjson.loads(row.settings)), row.created_at
    )


def _json(settings: TenantSettings) -> str:
    return orjson.dumps(settings.document()).decode()
