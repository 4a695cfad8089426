"""Whether a version is good enough: thresholds against figures, each decision with its sentence.

Pure. A version is rejected for what is *surely* so: where the whole interval of 95 % lies beyond
the threshold. What could not be measured rejects nothing, and the report says that it was not.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from service.gate.figures import AgainstBaseline, AgainstLive, Calibration, Figure, Measured

Outcome = Literal["validated", "rejected"]
CheckName = Literal["accuracy_drop_from_live", "accuracy_drop_from_baseline", "calibration_error"]


@dataclass(frozen=True, slots=True)
class Thresholds:
    """What an operator lets pass; the fields are those of the settings `gate_*`."""

    accuracy_drop_max: float = 0.02
    baseline_drop_max: float = 0.0
    calibration_error_max: float | None = None


@dataclass(frozen=True, slots=True)
class Check:
    """One threshold, and what was found."""

    name: CheckName
    value: float | None
    lower: float | None  # of the interval of 95 %; what is held against the threshold
    upper: float | None
    threshold: float | None
    passed: bool | None  # null: there was nothing to judge by, or no threshold
    sentence: str


def judge(measured: Measured, thresholds: Thresholds) -> tuple[Check, ...]:
    """Return every check, in a fixed order."""
    return (
        _live_check(measured.live, thresholds.accuracy_drop_max),
        _baseline_check(measured.baseline, thresholds.baseline_drop_max),
        _calibration_check(measured.calibration, thresholds.calibration_error_max),
    )


def outcome_of(checks: Iterable[Check]) -> Outcome:
    """Return the verdict: rejected where a check did not pass."""
    return "rejected" if any(check.passed is False for check in checks) else "validated"


def _live_check(live: AgainstLive, drop_max: float) -> Check:
    name: CheckName = "accuracy_drop_from_live"
    if live.difference is None:
        why = f"not compared with the live version: {live.reason}"
        return Check(name, None, None, None, drop_max, None, why)
    return _drop_check(name, live.difference, drop_max, f"the live version {live.version}")


def _baseline_check(baseline: AgainstBaseline, drop_max: float) -> Check:
    name: CheckName = "accuracy_drop_from_baseline"
    if baseline.difference is None:
        why = f"not compared with nearest centroids: {baseline.reason}"
        return Check(name, None, None, None, drop_max, None, why)
    whom = "nearest centroids on the bare backbone"
    return _drop_check(name, baseline.difference, drop_max, whom)


def _drop_check(name: CheckName, difference: Figure, drop_max: float, whom: str) -> Check:
    """Hold a drop, which is a difference with its sign turned, against the largest allowed."""
    drop = _turned(difference)
    if drop.value is None or drop.lower is None or drop.upper is None:
        why = f"not compared with {whom}: there are no rows"
        return Check(name, None, None, None, drop_max, None, why)
    passed = drop.lower <= drop_max
    sentence = (
        f"accuracy less that of {whom} is {_signed(difference.value)} points (95 %:"
        f" {_signed(difference.lower)} to {_signed(difference.upper)}):"
        f" {'not surely' if passed else 'surely'} {_limit(drop_max)}"
    )
    return Check(name, drop.value, drop.lower, drop.upper, drop_max, passed, sentence)


def _limit(drop_max: float) -> str:
    if drop_max == 0:
        return "below it"
    if drop_max > 0:
        return f"more than {_points(drop_max)} below it"
    return f"less than {_points(-drop_max)} above it"


def _calibration_check(calibration: Calibration, error_max: float | None) -> Check:
    name: CheckName = "calibration_error"
    error = calibration.error
    if error.value is None or error.lower is None:
        why = "not judged: the hold-out has too few rows for a calibration error"
        return Check(name, None, None, None, error_max, None, why)
    told = f"the calibration error is {_points(error.value)}, at least {_points(error.lower)}"
    if error_max is None:
        sentence = f"{told}; no limit is set"
        return Check(name, error.value, error.lower, error.upper, None, None, sentence)
    passed = error.lower <= error_max
    beyond = "within" if passed else "beyond"
    sentence = f"{told}, {beyond} the {_points(error_max)} allowed"
    return Check(name, error.value, error.lower, error.upper, error_max, passed, sentence)


def _turned(figure: Figure) -> Figure:
    def minus(value: float | None) -> float | None:
        return None if value is None else 0.0 - value  # no -0.0

    return Figure(minus(figure.value), minus(figure.upper), minus(figure.lower))


def _signed(value: float | None) -> str:
    return "not defined" if value is None else f"{100 * value:+.3g}"


def _points(value: float) -> str:
    return f"{100 * value:.3g} points"
