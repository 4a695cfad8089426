"""What the estate holds, as far as a page can show it: a bounded part, and how much there is.

Pure, and from memory alone: what requests read of the registry tells everything here, so that the
page comes as soon when the disk does not answer.
"""

import heapq
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from service.registry.routes import AdapterRoutes, Routes, TenantRoutes

TENANTS_MAX = 50
ADAPTERS_MAX = 6  # of one tenant
NAMED_MAX = 20  # canaries, and versions out of service


@dataclass(frozen=True, slots=True)
class ShownAdapter:
    """One adapter, and what its versions are."""

    tenant: str
    name: str
    live: int | None
    canary: tuple[int, float] | None  # its version and its percent
    shadows: tuple[int, ...]
    quarantined: tuple[int, ...]
    elsewhere: tuple[int, ...]  # of its rollout, judged against another bundle
    versions: int


@dataclass(frozen=True, slots=True)
class ShownTenant:
    """One tenant; `adapters` are the first of them."""

    name: str
    kind: str
    adapters: tuple[ShownAdapter, ...]
    adapters_count: int


@dataclass(frozen=True, slots=True)
class Estate:
    """The estate: totals, and as much of it as a page shows."""

    tenants_count: int
    adapters_count: int
    versions_count: int
    tenants: tuple[ShownTenant, ...]
    canaries: tuple[ShownAdapter, ...]  # adapters with one
    canaries_count: int
    quarantined: tuple[str, ...]  # tenant.adapter.version, or the digest of a deleted one
    quarantined_count: int

    @property
    def is_whole(self) -> bool:
        """Say whether every tenant is shown."""
        return len(self.tenants) == self.tenants_count


def survey(routes: Routes, quarantined: Collection[str], busy: Mapping[str, int]) -> Estate:
    """Return what to show: every tenant by name, or of too many the busiest.

    `quarantined` are digests, `busy` counts the requests of those tenants that made any.
    """
    out = frozenset(quarantined)
    adapters_count = versions_count = canaries_count = 0
    canaries: list[ShownAdapter] = []
    named: list[str] = []
    unnamed = set(quarantined)  # whose versions were deleted
    for tenant, own in routes.tenants.items():
        adapters_count += len(own.adapters)
        for name, each in own.adapters.items():
            versions_count += len(each.versions) + len(each.foreign)
            if each.rollout.canary is not None:
                canaries_count += 1
                if len(canaries) < NAMED_MAX:
                    canaries.append(_adapter(tenant, name, each, out))
            for number in _out(each, out):
                named.append(f"{tenant}.{name}.{number}")
                unnamed.discard(each.versions[number].digest)
    return Estate(
        tenants_count=len(routes.tenants),
        adapters_count=adapters_count,
        versions_count=versions_count,
        tenants=tuple(
            _tenant(name, routes.tenants[name], out) for name in _chosen(routes.tenants, busy)
        ),
        canaries=tuple(canaries),
        canaries_count=canaries_count,
        quarantined=tuple([*sorted(named), *sorted(unnamed)][:NAMED_MAX]),
        quarantined_count=len(named) + len(unnamed),
    )


def _chosen(tenants: Collection[str], busy: Mapping[str, int]) -> list[str]:
    if len(tenants) <= TENANTS_MAX:
        return sorted(tenants)
    return heapq.nsmallest(TENANTS_MAX, tenants, key=lambda name: (-busy.get(name, 0), name))


def _tenant(name: str, own: TenantRoutes, out: frozenset[str]) -> ShownTenant:
    first = heapq.nsmallest(ADAPTERS_MAX, own.adapters)
    adapters = tuple(_adapter(name, each, own.adapters[each], out) for each in first)
    return ShownTenant(name, own.settings.kind, adapters, len(own.adapters))


def _adapter(tenant: str, name: str, own: AdapterRoutes, out: frozenset[str]) -> ShownAdapter:
    rollout = own.rollout
    canary = rollout.canary
    return ShownAdapter(
        tenant=tenant,
        name=name,
        live=rollout.live,
        canary=None if canary is None else (canary.version, canary.percent),
        shadows=rollout.shadows,
        quarantined=_out(own, out),
        elsewhere=tuple(sorted(rollout.roles().keys() & own.foreign.keys())),
        versions=len(own.versions) + len(own.foreign),
    )


def _out(own: AdapterRoutes, out: frozenset[str]) -> tuple[int, ...]:
    """Return the versions that are out of service."""
    if not out:
        return ()
    return tuple(sorted(number for number, one in own.versions.items() if one.digest in out))
