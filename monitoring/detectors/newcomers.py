"""Newcomers: bets that rows are more like recent strangers than like anything typical.

Strangers are rows far from every prototype of the reference. Where they come from one new topic,
their mean is a prototype that the reference lacks, and a row's inner product with it, less that
with the nearest prototype, tells the newcomers much better than farness alone. The pay-off is
whether a row lies beyond a quantile of the reference's own rows, as with the half-space witness.
"""

import numpy as np

from monitoring.detectors.bets import factors, with_tolerance
from monitoring.detectors.heading import Heading, exceeding, quantiles
from monitoring.detectors.prototypes import GRID as PROTOTYPE_GRID
from monitoring.detectors.prototypes import Steps
from monitoring.detectors.share_bound import upper_share
from monitoring.rows import FloatArray, IntArray

STAKES = (0.12, 0.4, 0.9)
LEVELS = (0.02, 0.05, 0.1, 0.2)  # share of the reference beyond the quantile, rarest first
BYTES_MAX = 180_000  # of the reference's rows that are kept
STRANGERS_MIN = 3  # since the last heading, for another

_MEMORY = 16  # strangers
_ERROR = 0.01  # with which a bound may be too low, along a direction that the reference is free of
_FINEST = 127


def newcomer_factors(rows: int, tolerance: float) -> FloatArray:
    """Return what bets on newcomers pay, [levels + 1, levels * stakes].

    `rows` is how many of the reference quantiles are taken of. Along a direction that other rows
    decided, the share of fresh rows beyond one is at most Clopper and Pearson's bound, with 99 %.
    """
    bounds = [upper_share(exceeding(level, rows), rows, _ERROR) for level in LEVELS]
    return factors([with_tolerance(bound, tolerance) for bound in bounds], STAKES)


def coarse(steps: Steps) -> tuple[IntArray, float]:
    """Return rows [r, hidden] as int8, and how many steps one of its units is."""
    unit = max(1.0, float(np.abs(steps).max()) / _FINEST)
    return np.rint(steps / unit).astype(np.int8), unit


def turn(
    heading: Heading, centre: FloatArray, reference: IntArray, unit: float, nearness: Steps
) -> None:
    """Begin the next block of a heading towards recent strangers.

    `centre` [hidden] is the reference's mean, `reference` [r, hidden] some of its rows in int8,
    and `nearness` [r] theirs to prototypes made without them.
    """
    direction = heading.turned(_MEMORY, PROTOTYPE_GRID, centre)
    along = (reference.astype(np.float32) @ direction).astype(np.float64) * unit - nearness
    heading.quantiles = quantiles(along, LEVELS)
