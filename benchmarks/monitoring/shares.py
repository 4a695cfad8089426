"""Shares and means over simulations, with how sure one can be of them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from service.measures import Z95, Estimate, wilson


@dataclass(frozen=True, slots=True)
class Share:
    """How often something happened."""

    times: int
    of: int

    @property
    def value(self) -> float:
        """Return the share; NaN of nothing."""
        return self.times / self.of if self.of else math.nan

    @property
    def interval(self) -> Estimate:
        """Return the share with its interval of 95 %."""
        return wilson(self.times, self.of)

    def __str__(self) -> str:
        if not self.of:
            return "-"
        found = self.interval
        return f"{found.value:.3f} ({found.lower:.3f} to {found.upper:.3f})"


def share_of(flags: Sequence[bool] | Sequence[float]) -> Share:
    """Return how many of the flags are set."""
    return Share(int(np.sum(np.asarray(flags, dtype=bool))), len(flags))


def mean_of(values: Sequence[float]) -> Estimate:
    """Return a mean with its normal interval of 95 %."""
    found = np.asarray(values, dtype=np.float64)
    middle = float(found.mean())
    half = Z95 * float(found.std(ddof=1)) / math.sqrt(len(found)) if len(found) > 1 else math.nan
    return Estimate(middle, middle - half, middle + half)


def told(found: Estimate, digits: int = 3) -> str:
    """Return an estimate as tables show it."""
    return f"{found.value:.{digits}f} ({found.lower:.{digits}f} to {found.upper:.{digits}f})"
