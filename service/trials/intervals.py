"""How far off a difference may be: intervals that hold however often one looks, and quantiles.

Source: asymptotic confidence sequences, Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas 2024
(arXiv 2103.06476, theorem 2.2), narrowest at `_NARROWEST_AT` rows; intervals of quantiles by order
statistics, with the binomial law's normal approximation.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

_NARROWEST_AT = 300
_Z95 = 1.959964


@dataclass(frozen=True, slots=True)
class Interval:
    """A figure and how far off it may be, at 95 %."""

    point: float
    lower: float
    upper: float


def radius(deviation: float, rows: int, alpha: float = 0.05) -> float:
    """Return the half width of the interval of a mean, which holds at all times together.

    >>> round(radius(0.5, 400), 4)  # a fixed-time interval would have 0.049
    0.0761
    """
    twice = -2.0 * math.log(alpha)
    rho2 = (twice + math.log(twice) + 1.0) / _NARROWEST_AT
    spread = rows * rho2 + 1.0
    return deviation * math.sqrt(
        2.0 * spread / (rows**2 * rho2) * math.log(math.sqrt(spread) / alpha)
    )


def of_pairs(tables: Sequence[tuple[int, int, int]]) -> Interval:
    """Return the mean of the means of differences, one for each table, each as heavy as the others.

    A table is of so many rows: of differences that are 1, of those that are -1, and of all.
    """
    means = [(gained - lost) / rows for gained, lost, rows in tables]
    point = sum(means) / len(means)
    # One more of each keeps the deviation of few rows away from nothing.
    squares = [(gained + lost + 2) / (rows + 2) for gained, lost, rows in tables]
    variance = (
        sum(
            max(square - mean**2, 0.0) / rows
            for square, mean, (_, _, rows) in zip(squares, means, tables, strict=True)
        )
        / len(tables) ** 2
    )
    whole = sum(rows for _, _, rows in tables)
    reach = radius(math.sqrt(whole * variance), whole)
    return Interval(point, max(-1.0, point - reach), min(1.0, point + reach))


def of_shares(one: int, ones: int, other: int, others: int) -> Interval:
    """Return the difference of two shares, one / ones less other / others."""
    point = one / ones - other / others
    reach = _of_share(one, ones) + _of_share(other, others)
    return Interval(point, max(-1.0, point - reach), min(1.0, point + reach))


def _of_share(count: int, rows: int) -> float:
    share = (count + 1) / (rows + 2)
    return radius(math.sqrt(share * (1.0 - share)), rows, alpha=0.025)


def of_quantiles(canary: Sequence[float], live: Sequence[float], level: float) -> Interval:
    """Return the difference of a quantile of two samples; this interval is of one look."""
    one, other = _quantile(canary, level), _quantile(live, level)
    return Interval(one.point - other.point, one.lower - other.upper, one.upper - other.lower)


def _quantile(sample: Sequence[float], level: float) -> Interval:
    values = np.sort(np.asarray(sample))
    rows = len(values)
    reach = _Z95 * math.sqrt(rows * level * (1.0 - level))
    low = max(0, math.floor(rows * level - reach))
    high = min(rows - 1, math.ceil(rows * level + reach))
    return Interval(float(np.quantile(values, level)), float(values[low]), float(values[high]))
