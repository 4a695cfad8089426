"""What a hold-out says of a version: figures with their intervals, from what running it gave.

Pure. A figure that is not defined is None in a report.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from service import measures
from service.gate.centroids import NO_CLASS, nearest_centroids
from service.gate.rows import Indices, LiveAnswers, Run
from service.measures import Estimate, Floats

CROSS_FIT_ROWS_MIN = 20  # below it a temperature fitted on four fifths of the rows says nothing
DIGITS = 6

_TEMPERATURE_DIGITS = 4  # that count


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure and its interval of 95 %; all null where it is not defined."""

    value: float | None
    lower: float | None
    upper: float | None


@dataclass(frozen=True, slots=True)
class Calibration:
    """How far the scores are from the share that is right."""

    error: Figure  # the root of the debiased squared error, 0 where that is negative
    squared: Figure  # the debiased squared error itself, which may be negative
    plug_in: float | None  # the usual ECE, over bins of equal mass
    bins: int
    brier: float | None  # of the top label
    log_loss: float | None
    confidence_gap: Figure  # mean(score - right): above 0 where it is too sure of itself


@dataclass(frozen=True, slots=True)
class Temperature:
    """What the logits are divided by, and what they should be divided by."""

    applied: float  # in what is served
    fitted: float | None  # makes the log loss on the hold-out smallest
    at_bound: bool  # the best one lies beyond what is looked at, as where every row is right


@dataclass(frozen=True, slots=True)
class AgainstLive:
    """The new version beside the one that is live, on the same rows."""

    version: int | None
    digest: str | None
    accuracy: Figure | None  # of the live version; null where it cannot be compared
    difference: Figure | None  # the new version's accuracy less the live version's
    reason: str | None  # why it cannot be compared


@dataclass(frozen=True, slots=True)
class AgainstBaseline:
    """The version beside nearest centroids on the bare backbone."""

    rows: int  # of classes with two rows or more, which the comparison is on
    accuracy: Figure | None  # of the centroids
    difference: Figure | None  # the version's accuracy less theirs; below 0: negative transfer
    reason: str | None  # why there is none


@dataclass(frozen=True, slots=True)
class Latency:
    """Compute seconds a text, under whatever else the server did meanwhile."""

    p50_s: float
    p95_s: float
    jobs: int  # each of them gives one figure, the mean over its texts


@dataclass(frozen=True, slots=True)
class Measured:
    """Everything that a hold-out told."""

    rows: int
    rows_sent: int
    holdout: str  # digest of the file
    accuracy: Figure
    macro_f1: float | None
    calibration: Calibration  # of what is served
    uncalibrated: Calibration | None  # before the temperature that was fitted here, where it was
    repaired: Calibration | None  # as it would be with the cross-fitted temperature
    temperature: Temperature
    live: AgainstLive
    baseline: AgainstBaseline
    latency: Latency


@dataclass(frozen=True, slots=True)
class HoldoutFile:
    """What is known of the file itself."""

    digest: str
    rows_sent: int


def measure(run: Run, file: HoldoutFile, *, applied: float = 1.0, fits: bool = False) -> Measured:
    """Return the figures of a run.

    `applied` is the temperature that the run's answers were made with. `fits`: the version is to
    be served at the temperature that fits its hold-out; what is served is then judged with the
    cross-fitted one, since its own rows would flatter it.
    """
    correct = run.correct
    plain = run.own.probabilities
    temperature = _temperature(plain, correct, applied)
    before = _calibration(plain, correct)
    crossed = None
    if len(correct) >= CROSS_FIT_ROWS_MIN:
        crossed = _calibration(measures.cross_fitted(plain, correct), correct)
    served = before
    if fits:
        served = crossed or before
        applied = temperature.fitted or applied
    is_right = plain.argmax(axis=1) == correct
    return Measured(
        rows=len(correct),
        rows_sent=file.rows_sent,
        holdout=file.digest,
        accuracy=figure(measures.wilson(int(is_right.sum()), len(is_right))),
        macro_f1=number(measures.macro_f1(plain.argmax(axis=1), correct)),
        calibration=served,
        uncalibrated=before if fits and crossed is not None else None,
        repaired=crossed,
        temperature=Temperature(applied, temperature.fitted, temperature.at_bound),
        live=_against_live(run.live, is_right, correct),
        baseline=_against_baseline(run.bare, is_right, correct),
        latency=_latency(run.own.text_s),
    )


def _temperature(probabilities: Floats, correct: Indices, applied: float) -> Temperature:
    more = measures.fit_temperature(probabilities, correct)
    bounds = (measures.TEMPERATURE_MIN, measures.TEMPERATURE_MAX)
    at_bound = more in bounds
    total = min(max(more * applied, bounds[0]), bounds[1])
    return Temperature(applied, significant(total), at_bound or total in bounds)


def _calibration(probabilities: Floats, correct: Indices) -> Calibration:
    sure = probabilities.max(axis=1)
    is_right = probabilities.argmax(axis=1) == correct
    error = measures.calibration_error(sure, is_right)
    return Calibration(
        error=figure(error.debiased),
        squared=figure(error.squared),
        plug_in=number(error.plug_in),
        bins=error.bins,
        brier=number(measures.top_label_brier(sure, is_right)),
        log_loss=number(measures.log_loss(probabilities, correct)),
        confidence_gap=figure(measures.confidence_gap(sure, is_right)),
    )


def _against_live(live: LiveAnswers, is_right: NDArray[np.bool_], correct: Indices) -> AgainstLive:
    if live.probabilities is None:
        return AgainstLive(live.version, live.digest, None, None, live.reason)
    theirs = live.probabilities.argmax(axis=1) == correct
    return AgainstLive(
        live.version,
        live.digest,
        figure(measures.wilson(int(theirs.sum()), len(theirs))),
        figure(measures.paired_difference(is_right, theirs)),
        None,
    )


def _against_baseline(
    bare: Floats, is_right: NDArray[np.bool_], correct: Indices
) -> AgainstBaseline:
    predicted = nearest_centroids(bare, correct)
    compared = predicted != NO_CLASS
    rows = int(compared.sum())
    if rows == 0:
        reason = "fewer than two classes have two rows or more in the hold-out"
        return AgainstBaseline(0, None, None, reason)
    theirs = (predicted == correct)[compared]
    return AgainstBaseline(
        rows,
        figure(measures.wilson(int(theirs.sum()), rows)),
        figure(measures.paired_difference(is_right[compared], theirs)),
        None,
    )


def _latency(text_s: Sequence[float]) -> Latency:
    p50_s, p95_s = np.quantile(text_s, [0.5, 0.95]).tolist()
    return Latency(round(p50_s, DIGITS), round(p95_s, DIGITS), len(text_s))


def figure(estimate: Estimate) -> Figure:
    """Return an estimate as reports show it."""
    return Figure(number(estimate.value), number(estimate.lower), number(estimate.upper))


def number(value: float) -> float | None:
    """Return a number as reports show it: rounded, None for NaN."""
    return None if math.isnan(value) else round(value, DIGITS)


def significant(value: float) -> float:
    """Return a temperature as it is kept: to four digits that count."""
    return float(f"{value:.{_TEMPERATURE_DIGITS}g}")
