"""The interval of a drift effect: what a squared distance says of the distance behind it."""

import math
from collections.abc import Callable
from dataclasses import dataclass

from monitoring.detectors.spread import Spread
from service.measures import Z95

_HALVINGS = 50
_LARGEST = 4.0  # squared distance of means of features of norm 1
_EXTREME = 2.0  # times as far as wholly foreign rows: what replaced rows are at most taken for


@dataclass(frozen=True, slots=True)
class Uncertainty:
    """What is known of the error of a squared distance of means, both of them sampled."""

    below: float  # 2.5 % quantile of the statistic if nothing moved, at most 0
    above: float  # 97.5 % quantile
    sampling: float  # variance of the difference of the means along that difference
    rows: float  # of the window
    foreign: float  # squared distance of a window of wholly foreign rows


def interval(statistic: float, error: Uncertainty) -> tuple[float, float]:
    """Return the interval of 95 % of the squared distance t that a statistic T estimates.

    T - t has two parts: the noise that is there if nothing moved, whose quantiles are known, and
    2 d.e, the difference d of the means times the error e of its estimate, which is near normal
    with variance 4 t V(t). V is the sampling variance along d, plus what the window's share s of
    other rows varies by: if they are at a squared distance D from the reference, then t = s^2 D
    and the share's own variance, s (1 - s) / n, adds (1 - s) sqrt(t D) / n. No second moment of
    a window is kept, so D is unknown and taken to be twice that of wholly foreign rows: safe, but
    for windows that one row alone floods.

    The bounds are where T stops being plausible: T - t = sqrt(q^2 + z^2 4 t V(t)), which combines
    the quantile q of one part with that of the other (Zou and Donner, Statistics in Medicine 27,
    2008). Where the lower one is not above 0, it is T less its noise, and so maybe below 0.

    >>> even = Uncertainty(below=-0.1, above=0.1, sampling=0.0, rows=math.inf, foreign=1.0)
    >>> [round(bound, 6) for bound in interval(0.5, even)]
    [0.4, 0.6]
    """
    farthest = _EXTREME * error.foreign

    def variance(square: float) -> float:
        share = min(1.0, math.sqrt(square / farthest)) if farthest > 0 else 1.0
        mixing = (1 - share) * math.sqrt(square * farthest) / error.rows
        return Z95 * Z95 * 4 * square * (error.sampling + mixing)

    def too_high(square: float) -> bool:
        return statistic - square < math.sqrt(error.above**2 + variance(square))

    middle = max(statistic, 0.0)  # a statistic far below 0 is no sign of a short interval

    def too_low(square: float) -> bool:
        return square - middle < math.sqrt(error.below**2 + variance(square))

    lower = statistic - error.above
    if lower > 0:
        lower = _switch(lambda square: not too_high(square), 0.0, statistic)
    return lower, _switch(too_low, middle, _LARGEST)


def noise_quantile(spread: Spread, normal: float) -> float:
    """Return a quantile of the squared length of a normal error, less its mean.

    The error has this covariance; `normal` is the standard normal quantile of the same share. By
    three moments (Imhof, Biometrika 48, 1961, section 4) and Wilson and Hilferty's quantile of
    chi-square: with c_j the sum of the eigenvalues' j-th powers and h = c_2^3 / c_3^2, it is
    sqrt(c_2 / h) (chi^2_h - h).
    """
    if spread.trace_cube <= 0:
        return 0.0
    freedom = spread.trace_square**3 / spread.trace_cube**2
    part = 2 / (9 * freedom)
    chi_square = freedom * max(0.0, 1 - part + normal * math.sqrt(part)) ** 3
    return math.sqrt(spread.trace_square / freedom) * (chi_square - freedom)


def _switch(holds: Callable[[float], bool], low: float, high: float) -> float:
    """Return where `holds` ends between `low`, where it does, and `high`, by halving."""
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if holds(middle):
            low = middle
        else:
            high = middle
    return (low + high) / 2
