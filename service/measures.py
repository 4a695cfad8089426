"""Measures of answers: what the exporter's proof, the upload gate and the sidecar agree on.

Pure numpy. What is not defined, as the accuracy of no rows, is NaN and never 0. Intervals are of
95 %. Probabilities are [rows, classes], classes are indices into them.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]
Classes = NDArray[np.integer[Any]]
Truths = NDArray[np.bool_]

Z95 = 1.959963984540054  # the 0.975 quantile of the normal distribution
BINS = 15
ROWS_PER_BIN = 10  # at least, unless there are fewer rows
TEMPERATURE_MIN, TEMPERATURE_MAX = 0.01, 100.0

_NAN = float("nan")
_SMALLEST = float(np.finfo(np.float32).tiny)  # below it a probability has no logarithm to speak of
_HALVINGS = 48  # of the logarithms between the bounds of a temperature: to 4e-14


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure and its interval of 95 %; all NaN where it is not defined."""

    value: float
    lower: float
    upper: float

    @property
    def is_defined(self) -> bool:
        """Say whether there is a figure."""
        return not math.isnan(self.value)

    def rounded(self, digits: int = 6) -> "Estimate":
        """Return the estimate as people read it."""
        return Estimate(
            round(self.value, digits), round(self.lower, digits), round(self.upper, digits)
        )


UNDEFINED = Estimate(_NAN, _NAN, _NAN)


def accuracy(predicted: Classes, correct: Classes) -> float:
    """Return the share of rows predicted right, in [0, 1]; NaN for no rows."""
    if len(predicted) == 0:
        return _NAN
    return float((predicted == correct).mean())


def label_agreement(first: Floats, second: Floats) -> float:
    """Return the share of rows [rows, labels] with the same most probable label; NaN for none."""
    return accuracy(first.argmax(axis=-1), second.argmax(axis=-1))


def wilson(successes: int, count: int) -> Estimate:
    """Return a share with Wilson's score interval (JASA 22, 1927); undefined for a count of 0.

    The interval is (p + z^2/2n -+ z sqrt(p (1 - p) / n + z^2/4n^2)) / (1 + z^2/n): never outside
    of [0, 1], and never of width 0.

    >>> wilson(9, 10).rounded()
    Estimate(value=0.9, lower=0.59585, upper=0.982124)
    """
    if count == 0:
        return UNDEFINED
    share = successes / count
    square = Z95 * Z95 / count
    middle = (share + square / 2) / (1 + square)
    half = Z95 * math.sqrt(share * (1 - share) / count + square / (4 * count)) / (1 + square)
    lower = 0.0 if successes == 0 else max(0.0, middle - half)
    upper = 1.0 if successes == count else min(1.0, middle + half)
    return Estimate(share, lower, upper)


def macro_f1(predicted: Classes, correct: Classes) -> float:
    """Return the mean of the F1 scores of all classes that were predicted or correct; NaN for none.

    F1 = 2 TP / (2 TP + FP + FN), which is scikit-learn's `f1_score(average="macro")`.

    >>> round(macro_f1(np.array([0, 0, 1, 1]), np.array([0, 1, 1, 1])), 6)
    0.733333
    """
    if len(predicted) == 0:
        return _NAN
    size = int(max(predicted.max(), correct.max())) + 1
    right = np.bincount(correct[predicted == correct], minlength=size)
    named = np.bincount(predicted, minlength=size) + np.bincount(correct, minlength=size)
    occurs = named > 0
    return float((2 * right[occurs] / named[occurs]).mean())


def log_loss(probabilities: Floats, correct: Classes) -> float:
    """Return the mean of -log of the probability given to the correct class; NaN for no rows.

    >>> round(log_loss(np.array([[0.5, 0.5], [0.9, 0.1]]), np.array([0, 0])), 6)
    0.399254
    """
    if len(correct) == 0:
        return _NAN
    given = probabilities[np.arange(len(correct)), correct]
    return float(-np.log(np.maximum(given.astype(np.float64), _SMALLEST)).mean())


def top_label_brier(confidence: Floats, is_right: Truths) -> float:
    """Return the mean of (confidence - right)^2 over the predicted classes; NaN for no rows.

    Brier (1950) of the event "the predicted class is the correct one"; confidence is the largest
    probability.

    >>> round(top_label_brier(np.array([0.9, 0.6]), np.array([True, False])), 6)
    0.185
    """
    if len(confidence) == 0:
        return _NAN
    return float(np.square(confidence.astype(np.float64) - is_right).mean())


def confidence_gap(confidence: Floats, is_right: Truths) -> Estimate:
    """Return the mean of confidence - right: above 0 where a model is too sure of itself.

    The interval is the normal one of a mean; it is undefined for fewer than 2 rows.

    >>> sure = np.array([0.9, 0.8, 0.7, 0.6])
    >>> confidence_gap(sure, np.array([True, True, False, False])).rounded()
    Estimate(value=0.25, lower=-0.206157, upper=0.706157)
    """
    count = len(confidence)
    if count < 2:
        return UNDEFINED
    gaps = confidence.astype(np.float64) - is_right
    middle = float(gaps.mean())
    half = Z95 * float(gaps.std(ddof=1)) / math.sqrt(count)
    return Estimate(middle, middle - half, middle + half)


def paired_difference(first: Truths, second: Truths) -> Estimate:
    """Return how much more often `first` is right than `second`, on the same rows.

    Bonett and Price (J. Educ. Behav. Stat. 37, 2012): Wald's interval of the difference of paired
    shares after 1 was added to both kinds of disagreement, b and c of McNemar's test. Undefined
    for no rows.

    >>> first = np.array([True] * 9 + [False])
    >>> paired_difference(first, np.array([True] * 6 + [False] * 4)).rounded()
    Estimate(value=0.3, lower=-0.086714, upper=0.586714)
    """
    count = len(first)
    if count == 0:
        return UNDEFINED
    better = int((first & ~second).sum())
    worse = int((second & ~first).sum())
    more = (better + 1) / (count + 2)
    less = (worse + 1) / (count + 2)
    half = Z95 * math.sqrt((more + less - (more - less) ** 2) / (count + 2))
    middle = more - less
    return Estimate((better - worse) / count, max(-1.0, middle - half), min(1.0, middle + half))


@dataclass(frozen=True, slots=True)
class CalibrationError:
    """How far confidence is from the share that is right, over bins of equal mass.

    `squared` is the debiased mean of squared distances, which may be negative; `debiased` its
    root, 0 where it is negative. `plug_in` is the usual ECE: the mean of absolute distances.
    """

    squared: Estimate
    debiased: Estimate
    plug_in: float
    bins: int


def calibration_error(
    confidence: Floats, is_right: Truths, bins: int | None = None
) -> CalibrationError:
    """Return the calibration error of top labels; undefined for fewer than 2 rows in a bin.

    Bins of equal mass: `BINS`, fewer for fewer than `ROWS_PER_BIN` rows a bin, and rows of one
    confidence share a bin, so that no figure depends on the order of the rows. With d the mean of
    confidence - right in a bin of m rows and share w, and s^2 its variance there, the plug-in sum
    of w d^2 is too large by the sum of w s^2 / m, which is taken off (Kumar, Liang and Ma,
    "Verified Uncertainty Calibration", 2019, section 5). What is estimated is the error of the
    binned confidence, which binning can only make smaller.

    The interval is the normal one with Var(d^2) = 4 d^2 v - 2 v^2, v = s^2 / m, and 2 v^2 at
    least, which it is where d is 0; v is at least what answers of that confidence would have, or
    a bin in which all are right would claim to know its error exactly.

    >>> sure = np.linspace(0.505, 0.995, 50)
    >>> found = calibration_error(sure, np.arange(50) % 2 == 0)
    >>> found.squared.rounded()
    Estimate(value=0.054075, lower=-0.026682, upper=0.134832)
    >>> round(found.plug_in, 6), found.bins
    (0.25, 5)
    """
    count = len(confidence)
    if bins is None:
        bins = max(1, min(BINS, count // ROWS_PER_BIN))
    if count < 2 * bins:
        return CalibrationError(UNDEFINED, UNDEFINED, _NAN, bins)
    order = np.argsort(confidence, kind="stable")
    sure = confidence.astype(np.float64)
    plug_in = plain = excess = variance = 0.0
    parts = np.split(order, _cuts(sure[order], bins))
    for rows in parts:
        gaps = sure[rows] - is_right[rows]
        share, size = len(rows) / count, len(rows)
        distance = float(gaps.mean())
        noise = float(gaps.var(ddof=1)) / size
        level = float(sure[rows].mean())
        doubt = max(noise, level * (1 - level) / size)
        square = distance * distance
        plug_in += share * abs(distance)
        plain += share * square
        excess += share * noise
        spread = max(4 * square * doubt - 2 * doubt * doubt, 2 * doubt * doubt)
        variance += share * share * spread
    value, half = plain - excess, Z95 * math.sqrt(variance)
    squared = Estimate(value, value - half, value + half)
    debiased = Estimate(*map(_root, (value, value - half, value + half)))
    return CalibrationError(squared, debiased, plug_in, len(parts))


def _cuts(ordered: NDArray[np.float64], bins: int) -> list[int]:
    """Return where bins of about equal mass begin, but for the first, in ascending confidences."""
    size = len(ordered) / bins
    least = max(2, int(size / 2))
    cuts: list[int] = []
    for number in range(1, bins):
        level = ordered[round(number * size)]
        cut = int(np.searchsorted(ordered, level))  # where the run of this confidence begins
        if cut - (cuts[-1] if cuts else 0) >= least and len(ordered) - cut >= least:
            cuts.append(cut)
    return cuts


def _root(square: float) -> float:
    return math.sqrt(max(0.0, square))


def apply_temperature(probabilities: Floats, temperature: float) -> NDArray[np.float64]:
    """Return what the softmax would have been of logits over a temperature, [rows, classes].

    softmax(log(softmax(z)) / T) is softmax(z / T), because the logarithm of a softmax is z less a
    number of the row's own. Probabilities that float32 rounded to 0 count as its smallest.

    >>> apply_temperature(np.array([[0.8, 0.2]]), 2.0).round(6)
    array([[0.666667, 0.333333]])
    """
    return _softmax(_logarithms(probabilities) / temperature)


def fit_temperature(probabilities: Floats, correct: Classes) -> float:
    """Return the temperature that makes the log loss smallest; NaN for no rows.

    The loss is convex in 1 / T (Guo et al., "On Calibration of Modern Neural Networks", 2017), so
    that the sign of its derivative, mean(sum of p log q - log q of the correct class), says on
    which side the best one lies. It is held between `TEMPERATURE_MIN` and `TEMPERATURE_MAX`: where
    every row is right, no temperature is small enough, and the bound comes back.

    >>> given = np.array([[0.9, 0.1]] * 4)
    >>> round(fit_temperature(given, np.array([0, 0, 0, 1])), 6)
    2.0
    """
    if len(correct) == 0:
        return _NAN
    logarithms = _logarithms(probabilities)
    of_correct = logarithms[np.arange(len(correct)), correct]
    cold, hot = math.log(TEMPERATURE_MIN), math.log(TEMPERATURE_MAX)
    if _slope(logarithms, of_correct, TEMPERATURE_MIN) <= 0:
        return TEMPERATURE_MIN
    if _slope(logarithms, of_correct, TEMPERATURE_MAX) >= 0:
        return TEMPERATURE_MAX
    for _ in range(_HALVINGS):
        middle = (cold + hot) / 2
        if _slope(logarithms, of_correct, math.exp(middle)) > 0:
            cold = middle
        else:
            hot = middle
    return math.exp((cold + hot) / 2)


def cross_fitted(probabilities: Floats, correct: Classes, folds: int = 5) -> NDArray[np.float64]:
    """Return probabilities, each row's at a temperature that was fitted on the other folds' rows.

    So what is measured on them is not flattered by the fit. Folds are drawn from a fixed seed.
    Raises `ValueError` for fewer rows than folds.
    """
    count = len(correct)
    if count < folds:
        raise ValueError(f"{count} rows cannot be dealt to {folds} folds")
    fold = np.random.default_rng(0).permutation(count) % folds
    result = np.empty(probabilities.shape, dtype=np.float64)
    for number in range(folds):
        own = fold == number
        temperature = fit_temperature(probabilities[~own], correct[~own])
        result[own] = apply_temperature(probabilities[own], temperature)
    return result


def _logarithms(probabilities: Floats) -> NDArray[np.float64]:
    logarithms: NDArray[np.float64] = np.log(
        np.maximum(probabilities.astype(np.float64), _SMALLEST)
    )
    return logarithms


def _softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    raised = np.exp(logits - logits.max(axis=-1, keepdims=True))
    result: NDArray[np.float64] = raised / raised.sum(axis=-1, keepdims=True)
    return result


def _slope(
    logarithms: NDArray[np.float64], of_correct: NDArray[np.float64], temperature: float
) -> float:
    """Return the derivative of the log loss by 1 / T."""
    expected = (_softmax(logarithms / temperature) * logarithms).sum(axis=-1)
    return float((expected - of_correct).mean())
