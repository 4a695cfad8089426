"""Tails of distributions: how rare a statistic is where nothing happened."""

import math

_TERMS = 10_000  # a series needs about sqrt(freedom) of them
_PRECISION = 1e-15
_TINY = 1e-300


def normal_tail(score: float) -> float:
    """Return how often a normal score is at least as far from 0, on either side.

    >>> round(normal_tail(1.959963984540054), 12)
    0.05
    """
    return math.erfc(abs(score) / math.sqrt(2))


def chi_square_tail(statistic: float, freedom: float) -> float:
    """Return how often a chi-square of `freedom` degrees is at least as large; in [0, 1].

    The regularised upper gamma function of half of both: by its series below `freedom` / 2 + 1,
    else by its continued fraction (Lentz's method). Raises `ValueError` for no degrees.

    >>> round(chi_square_tail(3.841458820694124, 1), 12)
    0.05
    """
    if freedom <= 0:
        raise ValueError(f"a chi-square of {freedom} degrees")
    if statistic <= 0:
        return 1.0
    shape, x = freedom / 2, statistic / 2
    scale = math.exp(shape * math.log(x) - x - math.lgamma(shape))
    if x < shape + 1:
        return max(0.0, 1.0 - scale * _series(shape, x))
    return min(1.0, scale * _fraction(shape, x))


def _series(shape: float, x: float) -> float:
    term = total = 1 / shape
    for step in range(1, _TERMS):
        term *= x / (shape + step)
        total += term
        if term < total * _PRECISION:
            break
    return total


def _fraction(shape: float, x: float) -> float:
    divisor = x + 1 - shape
    upper = 1 / _TINY
    lower = value = 1 / divisor
    for step in range(1, _TERMS):
        factor = -step * (step - shape)
        divisor += 2
        lower = 1 / _not_0(factor * lower + divisor)
        upper = _not_0(divisor + factor / upper)
        change = upper * lower
        value *= change
        if abs(change - 1) < _PRECISION:
            break
    return value


def _not_0(number: float) -> float:
    return number if abs(number) > _TINY else _TINY
