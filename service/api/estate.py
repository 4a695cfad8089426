"""What the estate holds, as far as a page can show it: a bounded part, and how much there is.

Pure, and from memory alone: what requests read of the registry tells everything here, so that the
page comes as soon when the disk does not answer.
"""

import heapq
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from service.registry.records import Rollout
from service.registry.routes import AdapterRoutes, Routes, TenantRoutes
from service.trials.controller import ACTOR

TENANTS_MAX = 50
ADAPTERS_MAX = 6  # of one tenant
NAMED_MAX = 20  # canaries, rollbacks, and versions that do not answer
RECENT = timedelta(days=1)  # a rollback


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
    unreadable: tuple[int, ...] = ()  # lately


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
    unreadable: tuple[str, ...]  # the same
    unreadable_count: int
    rollbacks: tuple[Rollout, ...]  # current ones that the controller made lately, newest first

    @property
    def is_whole(self) -> bool:
        """Say whether every tenant is shown."""
        return len(self.tenants) == self.tenants_count


def survey(
    routes: Routes,
    quarantined: Collection[str],
    busy: Mapping[str, int],
    unreadable: Collection[str] = (),
    now: datetime | None = None,
) -> Estate:
    """Return what to show: every tenant by name, or of too many the busiest.

    `quarantined` and `unreadable` are digests, `busy` counts the requests of those tenants that
    made any. Without `now`, no rollback is recent.
    """
    out, lost = _Named(quarantined), _Named(unreadable)
    adapters_count = versions_count = canaries_count = 0
    canaries: list[ShownAdapter] = []
    rollbacks: list[Rollout] = []
    for tenant, own in routes.tenants.items():
        adapters_count += len(own.adapters)
        for name, each in own.adapters.items():
            versions_count += len(each.versions) + len(each.foreign)
            if each.rollout.canary is not None:
                canaries_count += 1
                if len(canaries) < NAMED_MAX:
                    canaries.append(_adapter(tenant, name, each, out.digests, lost.digests))
            if now is not None and _was_rolled_back(each.rollout, now):
                rollbacks.append(each.rollout)
            out.look(tenant, name, each)
            lost.look(tenant, name, each)
    return Estate(
        tenants_count=len(routes.tenants),
        adapters_count=adapters_count,
        versions_count=versions_count,
        tenants=tuple(
            _tenant(name, routes.tenants[name], out.digests, lost.digests)
            for name in _chosen(routes.tenants, busy)
        ),
        canaries=tuple(canaries),
        canaries_count=canaries_count,
        quarantined=out.first(),
        quarantined_count=out.count,
        unreadable=lost.first(),
        unreadable_count=lost.count,
        rollbacks=tuple(
            heapq.nlargest(NAMED_MAX, rollbacks, key=lambda rollout: rollout.created_at or "")
        ),
    )


class _Named:
    """Names digests: by each version that has one, or by itself where its versions are gone."""

    def __init__(self, digests: Collection[str]) -> None:
        self.digests = frozenset(digests)
        self._names: list[str] = []
        self._unnamed = set(digests)

    def look(self, tenant: str, name: str, own: AdapterRoutes) -> None:
        """Take down which versions of an adapter have one."""
        for number in _among(own, self.digests):
            self._names.append(f"{tenant}.{name}.{number}")
            self._unnamed.discard(own.versions[number].digest)

    @property
    def count(self) -> int:
        """Return how many names there are."""
        return len(self._names) + len(self._unnamed)

    def first(self) -> tuple[str, ...]:
        """Return as many as are shown."""
        return tuple([*sorted(self._names), *sorted(self._unnamed)][:NAMED_MAX])


def _was_rolled_back(rollout: Rollout, now: datetime) -> bool:
    """Say whether the controller made a rollout, and lately."""
    if rollout.actor != ACTOR or rollout.created_at is None:
        return False
    return now - datetime.fromisoformat(rollout.created_at) < RECENT


def _chosen(tenants: Collection[str], busy: Mapping[str, int]) -> list[str]:
    if len(tenants) <= TENANTS_MAX:
        return sorted(tenants)
    return heapq.nsmallest(TENANTS_MAX, tenants, key=lambda name: (-busy.get(name, 0), name))


def _tenant(name: str, own: TenantRoutes, out: frozenset[str], lost: frozenset[str]) -> ShownTenant:
    first = heapq.nsmallest(ADAPTERS_MAX, own.adapters)
    adapters = tuple(_adapter(name, each, own.adapters[each], out, lost) for each in first)
    return ShownTenant(name, own.settings.kind, adapters, len(own.adapters))


def _adapter(
    tenant: str, name: str, own: AdapterRoutes, out: frozenset[str], lost: frozenset[str]
) -> ShownAdapter:
    rollout = own.rollout
    canary = rollout.canary
    return ShownAdapter(
        tenant=tenant,
        name=name,
        live=rollout.live,
        canary=None if canary is None else (canary.version, canary.percent),
        shadows=rollout.shadows,
        quarantined=_among(own, out),
        elsewhere=tuple(sorted(rollout.roles().keys() & own.foreign.keys())),
        versions=len(own.versions) + len(own.foreign),
        unreadable=_among(own, lost),
    )


def _among(own: AdapterRoutes, digests: frozenset[str]) -> tuple[int, ...]:
    """Return the versions that have one of these digests."""
    if not digests:
        return ()
    return tuple(sorted(number for number, one in own.versions.items() if one.digest in digests))
