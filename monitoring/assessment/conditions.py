"""What the rules of retrain triggers are given: how a version stands."""

from monitoring.assessment import alarms as life
from monitoring.assessment.alarms import Alarms
from monitoring.assessment.comparison import Comparison
from monitoring.assessment.harm import estimate_of
from monitoring.assessment.labels import reference_accuracy, window_start_us
from monitoring.assessment.memo import Memo
from monitoring.assessment.policy import Policy
from monitoring.state.view import View
from monitoring.state.windows import WindowRows
from monitoring.triggers.rules import Condition, DriftCondition, LabelCondition
from monitoring.triggers.rules import Policy as Rules
from monitoring.triggers.trigger import LabelCount, Span, time_of
from monitoring.watched import Watched
from service.measures import UNDEFINED

_SECOND_US = 1_000_000


def rules_of(policy: Policy) -> Rules:
    """Return what is tolerated, as the rules take it."""
    return Rules(
        calibration_error_max=policy.calibration_error_max,
        accuracy_drop_max=policy.accuracy_drop_max,
        drift_patience_us=round(policy.drift_patience_s * _SECOND_US),
        cooldown_us=round(policy.webhook_cooldown_s * _SECOND_US),
    )


def condition_of(
    view: View,
    watched: Watched,
    memo: Memo,
    alarms: Alarms,
    window: WindowRows | None,
    comparison: Comparison,
    policy: Policy,
) -> Condition:
    """Return how a version stands; which predictions show it is for who raises a trigger to find.

    Label figures are given where their alarm is on, since the alarm alone keeps the budget of
    false ones; drift where the reference is the version's own.
    """
    own = comparison.source == "holdout" and comparison.reference is not None
    drift = None
    if own and window is not None:
        drift = _drift(memo, alarms, window, policy.primary(comparison.rows))
    return Condition(
        watched=watched,
        digest=view.totals(watched).digest,
        standing=view.standing(watched),
        time_us=memo.time_us,
        reference_source=comparison.source,
        reference_rows=comparison.rows,
        drift=drift,
        labels=_labels(memo, alarms, comparison, policy),
    )


def _drift(memo: Memo, alarms: Alarms, window: WindowRows, name: str) -> DriftCondition:
    alarm = life.active(alarms, "drift")
    return DriftCondition(
        window=Span(
            name=name,
            start=time_of(round(window.start_s * _SECOND_US)),
            end=time_of(round(window.end_s * _SECOND_US)),
            rows=window.sketch.predictions,
        ),
        effect=estimate_of(memo.effect),
        since_us=memo.beyond_since_us,
        alarm_since_us=None if alarm is None else round(alarm.began_s * _SECOND_US),
        alarm_evidence_log10=None if alarm is None else alarm.evidence,
    )


def _labels(
    memo: Memo, alarms: Alarms, comparison: Comparison, policy: Policy
) -> LabelCondition | None:
    calibration = life.active(alarms, "calibration") is not None
    accuracy = life.active(alarms, "accuracy") is not None
    if not calibration and not accuracy:
        return None
    return LabelCondition(
        window=Span(
            name="labels",
            start=time_of(window_start_us(policy, memo.labels_us)),
            end=time_of(memo.labels_us),
            rows=memo.accuracy.count,
        ),
        labels=LabelCount(
            count=memo.accuracy.count, audited=memo.audited, coverage=memo.label_coverage
        ),
        calibration_error=estimate_of(memo.calibration_error) if calibration else UNDEFINED,
        accuracy=estimate_of(memo.accuracy) if accuracy else UNDEFINED,
        reference_accuracy=reference_accuracy(comparison.reference),
    )
