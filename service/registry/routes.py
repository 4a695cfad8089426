"""Routes in memory: which digest answers for a name, without I/O.

A `Routes` never changes; a change of the registry makes another one, and one assignment puts it
in place, so that a request sees either all of a change or nothing of it.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from random import random
from typing import Any

import orjson

from service.engine.windows import Windows
from service.errors import NoLiveVersion, UnknownAdapter, UnknownTenant, UnknownVersion
from service.registry.draw import position
from service.registry.records import DEFAULTS, Role, Rollout, Route, TenantSettings

_ALONE = 0.1  # of the requests at least go without a twin: latency is judged by those


@dataclass(frozen=True, slots=True)
class AdapterRoutes:
    """The versions of one adapter, and which of them answer.

    What the canary answers, the live version answers too, unseen, and the other way round, as much
    of the one as of the other: as twins, `paired`.
    """

    rollout: Rollout
    versions: Mapping[int, Route]  # as somebody who asks for a number gets them
    foreign: Mapping[int, str]  # judged against another bundle, so they cannot answer here: which
    live: Route | None  # with its shadows, and its twin where there is a canary
    canary: Route | None  # with its twin and its shadows; None too where nothing is live

    def drawn(self, tenant: str, adapter: str, key: str | None) -> Route | None:
        """Return the live version or the canary, as one draw decides; None: nothing is live."""
        canary = self.rollout.canary
        if self.canary is None or canary is None:
            return self.live
        # Chance chooses a version here and guards nothing.
        drawn = 100.0 * random() if key is None else position(tenant, adapter, key)  # noqa: S311
        return self.canary if drawn < canary.percent else self.live


@dataclass(frozen=True, slots=True)
class TenantRoutes:
    """The adapters of one tenant, and its settings."""

    settings: TenantSettings = DEFAULTS
    adapters: Mapping[str, AdapterRoutes] = field(default_factory=dict)

    def with_settings(self, settings: TenantSettings) -> "TenantRoutes":
        """Return the same adapters under other settings."""
        if settings == self.settings:
            return self
        adapters = {
            name: routes_of(own.versions.values(), own.foreign, own.rollout, settings)
            for name, own in self.adapters.items()
        }
        return TenantRoutes(settings, adapters)

    def with_adapter(self, adapter: str, routes: AdapterRoutes | None) -> "TenantRoutes":
        """Return the same but for one adapter; None takes it away."""
        adapters = {name: own for name, own in self.adapters.items() if name != adapter}
        if routes is not None:
            adapters[adapter] = routes
        return TenantRoutes(self.settings, adapters)


@dataclass(frozen=True, slots=True)
class Routes:
    """Every way that a request can go, at one moment."""

    tenants: Mapping[str, TenantRoutes] = field(default_factory=dict)
    backbone: str = ""  # digest of the bundle that is served

    def foreign(self) -> dict[str, int]:
        """Return how many versions were judged against each other bundle, by its digest."""
        every = (routes for own in self.tenants.values() for routes in own.adapters.values())
        return dict(Counter(digest for routes in every for digest in routes.foreign.values()))

    def classes(self) -> dict[str, str]:
        """Return the classes of the tenants that have a live version."""
        return {
            name: tenant.settings.kind
            for name, tenant in self.tenants.items()
            if any(own.live is not None for own in tenant.adapters.values())
        }

    def count_answering(self, digests: Collection[str]) -> int:
        """Return how many of these digests some adapter's live version or canary has."""
        if not digests:
            return 0
        routes = (
            route
            for tenant in self.tenants.values()
            for own in tenant.adapters.values()
            for route in (own.live, own.canary)
        )
        return len({route.digest for route in routes if route is not None} & set(digests))

    def of(self, tenant: str) -> TenantRoutes:
        """Return a tenant's; raise `UnknownTenant`."""
        own = self.tenants.get(tenant)
        if own is None:
            raise UnknownTenant(f"there is no tenant {tenant[:80]!r}")
        return own

    def of_adapter(self, tenant: str, adapter: str) -> AdapterRoutes:
        """Return an adapter's; raise `UnknownTenant` or `UnknownAdapter`."""
        known = self.of(tenant).adapters.get(adapter)
        if known is None:
            raise UnknownAdapter(f"the tenant {tenant} has no adapter {adapter[:80]!r}")
        return known

    def find(self, tenant: str, adapter: str, version: int | None, key: str | None = None) -> Route:
        """Return the route to a version, or where it is None, to the live one or the canary.

        Which of the two, `draw.position` of the routing key decides, and chance without a key.
        Raises `UnknownTenant`, `UnknownAdapter`, `UnknownVersion` or `NoLiveVersion`.
        """
        known = self.of_adapter(tenant, adapter)
        if version is None:
            route = known.drawn(tenant, adapter, key)
        else:
            route = known.versions.get(version)
        if route is not None:
            return route
        number = known.rollout.live if version is None else version
        if number is None:
            raise NoLiveVersion(
                f"{tenant}.{adapter} has versions, but none is live; name one in its rollout"
            )
        if number not in known.foreign:
            raise UnknownVersion(f"{tenant}.{adapter} has no version {number}")
        reason = (
            f"version {number} of {tenant}.{adapter} was judged against another bundle than this"
            f" server serves: {known.foreign[number]}, here is {self.backbone}; upload it again"
        )
        raise NoLiveVersion(reason) if version is None else UnknownVersion(reason)


def for_one_request(route: Route, drawn: float | None, *, keyed: bool) -> Route:
    """Return a route of a canary, or of live beside one, with the other one or without it.

    `drawn` is a number in [0, 1) that no caller knows or chooses; None: without it. `keyed` says
    whether a routing key led here.
    """
    if not route.twin_share:
        return route
    if drawn is not None and drawn < route.twin_share:
        return replace(route, alone=False, keyed=keyed)
    others = tuple(shadow for shadow in route.shadows if shadow.role != "paired")
    return replace(route, shadows=others, twin_share=0.0, alone=True, keyed=keyed)


@lru_cache(maxsize=4096)  # so that versions that share their labels share one tuple
def labels_of(text: str) -> tuple[str, ...]:
    """Return the labels that a row of `versions` holds."""
    return tuple(orjson.loads(text))


@lru_cache(maxsize=64)
def windows_of(text: str | None) -> Windows | None:
    """Return the windows that a row of `versions` holds."""
    if text is None:
        return None
    document = orjson.loads(text)
    return Windows(document["overlap"], document["max"])


def read_routes(
    rows: Iterable[Any], rollout: Rollout, settings: TenantSettings, backbone: str
) -> AdapterRoutes | None:
    """Return the routes of one adapter; None where every version of it was deleted.

    `rows` are its versions, as `versions.routed_rows` gives them.
    """
    kept = [row for row in rows if row.deleted_at is None]
    if not kept:
        return None
    own = [
        Route(
            tenant=row.tenant,
            adapter=row.adapter,
            version=row.number,
            digest=row.digest,
            labels=labels_of(row.labels),
            calibrated=row.calibrated,
            windows=windows_of(row.windows),
        )
        for row in kept
        if row.backbone == backbone
    ]
    foreign = {row.number: row.backbone for row in kept if row.backbone != backbone}
    return routes_of(own, foreign, rollout, settings)


def _beside(route: Route, other: Route, part: float, others: float) -> Route:
    """Return a route with another version as its twin, for as many requests as that one's.

    `part` is its share of the requests, `others` that of the other one.
    """
    twin = replace(other, role="paired", shadows=())
    share = min(part, others) / part * (1.0 - _ALONE)
    return replace(route, shadows=(twin, *route.shadows), twin_share=share)


def routes_of(
    own: Iterable[Route],
    foreign: Mapping[int, str],
    rollout: Rollout,
    settings: TenantSettings,
) -> AdapterRoutes:
    """Return the routes of one adapter whose versions were found."""
    versions = {route.version: replace(route, settings=settings) for route in own}

    def in_role(number: int, role: Role, shadows: tuple[Route, ...] = ()) -> Route | None:
        route = versions.get(number)
        if route is None:
            return None  # it waits to be uploaded again: it was judged against another bundle
        return replace(route, role=role, revision=rollout.revision, shadows=shadows)

    shadows = tuple(
        shadow for number in rollout.shadows if (shadow := in_role(number, "shadow")) is not None
    )
    live = None if rollout.live is None else in_role(rollout.live, "live", shadows)
    canary = None
    if rollout.canary is not None and live is not None:
        canary = in_role(rollout.canary.version, "canary", shadows)
    if canary is not None and live is not None and rollout.canary is not None:
        part = rollout.canary.percent / 100.0
        if part < 1.0:  # else live answers nothing to compare with
            live, canary = (
                _beside(live, canary, 1.0 - part, part),
                _beside(canary, live, part, 1.0 - part),
            )
    return AdapterRoutes(rollout, versions, foreign, live, canary)
