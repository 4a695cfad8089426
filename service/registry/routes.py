"""Routes in memory: which digest answers for a name, without I/O.

A `Routes` never changes; a change of the registry makes another one, and one assignment puts it
in place, so that a request sees either all of a change or nothing of it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson
from sqlalchemy import Connection, select

from service.errors import NoLiveVersion, UnknownAdapter, UnknownTenant, UnknownVersion
from service.registry import rollouts, tables, versions
from service.registry.records import Route


@dataclass(frozen=True, slots=True)
class AdapterRoutes:
    """The versions of one adapter."""

    live: int | None
    versions: Mapping[int, Route]
    foreign: frozenset[int]  # judged against another bundle, so they cannot answer here


@dataclass(frozen=True, slots=True)
class Routes:
    """Every way that a request can go, at one moment."""

    tenants: Mapping[str, Mapping[str, AdapterRoutes]] = field(default_factory=dict)

    def find(self, tenant: str, adapter: str, version: int | None) -> Route:
        """Return the route to a version, or to the live one.

        Raises `UnknownTenant`, `UnknownAdapter`, `UnknownVersion` or `NoLiveVersion`.
        """
        adapters = self.tenants.get(tenant)
        if adapters is None:
            raise UnknownTenant(f"there is no tenant {tenant[:80]!r}")
        known = adapters.get(adapter)
        if known is None:
            raise UnknownAdapter(f"the tenant {tenant} has no adapter {adapter[:80]!r}")
        number = known.live if version is None else version
        if number is None:
            raise NoLiveVersion(
                f"{tenant}.{adapter} has versions, but none is live; name one in its rollout"
            )
        route = known.versions.get(number)
        if route is not None:
            return route
        if number not in known.foreign:
            raise UnknownVersion(f"{tenant}.{adapter} has no version {number}")
        reason = (
            f"version {number} of {tenant}.{adapter} was judged against another bundle than the"
            " one that this server serves; upload it again"
        )
        raise NoLiveVersion(reason) if version is None else UnknownVersion(reason)

    def with_tenant(self, tenant: str) -> "Routes":
        """Return the same routes and a tenant without any, unless it is there."""
        return self if tenant in self.tenants else Routes({**self.tenants, tenant: {}})

    def without_tenant(self, tenant: str) -> "Routes":
        """Return the same routes but for one tenant's."""
        return Routes({name: own for name, own in self.tenants.items() if name != tenant})

    def with_adapter(self, tenant: str, adapter: str, routes: AdapterRoutes | None) -> "Routes":
        """Return the same routes but for one adapter's; None takes the adapter away."""
        before = self.tenants.get(tenant, {})  # another process may have made the tenant
        own = {name: its for name, its in before.items() if name != adapter}
        if routes is not None:
            own[adapter] = routes
        return Routes({**self.tenants, tenant: own})


def read_routes(connection: Connection, backbone: str) -> Routes:
    """Return the routes of every tenant."""
    live = rollouts.live_versions(connection)
    rows: dict[tuple[str, str], list[Any]] = {}
    for row in versions.kept_rows(connection):
        rows.setdefault((row.tenant, row.adapter), []).append(row)
    found: dict[str, dict[str, AdapterRoutes]] = {
        row.name: {} for row in connection.execute(select(tables.tenants.c.name))
    }
    for (tenant, adapter), own in rows.items():
        found[tenant][adapter] = _routes(own, live.get((tenant, adapter)), backbone)
    return Routes(found)


def read_adapter_routes(
    connection: Connection, tenant: str, adapter: str, backbone: str
) -> AdapterRoutes | None:
    """Return the routes of one adapter; None where it has no version."""
    rows = versions.kept_rows(connection, tenant, adapter)
    live = rollouts.current(connection, tenant, adapter).live
    return _routes(rows, live, backbone) if rows else None


def _routes(rows: Sequence[Any], live: int | None, backbone: str) -> AdapterRoutes:
    routes = {
        row.number: Route(
            tenant=row.tenant,
            adapter=row.adapter,
            version=row.number,
            digest=row.digest,
            labels=tuple(orjson.loads(row.labels)),
            calibrated=row.calibrated,
        )
        for row in rows
        if row.backbone == backbone
    }
    foreign = frozenset(row.number for row in rows if row.backbone != backbone)
    return AdapterRoutes(live, routes, foreign)
