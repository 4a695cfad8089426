"""Bets on rare events: what the evidence of the watch is multiplied by, row by row.

If an event has probability at most q whatever happened before, then a bet of a share s on it,
1 - s + s/q when it happens and 1 - s when not, has a mean of at most 1. It grows fastest when the
event has probability q + s (1 - q): as if a share s of the rows were others, all of which show it.
"""

from collections.abc import Sequence

import numpy as np

from monitoring.rows import FloatArray


def with_tolerance(share: float, tolerance: float) -> float:
    """Return the share of rows with an event if `tolerance` of all rows were to show it."""
    return share + tolerance * (1 - share)


def factors(shares: Sequence[float], stakes: Sequence[float]) -> FloatArray:
    """Return what bets on nested events pay: [events + 1, events * stakes].

    `shares` bound the events' probabilities, rarest first, each event implying those after it.
    Line n is for a row that shows n of them: the n last.
    """
    bounds = np.repeat(np.asarray(shares, dtype=np.float64), len(stakes))
    each = np.tile(np.asarray(stakes, dtype=np.float64), len(shares))
    event = np.repeat(np.arange(len(shares)), len(stakes))
    shown = event[None, :] >= len(shares) - np.arange(len(shares) + 1)[:, None]
    paid: FloatArray = 1 - each + np.where(shown, each / bounds, 0.0)
    return paid
