"""The reports, made of the state when they are asked for; `monitoring.web.reports.Reports`."""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import suppress

from monitoring.assessment import examples, labels
from monitoring.assessment.comparison import Comparison, comparison_of, reference_info
from monitoring.assessment.examples import Far
from monitoring.assessment.fleet_watch import FleetWatch
from monitoring.assessment.lasting import lasting
from monitoring.assessment.memo import read_memo
from monitoring.assessment.policy import Policy
from monitoring.assessment.projection import name_of, projected
from monitoring.assessment.verdict import as_of_now
from monitoring.assessment.windows_told import window_report
from monitoring.detectors import watch
from monitoring.errors import UnknownWatched
from monitoring.report import (
    AdapterLine,
    AdapterReport,
    FleetReport,
    GroupReport,
    LogState,
    Sample,
    TriggerReport,
    VersionReport,
    Watch,
    WindowReport,
)
from monitoring.state.view import View
from monitoring.state.windows import WindowRows
from monitoring.watched import Watched

_SECOND_US = 1_000_000
_WINDOWS = (("1h", 3600.0), ("1d", 86_400.0))
_SAMPLES_SHOWN = 20
_POINTS_SHOWN = 300
_TRIGGERS_SHOWN = 50
_VERSIONS_SHOWN = 20  # in their roles, of an adapter
_WORST = {"alarm": 0, "warning": 1, "unknown": 2, "ok": 3}
_FIRST = {"live": 0, "canary": 1, "shadow": 2, "quarantined": 3, "retired": 4}
_UNWATCHED = {
    "none": "no reference",
    "pooled": "a borrowed reference raises no alarm",
    "holdout": "the reference has no embeddings, or fewer than 50 rows",
}

Triggers = Callable[[str | None, str | None, int], tuple[TriggerReport, ...]]


class StateReports:
    """Reports of the sidecar's own state; used by several threads."""

    def __init__(
        self,
        view: View,
        policy: Policy,
        *,
        version: str,
        log: Callable[[], LogState],
        triggers: Triggers,
        problems: Callable[[], tuple[str, ...]],
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`triggers` finds those of a tenant and adapter, latest first, at most so many."""
        self._view = view
        self._policy = policy
        self._fleet = FleetWatch(policy)
        self._version = version
        self._log = log
        self._triggers = triggers
        self._problems = problems
        self._clock = clock

    def fleet(self, tenant: str | None = None) -> FleetReport:
        """Return all adapters, worst first, or a tenant's; without lines where there are none."""
        view = self._view
        with view.standing_still():
            lines = [self._line(watched) for watched in answering(view, tenant)]
            fleet = self._fleet.told(view) if tenant is None else None
        lines.sort(key=_worst_first)
        return FleetReport(
            version=self._version,
            made_s=round(self._clock()),
            log=self._log(),
            fleet=fleet,
            adapters=tuple(lines),
            triggers=self._triggers(tenant, None, _TRIGGERS_SHOWN),
            problems=self._problems() if tenant is None else (),
        )

    def adapter(self, tenant: str, adapter: str) -> AdapterReport:
        """Return one adapter's report; raise `UnknownWatched`.

        Of many versions those are told of that answer, and those that answered last.
        """
        view = self._view
        with view.standing_still():
            ranked = sorted((_rank(view, one), one) for one in view.watched(tenant, adapter))
        if not ranked:
            raise UnknownWatched(f"the log tells of no adapter {tenant}.{adapter}")
        versions = []
        for _, one in ranked[:_VERSIONS_SHOWN]:
            with suppress(UnknownWatched), view.standing_still():  # it may have gone since
                versions.append(self._version_report(one))
        return AdapterReport(
            tenant=tenant,
            adapter=adapter,
            versions=tuple(versions),
            rollouts=view.rollouts(tenant, adapter),
            triggers=self._triggers(tenant, adapter, _TRIGGERS_SHOWN),
        )

    # --- parts ---------------------------------------------------------------------------

    def _line(self, watched: Watched) -> AdapterLine:
        view = self._view
        totals, memo, standing = (
            view.totals(watched),
            read_memo(view.memo(watched)),
            view.standing(watched),
        )
        found = view.reference(watched)
        alarms = lasting(view, watched, view.watermark_us / _SECOND_US)
        state, why = as_of_now(memo.state, memo.why, alarms, standing)
        return AdapterLine(
            tenant=watched.tenant,
            adapter=watched.adapter,
            version=watched.version,
            role=watched.role,
            standing=standing,
            state=state,
            why=why,
            effect=memo.effect,
            evidence_log10=memo.evidence_log10,
            calibration_error=memo.calibration_error,
            accuracy=memo.accuracy,
            estimated=memo.estimated,
            labels=totals.labelled,
            predictions=totals.predictions,
            last_s=seconds(totals.last_us),
            reference="none" if found is None else found.source,
        )

    def _version_report(self, watched: Watched) -> VersionReport:
        view, policy = self._view, self._policy
        totals, memo = view.totals(watched), read_memo(view.memo(watched))
        standing, comparison = view.standing(watched), comparison_of(view, watched)
        reference = comparison.reference
        now_us = view.watermark_us + 1
        alarms = lasting(view, watched, view.watermark_us / _SECOND_US)
        state, why = as_of_now(memo.state, memo.why, alarms, standing)
        groups = labels.by_group(view, watched, reference, policy, now_us)
        counts = view.groups(watched)
        newest = view.window_rows(watched, policy.rows_of(comparison.rows))
        recent = examples.sampled(view, watched, newest)
        return VersionReport(
            tenant=watched.tenant,
            adapter=watched.adapter,
            version=watched.version,
            role=watched.role,
            standing=standing,
            digest=totals.digest,
            state=state,
            why=why,
            last_s=seconds(totals.last_us),
            predictions=totals.predictions,
            sampled=totals.sample,
            reference=reference_info(view.reference(watched), comparison.note),
            primary=policy.primary(comparison.rows),
            windows=tuple(self._windows(watched, comparison, newest)),
            watch=self._watch(watched, comparison),
            backends=memo.backends,
            calibration=labels.assessed(view, watched, reference, policy, now_us),
            groups=tuple(
                GroupReport(group=group, predictions=counts[group], calibration=told)
                for group, told in groups.items()
            ),
            alarms=alarms,
            history=view.history(watched),
            projection=projected(recent, comparison, totals.names, _POINTS_SHOWN),
            samples=tuple(
                _sample(far, totals.names)
                for far in examples.farthest(recent, comparison, _SAMPLES_SHOWN)
            ),
        )

    def _windows(
        self, watched: Watched, comparison: Comparison, newest: WindowRows | None
    ) -> Iterator[WindowReport]:
        view, policy, reference = self._view, self._policy, comparison.reference
        if newest is not None:
            name = policy.primary(comparison.rows)
            yield window_report(view, watched, reference, policy, name, newest)
        for name, length_s in _WINDOWS:
            found = view.window_time(watched, length_s)
            if found is not None:
                yield window_report(view, watched, reference, policy, name, found)

    def _watch(self, watched: Watched, comparison: Comparison) -> Watch:
        kept = self._view.watch(watched)
        reason = None
        if kept is None:
            reason = comparison.failure or _UNWATCHED[comparison.source]
        elif kept.run_length <= 0:
            reason = "no time bucket has ended yet"
        if kept is None or reason is not None:
            rows = 0 if kept is None else kept.rows
            return Watch(
                evidence_log10=None,
                threshold_log10=None,
                run_length=None,
                rows=rows,
                unknown=reason,
            )
        return Watch(
            evidence_log10=watch.evidence_log10(kept.watch, kept.run_length),
            threshold_log10=math.log10(kept.run_length),
            run_length=kept.run_length,
            rows=kept.rows,
            unknown=None,
        )


def answering(view: View, tenant: str | None = None) -> Iterator[Watched]:
    """Yield one version of each adapter: the live one, or else the one that answered last."""
    chosen: dict[tuple[str, str], tuple[tuple[int, int, float], Watched]] = {}
    for watched in view.watched(tenant):
        rank, of = _rank(view, watched), (watched.tenant, watched.adapter)
        if of not in chosen or rank < chosen[of][0]:
            chosen[of] = rank, watched
    yield from (watched for _, watched in chosen.values())


def seconds(time_us: int | None) -> float | None:
    """Return a time of the log in seconds."""
    return None if time_us is None else time_us / _SECOND_US


def _rank(view: View, watched: Watched) -> tuple[int, int, float]:
    """Return what sorts versions: those that answer first, each in the role that it has now."""
    standing = view.standing(watched)
    last_s = seconds(view.totals(watched).last_us) or 0.0
    return _FIRST[standing], watched.role != standing, -last_s


def _worst_first(line: AdapterLine) -> tuple[int, float, str, str]:
    effect = line.effect.value
    return (_WORST[line.state], -(effect if effect is not None else 0.0), line.tenant, line.adapter)


def _sample(far: Far, names: tuple[str, ...]) -> Sample:
    row = far.row
    return Sample(
        prediction_id=row.prediction_id,
        time_s=row.time_us / _SECOND_US,
        label=name_of(names, row),
        confidence=float(row.confidence),
        distance=far.distance,
        text=row.text,
    )
