"""Bets on rows that are far from everything typical: the conformal rank of their nearness."""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from monitoring.detectors.bets import factors, with_tolerance
from monitoring.detectors.prototypes import Steps
from monitoring.detectors.share_bound import upper_share
from monitoring.rows import FloatArray

STAKES = (0.12, 0.4, 0.9)

_TAILS = (0.0, 0.02, 0.05, 0.1, 0.2)  # of the reference's rows
_ERROR = 0.05  # with which one of the bounds may be too low


@dataclass(frozen=True, slots=True)
class Tails:
    """Limits of nearness, the lowest first, and what bets below them pay."""

    limits: FloatArray  # [tails]
    factors: FloatArray  # [tails + 1, tails * stakes]


def tails_of(nearness: Steps, tolerance: float) -> Tails:
    """Return the tails of the nearness of a reference's rows [m] to prototypes made without them.

    A fresh row falls below a limit that c of the rows are below with a probability of at most
    Clopper and Pearson's bound, which holds for all limits at once with 95 %: this is the margin
    for the reference's own sampling error. On top comes the tolerance, as if that share of the
    rows were all below (Huber's contamination, Annals of Mathematical Statistics 36, 1965).
    """
    rows = len(nearness)
    ordered = np.sort(nearness).astype(np.float64)
    counts = sorted({math.ceil(tail * rows) for tail in _TAILS})
    limits = np.unique([ordered[count] for count in counts])
    below = np.searchsorted(ordered, limits, side="left")
    bounds = [upper_share(int(count), rows, _ERROR / len(limits)) for count in below]
    return Tails(limits, factors([with_tolerance(bound, tolerance) for bound in bounds], STAKES))


def tails_shown(nearness: Steps, limits: FloatArray) -> npt.NDArray[np.intp]:
    """Return in how many tails each row [n] is."""
    shown: npt.NDArray[np.intp] = len(limits) - np.searchsorted(limits, nearness, side="right")
    return shown
