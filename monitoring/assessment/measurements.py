"""What `/metrics` tells, made of memos; `monitoring.web.reports.Measurements`."""

from collections.abc import Callable

from monitoring.assessment import alarms as life
from monitoring.assessment.answers import shares_told
from monitoring.assessment.comparison import reference_info
from monitoring.assessment.fleet_watch import FleetWatch
from monitoring.assessment.memo import Memo, read_memo
from monitoring.assessment.policy import Policy
from monitoring.assessment.reports import seconds
from monitoring.assessment.rolling import rollout_of
from monitoring.report import LogState
from monitoring.state.view import View
from monitoring.watched import Watched
from monitoring.web.reports import Measured, VersionFigures

_SECOND_US = 1_000_000


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
        self._policy = policy
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
            told = tuple(rollout for one in view.adapters() if (rollout := rollout_of(view, *one)))
        return Measured(
            version=self._version,
            looked_s=self._looked_s(),
            log=self._log(),
            fleet=fleet,
            fleet_alarms=fleet_alarms,
            calibration_objective=self._policy.calibration_error_max,
            watched=figures,
            rollouts=told,
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
            class_shares=shares_told(memo, totals.names),
            confidence=memo.confidence,
            tokens=memo.tokens,
            accuracy_objective=self._objective(memo),
            out_of_service=standing == "quarantined" and view.is_out_of_service(watched),
            triggered_s={reason: us / _SECOND_US for reason, us in memo.raised_us.items()},
            drift_alarms=memo.drift_alarms,
            predictions=totals.predictions,
            labels=totals.labelled,
            bad_inputs=memo.bad_inputs,
            triggers=memo.raised,
        )

    def _objective(self, memo: Memo) -> float | None:
        """Return the accuracy below which is harm; None: the hold-out's is not known."""
        if memo.reference_accuracy is None:
            return None
        return max(0.0, memo.reference_accuracy - self._policy.accuracy_drop_max)
