"""The controller: follows the trials of all canaries, and takes out what is proven worse.

A thread of its own, which reads the event log only while there is a canary. What it decides rests
on the log alone, so it decides the same after a restart, and so does another process on the same
state; of two that act, the registry takes the first, and the other finds the rollout changed.
"""

import logging
import threading
from collections.abc import Callable, Collection, Iterable
from pathlib import Path
from typing import Literal, Protocol

from service.errors import Conflict, RevisionMismatch, StoreFull, UnknownAdapter, UnknownTenant
from service.metrics import Metrics
from service.registry.records import Proof, Rollout
from service.registry.routes import Routes
from service.trials.comparison import Comparison, compare
from service.trials.folding import fold
from service.trials.following import Following
from service.trials.labels import rows_of_each
from service.trials.roster import History, Name, Roster, Running
from service.trials.series import show
from service.trials.trial import Reason, Trial

ACTOR = "controller"

Mode = Literal["off", "canary", "live"]

_POLL_S = 1.0
_END_S = 10.0

log = logging.getLogger(__name__)


class Registry(History, Protocol):
    """What the controller asks of the registry, and tells it."""

    def routes(self) -> Routes:
        """Return every route; the same object until something changes."""
        ...

    def take_out_canary(self, seen: Rollout, proof: Proof, actor: str) -> Rollout:
        """Take the canary of a rollout out, if it is the current one."""
        ...

    def return_to_shadow(self, seen: Rollout, version: int, proof: Proof, actor: str) -> Rollout:
        """Make a shadow of a rollout live, if it is the current one."""
        ...


class Controller:
    """Compares canaries with live, and acts as it is told to."""

    def __init__(
        self,
        registry: Registry,
        folder: Path,
        metrics: Metrics,
        *,
        mode: Mode,
        alpha: float,
        quarantined: Callable[[], Collection[str]] = tuple,
    ) -> None:
        """`folder` is the event log's; `quarantined` gives the digests that are out of service."""
        self._registry = registry
        self._metrics = metrics
        self._mode = mode
        self._alpha = alpha
        self._quarantined = quarantined
        self._following = Following(folder)
        self._roster = Roster(registry, metrics.objectives, alpha=alpha, live=mode == "live")
        self._routes: Routes | None = None
        self._running: dict[Name, Running] = {}
        self._comparisons: dict[tuple[str, str], Comparison] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, name="tenantry-trials", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End."""
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join(_END_S)
        self._following.stop()

    def comparison(self, tenant: str, adapter: str) -> Comparison | None:
        """Return what is known of an adapter's canary; None while it has none that is followed."""
        return self._comparisons.get((tenant, adapter))

    def tick(self) -> None:
        """Take over which trials there are, read on, and act."""
        touched = self._take(self._registry.routes())
        trials = _by_adapter(self._running.values())
        for batch in self._following.news():
            touched |= fold(batch, trials)
            if self._stop.is_set():
                return
        out = set(self._quarantined()) if trials else set()
        for name, running in self._running.items():
            running.trial.quarantined |= running.digest in out
            due = running.trial.cause is not None and not running.told
            if due or name[:2] in touched:
                self._tell(running)
        if touched:
            show(self._metrics, self._comparisons.values())

    def _work(self) -> None:
        failing = False
        while not self._stop.wait(_POLL_S):
            try:
                self.tick()
                failing = False
            except Exception:
                if not failing:  # and try again: a disk comes back
                    log.exception("canaries cannot be compared with live; it is tried again")
                failing = True

    def _take(self, routes: Routes) -> set[tuple[str, str]]:
        """Begin and end trials as versions come and go; return whose may be others now."""
        if routes is self._routes:
            return set()
        before, found = self._running, self._roster.read(routes, self._running)
        for running in found.values():
            running.trial.keep(rows_of_each(len(found)))
        begun = [
            running
            for name, running in found.items()
            if name not in before or running.trial is not before[name].trial
        ]
        if begun:
            since_s = min(running.trial.arms.begun_s for running in begun)
            for batch in self._following.catch_up(since_s):
                fold(batch, _by_adapter(begun))
        elif not found:
            self._following.stop()
        self._running, self._routes = found, routes
        canaries = {name[:2] for name in found if name[2] == "canary"}
        kept = {name: one for name, one in self._comparisons.items() if name in canaries}
        self._comparisons = kept
        return {name[:2] for name in found.keys() | before.keys()}

    def _tell(self, running: Running) -> None:
        arms, canary = running.trial.arms, running.rollout.canary
        if arms.watched == "canary":
            assert canary is not None, "a canary that is watched is in the rollout"
            comparison = compare(running.trial, canary.percent)
            self._comparisons[arms.tenant, arms.adapter] = comparison
        else:
            comparison = compare(running.trial, 100.0)
        if comparison.cause is None:
            return
        if self._mode == "off":
            if not running.told:
                _warn("is worse", comparison)
            running.told = True
            return
        self._act(running, comparison, comparison.cause)

    def _act(self, running: Running, comparison: Comparison, cause: Reason) -> None:
        arms = running.trial.arms
        evidence = {"watched": arms.watched, **comparison.figures()}
        proof = Proof(f"{cause}: {comparison.sentence}", evidence)
        try:
            if arms.watched == "canary":
                self._registry.take_out_canary(running.rollout, proof, ACTOR)
            else:
                self._registry.return_to_shadow(running.rollout, arms.live, proof, ACTOR)
        except (RevisionMismatch, Conflict, UnknownTenant, UnknownAdapter, StoreFull):
            return  # somebody was faster, or the disk is full; what holds then is looked at next
        self._metrics.rolled_back(cause)
        _warn("is rolled back", comparison)


def _warn(what: str, comparison: Comparison) -> None:
    """Log that a version was proven worse, in words and in fields."""
    arms = comparison.arms
    named = f"{arms.watched} {arms.tenant}.{arms.adapter} version {arms.canary}"
    fields = {
        "tenant": arms.tenant,
        "adapter": arms.adapter,
        "version": arms.canary,
        "against": arms.live,
        "verdict": comparison.verdict,
        "cause": comparison.cause,
    }
    # `fields` are members of the line, as service/api/logs.py writes it.
    log.warning("%s %s: %s", named, what, comparison.sentence, extra={"fields": fields})


def _by_adapter(running: Iterable[Running]) -> dict[tuple[str, str], list[Trial]]:
    """Return the trials of each adapter."""
    found: dict[tuple[str, str], list[Trial]] = {}
    for one in running:
        arms = one.trial.arms
        found.setdefault((arms.tenant, arms.adapter), []).append(one.trial)
    return found
