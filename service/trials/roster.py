"""Which trials there are: one for each canary, and where it is asked for, one for live versions."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Protocol

from service.metrics import Objectives
from service.registry.records import Rollout, Route
from service.registry.routes import AdapterRoutes, Routes
from service.trials.trial import Arms, Trial

# Tenant, adapter, and which of its versions is watched.
Name = tuple[str, str, Literal["canary", "live"]]


class History(Protocol):
    """What the registry tells of the past."""

    def begin_of_trial(self, rollout: Rollout) -> Rollout:
        """Return the first rollout of those in a row that have this one's canary and live."""
        ...

    def way_back(self, rollout: Rollout) -> tuple[int, Rollout] | None:
        """Return the version that was live before and is a shadow now, and since which rollout."""
        ...


@dataclass(slots=True)
class Running:
    """A trial, and the rollout that it is part of now."""

    trial: Trial
    rollout: Rollout
    digest: str  # of the watched version
    told: bool = False  # that it is worse, where nothing is done about it


class Roster:
    """Finds the trials of all adapters; a trial that goes on stays the same object."""

    def __init__(
        self, history: History, objectives: Objectives, *, alpha: float, live: bool
    ) -> None:
        """With `live`, live versions are watched too that could go back to one of their shadows."""
        self._history = history
        self._objectives = objectives
        self._alpha = alpha
        self._live = live

    def read(self, routes: Routes, before: Mapping[Name, Running]) -> dict[Name, Running]:
        """Return the trials of now."""
        found: dict[Name, Running] = {}
        for tenant, own in routes.tenants.items():
            for adapter, known in own.adapters.items():
                for name, route in self._watched(tenant, adapter, known):
                    running = self._running(name, known.rollout, route, before.get(name))
                    if running is not None:
                        found[name] = running
        return found

    def _watched(
        self, tenant: str, adapter: str, known: AdapterRoutes
    ) -> Iterator[tuple[Name, Route]]:
        if known.canary is not None:
            yield (tenant, adapter, "canary"), known.canary
        if self._live and known.live is not None and known.rollout.shadows:
            yield (tenant, adapter, "live"), known.live

    def _running(
        self, name: Name, rollout: Rollout, route: Route, before: Running | None
    ) -> Running | None:
        if before is not None and before.rollout.revision == rollout.revision:
            return before
        arms = self._arms(name, rollout, route)
        if arms is None:
            return None
        if before is not None and before.trial.arms == arms:
            return Running(before.trial, rollout, route.digest, before.told)
        objective_s = self._objectives.of(route.settings.kind)
        trial = Trial(arms, alpha=self._alpha, objective_s=objective_s)
        return Running(trial, rollout, route.digest)

    def _arms(self, name: Name, rollout: Rollout, route: Route) -> Arms | None:
        tenant, adapter, watched = name
        if watched == "canary":
            assert rollout.live is not None, "a canary stands beside a live version"
            other, first = rollout.live, self._history.begin_of_trial(rollout)
        else:
            back = self._history.way_back(rollout)
            if back is None:
                return None
            other, first = back
        assert first.created_at is not None, "a rollout that names versions was made"
        begun_s = datetime.fromisoformat(first.created_at).timestamp()
        return Arms(tenant, adapter, route.version, other, first.revision, begun_s, watched)
