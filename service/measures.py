"""Measures of answers: what the exporter's proof, the upload gate and the sidecar agree on.

Pure numpy. What is not defined, as the accuracy of no rows, is NaN and never 0. Intervals are of
95 %. Probabilities are [rows, classes], classes are indices into them. Weights, where rows have
them, are above 0, and only their proportions count; intervals go by Kish's effective count.
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
_HALVINGS = 48  # to 4e-15 of what is halved
_CONVERGED = 1e-13


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


def wilson(successes: float, count: float) -> Estimate:
    """Return a share with Wilson's score interval (JASA 22, 1927); undefined for a count of 0.

    The interval is (p + z^2/2n -+ z sqrt(p (1 - p) / n + z^2/4n^2)) / (1 + z^2/n): never outside
    of [0, 1], and never of width 0. Counts need not be whole: a mean in [0, 1] whose variance is v
    has this interval at p (1 - p) / v rows, which are as many as would tell as much of a share.

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


def effective_count(weights: Floats) -> float:
    """Return how many rows of equal weight tell as much: (sum w)^2 / sum w^2 (Kish, 1965).

    >>> round(effective_count(np.array([1.0, 1.0, 2.0])), 6)
    2.666667
    """
    if len(weights) == 0:
        return 0.0
    plain = weights.astype(np.float64)
    return float(plain.sum() ** 2 / np.square(plain).sum())


def share_right(is_right: Truths, weights: Floats | None = None) -> Estimate:
    """Return the share of rows that are right, with Wilson's interval; undefined for no rows."""
    plain = _weights(weights, len(is_right))
    count = effective_count(plain)
    if count == 0:
        return UNDEFINED
    return wilson(float(plain[is_right].sum() / plain.sum()) * count, count)


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


def top_label_brier(confidence: Floats, is_right: Truths, weights: Floats | None = None) -> float:
    """Return the mean of (confidence - right)^2 over the predicted classes; NaN for no rows.

    Brier (1950) of the event "the predicted class is the correct one"; confidence is the largest
    probability.

    >>> round(top_label_brier(np.array([0.9, 0.6]), np.array([True, False])), 6)
    0.185
    """
    if len(confidence) == 0:
        return _NAN
    squares = np.square(confidence.astype(np.float64) - is_right)
    return float(np.average(squares, weights=weights))


@dataclass(frozen=True, slots=True)
class BrierParts:
    """The Brier score of top labels, and what it is made of."""

    score: Estimate  # reliability - resolution + uncertainty
    reliability: float  # mean squared distance of confidence from the share right, over bins
    resolution: float  # how far the confidence tells right from wrong
    uncertainty: float  # accuracy (1 - accuracy): the score of always saying the accuracy


def brier_parts(
    confidence: Floats,
    is_right: Truths,
    bins: int | None = None,
    weights: Floats | None = None,
) -> BrierParts:
    """Return the Brier score with its interval and parts; NaN for fewer than 2 rows in a bin.

    Murphy (J. Appl. Meteorol. 12, 1973), over the bins of `calibration_error`. What confidences
    differ within a bin is counted into the resolution, less its variance there and plus twice its
    covariance with being right (Stephenson, Coelho and Jolliffe, Weather Forecast. 23, 2008), so
    that the parts always add up to the score.

    The interval is Wilson's, for a share that varies as much. The variance is at least what
    answers of that confidence would have, or rows that are all right would claim to know theirs.

    >>> sure = np.array([0.9, 0.9, 0.9, 0.9, 0.6, 0.6, 0.6, 0.6])
    >>> right = np.array([True, True, True, True, True, True, False, False])
    >>> found = brier_parts(sure, right, bins=2)
    >>> found.score.rounded()
    Estimate(value=0.135, lower=0.05204, upper=0.307334)
    >>> round(found.reliability, 6), round(found.resolution, 6), round(found.uncertainty, 6)
    (0.01, 0.0625, 0.1875)
    """
    parts = equal_mass_bins(confidence, is_right, bins, weights)
    if parts is None:
        return BrierParts(UNDEFINED, _NAN, _NAN, _NAN)
    sure, plain = confidence.astype(np.float64), _weights(weights, len(confidence))
    value, spread = _moments(np.square(sure - is_right), plain)
    doubt = sure * (1 - sure)
    expected, between = _moments(doubt, plain)
    between += float(np.average(doubt * np.square(1 - 2 * sure), weights=plain))
    mean, variance = (expected, between) if between > spread else (value, spread)
    count = effective_count(plain)
    if variance > 0:
        count *= mean * (1 - mean) / variance
    accurate = float(np.average(is_right, weights=plain))
    reliability = float((parts.share * np.square(parts.confidence - parts.right)).sum())
    uncertainty = accurate * (1 - accurate)
    return BrierParts(
        score=wilson(value * count, count),
        reliability=reliability,
        resolution=reliability + uncertainty - value,
        uncertainty=uncertainty,
    )


def confidence_gap(confidence: Floats, is_right: Truths, weights: Floats | None = None) -> Estimate:
    """Return the mean of confidence - right: above 0 where a model is too sure of itself.

    The interval holds two: the normal one of a mean, and the mean confidence less Wilson's for a
    share that varies as much, or as much as answers of that confidence would. The first is too
    short where nearly all are right, the second where confidences vary more than answers.
    Undefined for fewer than 2 rows.

    >>> sure = np.array([0.9, 0.8, 0.7, 0.6])
    >>> confidence_gap(sure, np.array([True, True, False, False])).rounded()
    Estimate(value=0.25, lower=-0.206157, upper=0.706157)
    """
    if len(confidence) < 2:
        return UNDEFINED
    sure, plain = confidence.astype(np.float64), _weights(weights, len(confidence))
    middle, spread = _moments(sure - is_right, plain)
    level = float(np.average(sure, weights=plain))
    mean = level - middle
    count = effective_count(plain)
    half = Z95 * math.sqrt(spread / count)
    expected = float(np.average(sure * (1 - sure), weights=plain))
    alike = mean * (1 - mean) / spread if spread > 0 else 1.0
    if expected > spread:
        alike = level * (1 - level) / expected
    right = wilson(mean * count * alike, count * alike)
    return Estimate(
        middle, min(middle - half, level - right.upper), max(middle + half, level - right.lower)
    )


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


@dataclass(frozen=True, slots=True)
class Bins:
    """Rows in bins of about equal count, by ascending confidence; each an array [bins]."""

    rows: NDArray[np.int64]
    effective: NDArray[np.float64]  # rows, or Kish's count where they have weights
    share: NDArray[np.float64]  # of all weight
    confidence: NDArray[np.float64]  # mean
    right: NDArray[np.float64]  # share that is right
    noise: NDArray[np.float64]  # variance of the mean of confidence - right


def equal_mass_bins(
    confidence: Floats,
    is_right: Truths,
    bins: int | None = None,
    weights: Floats | None = None,
) -> Bins | None:
    """Return the bins of a reliability diagram; None for fewer than 2 rows in a bin.

    `BINS` bins, fewer for fewer than `ROWS_PER_BIN` rows a bin. Rows of one confidence share a
    bin, so that no figure depends on the order of the rows.
    """
    rows = len(confidence)
    plain = _weights(weights, rows)
    if bins is None:
        bins = max(1, min(BINS, int(effective_count(plain) + 1e-6) // ROWS_PER_BIN))
    if rows < 2 * bins:
        return None
    order = np.argsort(confidence, kind="stable")
    sure, weight = confidence[order].astype(np.float64), plain[order]
    starts = np.array([0, *_cuts(sure, bins)])

    def mean(values: NDArray[np.float64]) -> NDArray[np.float64]:
        found: NDArray[np.float64] = np.add.reduceat(weight * values, starts) / total
        return found

    total = np.add.reduceat(weight, starts)
    effective = total**2 / np.add.reduceat(np.square(weight), starts)
    gaps = sure - is_right[order]
    distance = mean(gaps)
    sizes = np.diff(starts, append=rows)
    level = mean(sure)
    return Bins(
        rows=sizes.astype(np.int64),
        effective=effective,
        share=total / total.sum(),
        confidence=level,
        right=mean(is_right[order].astype(np.float64)),
        noise=mean(np.square(gaps - np.repeat(distance, sizes))) / (effective - 1),
    )


def calibration_error(
    confidence: Floats,
    is_right: Truths,
    bins: int | None = None,
    weights: Floats | None = None,
) -> CalibrationError:
    """Return the calibration error of top labels; undefined for fewer than 2 rows in a bin.

    Over `equal_mass_bins`. With d the mean of confidence - right in a bin of m rows and share w,
    and s^2 its variance there, the plug-in sum of w d^2 is too large by the sum of w s^2 / m,
    which is taken off (Kumar, Liang and Ma, "Verified Uncertainty Calibration", 2019, section 5).
    What is estimated is the error of the binned confidence, which binning can only make smaller.
    For the interval of the square see `_square_interval`; it begins at 0, or at the square where
    that is negative.

    >>> sure = np.linspace(0.505, 0.995, 50)
    >>> found = calibration_error(sure, np.arange(50) % 2 == 0)
    >>> found.squared.rounded()
    Estimate(value=0.054075, lower=0.002794, upper=0.164424)
    >>> round(found.plug_in, 6), found.bins
    (0.25, 5)
    """
    parts = equal_mass_bins(confidence, is_right, bins, weights)
    if parts is None:
        return CalibrationError(UNDEFINED, UNDEFINED, _NAN, bins or 1)
    distance = parts.confidence - parts.right
    plug_in = float((parts.share * np.abs(distance)).sum())
    value = float((parts.share * (np.square(distance) - parts.noise)).sum())
    squared = Estimate(value, *_square_interval(parts, value))
    debiased = Estimate(*map(_root, (value, squared.lower, squared.upper)))
    return CalibrationError(squared, debiased, plug_in, len(parts.share))


def _square_interval(parts: Bins, value: float) -> tuple[float, float]:
    """Return the squares of which the estimate is neither among the 2.5 % least nor greatest.

    With gaps normal about the true ones d, and v their variances, the estimate at a true square t
    has variance 2 sum (w v)^2 + 4 a t, and the variance over bins of d^2 as estimated by the count
    for other rows that might have come; its third cumulant is 8 sum (w v)^3 + 24 a^2 t. Here a is
    the mean of w v by share of the square: as estimated, but at least as where d^2 is like v. A
    chi-square of these moments gives the quantiles (Imhof, Biometrika 48, 1961; Wilson and
    Hilferty, 1931). An estimate below 0 counts as 0: what is too good by chance is not known
    better.

    v is at least what answers of that confidence would have, and for no confidence less than at
    one row wrong of all: a bin in which all are right does not know its error exactly.
    """
    expected = parts.confidence * (1 - parts.confidence)
    count = float(parts.effective.sum())
    expected = np.maximum(expected, 1 / count)
    noise = np.maximum(parts.noise, expected / parts.effective)
    unit = parts.share * noise
    squares = np.maximum(np.square(parts.confidence - parts.right) - noise, 0.0)
    excess = parts.share * squares
    between = float((parts.share * np.square(squares - excess.sum())).sum())
    spread = 2 * float((unit**2).sum()) + between / count
    skew = 8 * float((unit**3).sum())
    least = float((unit**2).sum() / unit.sum())
    slope = max(least, float((excess * unit).sum() / max(excess.sum(), _SMALLEST)))

    def is_beyond(square: float, estimate: float, quantile: float) -> bool:
        variance = spread + 4 * slope * square
        freedom = 8 * variance**3 / (skew + 24 * slope**2 * square) ** 2
        third = 2 / (9 * freedom)
        bound = freedom * max(1 - third + quantile * math.sqrt(third), 0.0) ** 3
        return (estimate - square) * math.sqrt(2 * freedom / variance) > bound - freedom

    def greatest(estimate: float, quantile: float) -> float:
        low, high = 0.0, 1.0
        if not is_beyond(low, estimate, quantile):
            return 0.0
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            low, high = (middle, high) if is_beyond(middle, estimate, quantile) else (low, middle)
        return high

    return min(greatest(value, Z95), value), greatest(max(value, 0.0), -Z95)


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


def fit_temperature(
    probabilities: Floats, correct: Classes, weights: Floats | None = None
) -> float:
    """Return the temperature that makes the log loss smallest; NaN for no rows.

    The loss is convex in 1 / T (Guo et al., "On Calibration of Modern Neural Networks", 2017), so
    that the sign of its derivative, mean(sum of p log q - log q of the correct class), says on
    which side the best one lies: Newton's steps, held between the nearest of either side. It is
    held between `TEMPERATURE_MIN` and `TEMPERATURE_MAX`: where every row is right, no temperature
    is small enough, and the bound comes back.

    >>> given = np.array([[0.9, 0.1]] * 4)
    >>> round(fit_temperature(given, np.array([0, 0, 0, 1])), 6)
    2.0
    """
    if len(correct) == 0:
        return _NAN
    logarithms = _logarithms(probabilities)
    of_correct = logarithms[np.arange(len(correct)), correct]
    plain = _weights(weights, len(correct))
    low, high = 1 / TEMPERATURE_MAX, 1 / TEMPERATURE_MIN
    if _slope(logarithms, of_correct, plain, high)[0] <= 0:
        return TEMPERATURE_MIN
    if _slope(logarithms, of_correct, plain, low)[0] >= 0:
        return TEMPERATURE_MAX
    inverse = 1.0
    for _ in range(2 * _HALVINGS):
        slope, curvature = _slope(logarithms, of_correct, plain, inverse)
        low, high = (low, inverse) if slope > 0 else (inverse, high)
        stepped = inverse - slope / curvature if curvature > 0 else 0.0
        if not low <= stepped <= high:
            stepped = math.sqrt(low * high)
        moved, inverse = abs(stepped - inverse), stepped
        if moved <= _CONVERGED * inverse:
            break
    return 1 / inverse


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
    logarithms: NDArray[np.float64],
    of_correct: NDArray[np.float64],
    weights: NDArray[np.float64],
    inverse: float,
) -> tuple[float, float]:
    """Return the first and second derivative of the log loss by 1 / T."""
    shares = _softmax(logarithms * inverse)
    expected = (shares * logarithms).sum(axis=-1)
    spread = (shares * np.square(logarithms - expected[:, None])).sum(axis=-1)
    slope = np.average(expected - of_correct, weights=weights)
    return float(slope), float(np.average(spread, weights=weights))


def _weights(weights: Floats | None, rows: int) -> NDArray[np.float64]:
    return np.ones(rows) if weights is None else weights.astype(np.float64)


def _moments(values: NDArray[np.float64], weights: NDArray[np.float64]) -> tuple[float, float]:
    """Return the mean and the variance, unbiased, of two values or more."""
    mean = float(np.average(values, weights=weights))
    count = effective_count(weights)
    spread = float(np.average(np.square(values - mean), weights=weights))
    return mean, spread * count / (count - 1)
