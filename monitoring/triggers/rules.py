"""When a version should be trained anew: proven harm, or drift that stays.

- `calibration`: the calibration error is beyond its objective with its whole interval.
- `accuracy`: accuracy fell below the reference's by more than tolerated, with its whole interval.
- `drift`: for the stated time, without a gap, the drift effect was beyond its tolerance with its
  whole interval, or the continuous watch was in alarm.

Only the version that answers is judged: a canary or a shadow that does badly is not rolled out,
which needs no training, and a retired one was replaced already. What is unknown proves nothing.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from monitoring.report import ReferenceSource, Standing
from monitoring.triggers.trigger import (
    PREDICTION_IDS_MAX,
    Compared,
    Evidence,
    LabelCount,
    Reason,
    Span,
    Statistic,
    Trigger,
    known,
    microseconds_of,
    time_of,
)
from monitoring.watched import Watched
from service.measures import UNDEFINED, Estimate


@dataclass(frozen=True, slots=True)
class Policy:
    """What is tolerated, and for how long."""

    calibration_error_max: float
    accuracy_drop_max: float
    drift_patience_us: int
    cooldown_us: int  # least time between two triggers of an adapter for the same reason


@dataclass(frozen=True, slots=True)
class DriftCondition:
    """How far inputs moved, as the newest assessment found it."""

    window: Span
    effect: Estimate  # statistic over tolerance; undefined where it is not known
    since_us: int | None  # since when the effect has been beyond 1: of `beyond_since`
    alarm_since_us: int | None  # since when the watch has been in alarm; None: it is not
    alarm_evidence_log10: float | None = None
    prediction_ids: tuple[str, ...] = ()  # of the most drifted rows


@dataclass(frozen=True, slots=True)
class LabelCondition:
    """What the labels of the last days tell; figures are undefined below the least count."""

    window: Span
    labels: LabelCount
    calibration_error: Estimate
    accuracy: Estimate
    reference_accuracy: Estimate  # of the hold-out, with the interval that its size allows
    prediction_ids: tuple[str, ...] = ()  # of labelled rows, wrong ones first


@dataclass(frozen=True, slots=True)
class Condition:
    """How a version stands at a time of the log."""

    watched: Watched
    digest: str
    standing: Standing
    time_us: int
    reference_source: ReferenceSource
    reference_rows: int
    drift: DriftCondition | None
    labels: LabelCondition | None


def beyond_since(before_us: int | None, effect: Estimate, time_us: int) -> int | None:
    """Return since when the effect has been beyond 1 with its whole interval; None: it is not.

    `before_us` is what the assessment before returned. An unknown effect ends the time too:
    nothing shows that the drift went on.
    """
    if math.isnan(effect.lower) or effect.lower <= 1.0:
        return None
    return time_us if before_us is None else before_us


def judge(
    condition: Condition, policy: Policy, last_us: Mapping[Reason, int]
) -> tuple[Trigger, ...]:
    """Return the triggers that the condition of a version calls for; at most one a reason.

    `last_us` tells when the adapter, in whatever version, raised each reason last.
    """
    if condition.watched.role != "live" or condition.standing != "live":
        return ()
    found = (
        _calibration(condition, policy),
        _accuracy(condition, policy),
        _drift(condition, policy),
    )
    return tuple(
        trigger
        for trigger in found
        if trigger is not None and not _cooling(trigger, policy, last_us)
    )


def drop_of(reference: Estimate, accuracy: Estimate) -> Estimate:
    """Return how far accuracy is below the reference's, with an interval for both being shares.

    Newcombe's hybrid score interval (Statistics in Medicine 17, 1998, method 10): with shares p of
    intervals [l, u], p1 - p2 lies between (p1 - p2) - sqrt((p1 - l1)^2 + (u2 - p2)^2) and
    (p1 - p2) + sqrt((u1 - p1)^2 + (p2 - l2)^2).

    >>> drop_of(Estimate(0.9, 0.9, 0.9), Estimate(0.8, 0.75, 0.85)).rounded()
    Estimate(value=0.1, lower=0.05, upper=0.15)
    """
    if not reference.is_defined or not accuracy.is_defined:
        return UNDEFINED
    drop = reference.value - accuracy.value
    less = math.hypot(reference.value - reference.lower, accuracy.upper - accuracy.value)
    more = math.hypot(reference.upper - reference.value, accuracy.value - accuracy.lower)
    return Estimate(drop, drop - less, drop + more)


def _calibration(condition: Condition, policy: Policy) -> Trigger | None:
    labels = condition.labels
    if labels is None:
        return None
    error, limit = labels.calibration_error, policy.calibration_error_max
    if math.isnan(error.lower) or error.lower <= limit:
        return None
    evidence = _of_labels("calibration_error_ratio", error, limit, condition, labels)
    return _trigger(condition, "calibration", evidence, f"calibration error {_told(error, limit)}")


def _accuracy(condition: Condition, policy: Policy) -> Trigger | None:
    labels = condition.labels
    if labels is None:
        return None
    drop, limit = drop_of(labels.reference_accuracy, labels.accuracy), policy.accuracy_drop_max
    if math.isnan(drop.lower) or drop.lower <= limit:
        return None
    evidence = _of_labels("accuracy_drop_ratio", drop, limit, condition, labels)
    words = f"accuracy {labels.accuracy.value:.3g} is below the reference's by {_told(drop, limit)}"
    return _trigger(condition, "accuracy", evidence, words)


def _drift(condition: Condition, policy: Policy) -> Trigger | None:
    drift = condition.drift
    if drift is None:
        return None
    began = [moment for moment in (drift.since_us, drift.alarm_since_us) if moment is not None]
    if not began:
        return None
    # Rows must show that it stayed: the clock alone, with no traffic, shows nothing.
    shown_us = min(condition.time_us, microseconds_of(drift.window.end))
    if shown_us - min(began) < policy.drift_patience_us:
        return None
    evidence = Evidence(
        statistic="drift_effect_ratio",
        value=known(drift.effect.value),
        lower=known(drift.effect.lower),
        upper=known(drift.effect.upper),
        tolerance=1.0,
        since=_maybe(drift.since_us),
        alarm_since=_maybe(drift.alarm_since_us),
        alarm_evidence_log10=drift.alarm_evidence_log10,
        window=drift.window,
        labels=None,
        reference=_compared(condition),
        prediction_ids=drift.prediction_ids[:PREDICTION_IDS_MAX],
    )
    hours = (shown_us - min(began)) / 3.6e9
    if drift.since_us is None:
        words = f"the continuous watch has been in alarm for {hours:.3g} hours"
    else:
        words = f"drift over its tolerance {_told(drift.effect, 1.0)}, for {hours:.3g} hours"
    return _trigger(condition, "drift", evidence, words)


def _of_labels(
    statistic: Statistic,
    figure: Estimate,
    tolerance: float,
    condition: Condition,
    labels: LabelCondition,
) -> Evidence:
    return Evidence(
        statistic=statistic,
        value=known(figure.value),
        lower=known(figure.lower),
        upper=known(figure.upper),
        tolerance=tolerance,
        since=None,
        alarm_since=None,
        alarm_evidence_log10=None,
        window=labels.window,
        labels=labels.labels,
        reference=_compared(condition),
        prediction_ids=labels.prediction_ids[:PREDICTION_IDS_MAX],
    )


def _trigger(condition: Condition, reason: Reason, evidence: Evidence, summary: str) -> Trigger:
    watched = condition.watched
    return Trigger(
        tenant=watched.tenant,
        adapter=watched.adapter,
        version=watched.version,
        digest=condition.digest,
        reason=reason,
        raised=time_of(condition.time_us),
        summary=summary,
        evidence=evidence,
    )


def _cooling(trigger: Trigger, policy: Policy, last_us: Mapping[Reason, int]) -> bool:
    before_us = last_us.get(trigger.reason)
    raised_us = microseconds_of(trigger.raised)
    # In a replay over what is stored already, the last one may lie ahead.
    return before_us is not None and raised_us < before_us + policy.cooldown_us


def _compared(condition: Condition) -> Compared:
    reference = condition.labels.reference_accuracy.value if condition.labels else math.nan
    return Compared(
        source=condition.reference_source,
        rows=condition.reference_rows,
        accuracy=known(reference),
    )


def _maybe(time_us: int | None) -> datetime | None:
    return None if time_us is None else time_of(time_us)


def _told(figure: Estimate, limit: float) -> str:
    interval = f"{figure.lower:.3g} to {figure.upper:.3g}"
    return f"{figure.value:.3g} ({interval}; tolerated {limit:g})"
