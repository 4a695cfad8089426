"""What requests read of the registry, in memory: routes, keys, and what references stand for.

A `View` never changes. It knows up to which line of the audit trail it is true; `follow` makes
the one that is true now, by reading anew only what later lines name. Every change writes a line
in its own transaction, so whatever changed is named.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, select

from service.events.ids import reference
from service.registry import keys, rollouts, tables, tenants, versions
from service.registry.keys import HeldKey
from service.registry.records import Named
from service.registry.routes import Routes, TenantRoutes, labels_of, read_routes

_c = tables.audit.c

# Beyond so many new lines, reading everything is no slower.
_LINES_MAX = 1_000


@dataclass(frozen=True, slots=True)
class Mark:
    """The last line of the audit trail that a view knows; 0: none.

    The time tells a database that was put back to an older state from one that went on.
    """

    id: int = 0
    at: str = ""


@dataclass(frozen=True, slots=True)
class View:
    """All that requests read, at one moment."""

    routes: Routes = field(default_factory=Routes)
    keys: Mapping[str, HeldKey] = field(default_factory=dict)
    references: Mapping[bytes, Named] = field(default_factory=dict)  # tombstones too
    mark: Mark = Mark()


def read_view(connection: Connection, backbone: str) -> View:
    """Return what holds now, all of it read anew."""
    known = rollouts.every_current(connection)
    rows: dict[tuple[str, str], list[Any]] = {}
    references: dict[bytes, Named] = {}
    for row in versions.routed_rows(connection):
        rows.setdefault((row.tenant, row.adapter), []).append(row)
    own: dict[str, dict[str, Any]] = {}
    settings = {tenant.name: tenant.settings for tenant in tenants.every(connection)}
    for (tenant, adapter), each in rows.items():
        references.update(_references(each))
        if tenant in settings:
            rollout = known.get((tenant, adapter)) or rollouts.none_yet(tenant, adapter)
            routes = read_routes(each, rollout, settings[tenant], backbone)
            if routes is not None:
                own.setdefault(tenant, {})[adapter] = routes
    found = {name: TenantRoutes(its, own.get(name, {})) for name, its in settings.items()}
    return View(
        Routes(found, backbone), keys.held(connection), references, _newest_mark(connection)
    )


def follow(connection: Connection, view: View, backbone: str) -> View:
    """Return what holds now: the same view, unless something was written since."""
    query = select(_c.id, _c.at, _c.tenant, _c.adapter).where(_c.id >= max(view.mark.id, 1))
    lines = connection.execute(query.order_by(_c.id).limit(_LINES_MAX + 1)).all()
    if view.mark.id:
        if not lines or Mark(lines[0].id, lines[0].at) != view.mark:
            return read_view(connection, backbone)  # this is another history
        lines = lines[1:]
    if not lines:
        return view
    if len(lines) >= _LINES_MAX or lines[-1].id != view.mark.id + len(lines):
        return read_view(connection, backbone)  # too many, or some are gone
    return _read_named(connection, view, lines, backbone)


def _read_named(connection: Connection, view: View, lines: Any, backbone: str) -> View:
    """Read anew the tenants and adapters that lines name."""
    found = dict(view.routes.tenants)
    held = view.keys
    for name in {line.tenant for line in lines if line.adapter is None}:
        tenant = tenants.find(connection, name)
        if tenant is None:
            found.pop(name, None)
        else:
            found[name] = found.get(name, TenantRoutes()).with_settings(tenant.settings)
        others = {key_id: key for key_id, key in held.items() if key.record.tenant != name}
        held = {**others, **keys.held(connection, name)}
    references = dict(view.references)
    for name, adapter in {(line.tenant, line.adapter) for line in lines if line.adapter}:
        rows = versions.routed_rows(connection, name, adapter)
        references.update(_references(rows))
        if name in found:
            rollout = rollouts.current(connection, name, adapter)
            routes = read_routes(rows, rollout, found[name].settings, backbone)
            found[name] = found[name].with_adapter(adapter, routes)
    return View(Routes(found, backbone), held, references, Mark(lines[-1].id, lines[-1].at))


def _newest_mark(connection: Connection) -> Mark:
    query = select(_c.id, _c.at).order_by(_c.id.desc()).limit(1)
    row = connection.execute(query).one_or_none()
    return Mark() if row is None else Mark(row.id, row.at)


def _references(rows: Iterable[Any]) -> Iterable[tuple[bytes, Named]]:
    for row in rows:
        named = Named(
            row.tenant,
            row.adapter,
            row.number,
            row.digest,
            labels_of(row.labels),
            row.deleted_at is not None,
        )
        yield reference(row.tenant, row.adapter, row.number), named
