"""Harm that labels prove: accuracy or calibration beyond its objective, with room for many looks.

The figures' intervals are of 95 %, each time somebody looks. Judged at every bucket for weeks, and
over a whole fleet, one in forty would be beyond by chance alone. So an alarm asks for more: its
interval is widened to the level at which all looks of the fleet together raise no more false
alarms a week than their share of the budget (Bonferroni; see `fleet_watch.py`).
"""

from typing import Literal, get_args

from monitoring.assessment import alarms as life
from monitoring.assessment.alarms import Alarms
from monitoring.assessment.memo import Memo
from monitoring.assessment.policy import Policy
from monitoring.report import Alarm, Figure
from monitoring.triggers.rules import drop_of
from service.measures import UNDEFINED, Estimate

Harm = Literal["accuracy", "calibration"]
HARM: tuple[Harm, ...] = get_args(Harm)  # the worse one first


def judged(
    alarms: Alarms, memo: Memo, reference: Estimate, policy: Policy, wider: float, end_us: int
) -> Alarms:
    """Return the alarms after a look at the label figures.

    `reference` is the accuracy of the hold-out, `wider` the level. An alarm ends when its figure
    is within the objective again, or is no longer known.
    """
    told = reasons(memo, reference, policy)
    figures: tuple[tuple[Harm, Estimate, float], ...] = (
        ("calibration", estimate_of(memo.calibration_error), policy.calibration_error_max),
        ("accuracy", drop_of(reference, estimate_of(memo.accuracy)), policy.accuracy_drop_max),
    )
    for kind, figure, limit in figures:
        alarms = _turned(alarms, kind, _widened(figure, wider), limit, told[kind], end_us / 1e6)
    return alarms


def reasons(memo: Memo, reference: Estimate, policy: Policy) -> dict[Harm, str]:
    """Return what the label figures say now, in a sentence each."""
    error, accuracy = estimate_of(memo.calibration_error), estimate_of(memo.accuracy)
    drop = drop_of(reference, accuracy)
    return {
        "calibration": (
            f"confidence is off by {error.value:.3f} ({_interval(error)}),"
            f" {policy.calibration_error_max:g} is tolerated: probabilities no longer mean what"
            f" they say, by {memo.calibration_error.count} labels"
        ),
        "accuracy": (
            f"accuracy is {accuracy.value:.3f} ({_interval(accuracy)}), the hold-out's was"
            f" {reference.value:.3f}: a drop of {drop.value:.3f} ({_interval(drop)}) where"
            f" {policy.accuracy_drop_max:g} is tolerated, by {memo.accuracy.count} labels"
        ),
    }


def _turned(
    alarms: Alarms, kind: life.Kind, figure: Estimate, limit: float, reason: str, time_s: float
) -> Alarms:
    if figure.is_defined and figure.lower > limit:
        alarm = Alarm(kind=kind, began_s=time_s, ended_s=None, reason=reason, evidence=None)
        return life.begun(alarms, alarm)
    if not figure.is_defined or figure.value <= limit:
        return life.ended(alarms, kind, time_s)
    return alarms


def _widened(figure: Estimate, wider: float) -> Estimate:
    lower = figure.value - wider * (figure.value - figure.lower)
    return Estimate(figure.value, lower, figure.value + wider * (figure.upper - figure.value))


def estimate_of(figure: Figure) -> Estimate:
    """Return a figure as an estimate, not defined where it is unknown."""
    if figure.value is None or figure.lower is None or figure.upper is None:
        return UNDEFINED
    return Estimate(figure.value, figure.lower, figure.upper)


def _interval(figure: Estimate) -> str:
    return f"{figure.lower:.3f} to {figure.upper:.3f}"
