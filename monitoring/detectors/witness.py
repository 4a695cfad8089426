"""The half-space witness: bets that what recently moved goes on in the same direction.

In the spirit of the kernel witness of Shekhar and Ramdas (arXiv 2112.09162): from the reference's
mean to that of recent rows, along its whitened axes. The pay-off is whether a row lies beyond a
quantile of the reference's own rows: bounded, whatever the rows. It sees another class mix, and
other shifts among typical rows.
"""

import math

from monitoring.detectors.axes import AXES, Coordinates
from monitoring.detectors.bets import factors, with_tolerance
from monitoring.detectors.heading import Heading, exceeding, quantiles
from monitoring.detectors.share_bound import upper_share
from monitoring.rows import FloatArray

STAKES = (0.12, 0.4, 0.9)
LEVELS = (0.2, 0.5)  # share of the reference beyond the quantile, rarest first
ROWS_MAX = 1000  # of the reference, that quantiles are taken of

_MEMORY = 32  # rows
_LONGEST = 1024.0  # of a direction: times coordinates it stays below 2**24
_ERROR = 0.01  # with which a bound may be too low, along a direction that the reference is free of
_DENSITIES = (0.28, 0.40)  # of the standard normal distribution at the quantiles


def witness_factors(rows: int, tolerance: float) -> FloatArray:
    """Return what bets on the half-spaces pay, [levels + 1, levels * stakes].

    `rows` is how many of the reference quantiles are taken of. Along a direction that other rows
    decided, the share of fresh rows beyond one is at most Clopper and Pearson's bound, with 99 %.
    But the direction begins at the reference's own mean, and so leans towards that mean's error:
    of d axes, m rows and a memory of n, both means having white errors, by sqrt(d n / (m (m + n)))
    standard deviations in the mean, which the density at the quantile makes a share.
    """
    lean = math.sqrt(AXES * _MEMORY / (rows * (rows + _MEMORY)))
    shares = []
    for level, density in zip(LEVELS, _DENSITIES, strict=True):
        bound = upper_share(exceeding(level, rows), rows, _ERROR) + density * lean
        shares.append(with_tolerance(min(1.0, bound), tolerance))
    return factors(shares, STAKES)


def turn(heading: Heading, reference: Coordinates) -> None:
    """Begin the next block of a heading along the axes of a reference's rows [m, 16]."""
    direction = heading.turned(_MEMORY, _LONGEST)
    heading.quantiles = quantiles(reference @ direction, LEVELS)
