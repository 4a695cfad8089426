"""An upper bound of a share, from how often something was seen."""

import math

import numpy as np

_HALVINGS = 60


def upper_share(hits: int, rows: int, error: float) -> float:
    """Return the share that is exceeded with probability at most `error`, given `hits` in `rows`.

    The exact bound of Clopper and Pearson (Biometrika 26, 1934): where seeing so few hits would
    have probability `error`. Raises `ValueError` for no rows, or for more hits than rows.

    >>> round(upper_share(2, 20, 0.025), 4)
    0.317
    """
    if not 0 <= hits <= rows or rows < 1:
        raise ValueError(f"{hits} hits in {rows} rows")
    if hits == rows:
        return 1.0
    terms = np.arange(hits + 1)
    ways = np.array([_log_ways(rows, int(k)) for k in terms])
    low, high = hits / rows, 1.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if not low < middle < high:
            break
        logs = ways + terms * math.log(middle) + (rows - terms) * math.log1p(-middle)
        if float(np.exp(logs).sum()) > error:
            low = middle
        else:
            high = middle
    return high


def _log_ways(rows: int, hits: int) -> float:
    return math.lgamma(rows + 1) - math.lgamma(hits + 1) - math.lgamma(rows - hits + 1)
