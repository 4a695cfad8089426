"""What `/metrics` tells, made of memos; `monitoring.web.reports.Measurements`."""

from collections.abc import Callable

from monitoring.assessment import alarms as life
from monitoring.assessment.comparison import reference_info
from monitoring.assessment.fleet_watch import FleetWatch
from monitoring.assessment.memo import read_memo
from monitoring.assessment.policy import Policy
from monitoring.assessment.reports import seconds
from monitoring.report import LogState
from monitoring.state.view import View
from monitoring.watched import Watched
from monitoring.web.reports import Measured, VersionFigures


class StateMeasurements:
    """The figures of this moment; used by several threads."""

    def __init__(
        self,
        view: View,
        policy: Policy,
        *,
        version: str,
        log: Callable[[], LogState],
        looked_s: Callable[[], float],
    ) -> None:
        self._view = view
        self._fleet = FleetWatch(policy)
        self._version = version
        self._log = log
        self._looked_s = looked_s

    def measured(self) -> Measured:
        """Return the figures of this moment."""
        view = self._view
        with view.standing_still():
            figures = tuple(self._figures(watched) for watched in view.watched())
            fleet = self._fleet.told(view)
            fleet_alarms = self._fleet.alarms_total(view)
        return Measured(
            version=self._version,
            looked_s=self._looked_s(),
            log=self._log(),
            fleet=fleet,
            fleet_alarms=fleet_alarms,
            watched=figures,
        )

    def _figures(self, watched: Watched) -> VersionFigures:
        view = self._view
        totals, memo, standing = (
            view.totals(watched),
            read_memo(view.memo(watched)),
            view.standing(watched),
        )
        found = view.reference(watched)
        alarm = life.active(view.alarms(watched), "drift") is not None
        return VersionFigures(
            tenant=watched.tenant,
            adapter=watched.adapter,
            version=watched.version,
            role=watched.role,
            standing=standing,
            digest=totals.digest,
            first_s=seconds(totals.first_us) or 0.0,
            last_s=seconds(totals.last_us),
            reference=reference_info(found, None if found is None else found.failure),
            drift_statistic=memo.statistic,
            drift_effect=memo.effect.value,
            drift_pvalue=memo.pvalue,
            drift_evidence_log10=memo.evidence_log10,
            # Where nothing watches, there is no alarm to be off.
            drift_alarm=(
                alarm and life.can_last(watched.role, standing)
                if alarm or view.watch(watched) is not None
                else None
            ),
            calibration_error=memo.calibration_error,
            brier=memo.brier,
            accuracy=memo.accuracy,
            estimated=memo.estimated,
            label_coverage=memo.label_coverage,
            label_delay_s=memo.label_delay_s,
            drift_alarms=memo.drift_alarms,
            labels=totals.labelled,
            bad_inputs=memo.bad_inputs,
            triggers=memo.raised,
        )
