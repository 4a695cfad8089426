"""The null of the window test: how far windows of the reference itself are from its rest."""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from monitoring.detectors.distance import squared_distance
from monitoring.rows import FloatArray, IntArray
from monitoring.sketches.directions import Fixed

ROWS_MIN = 50  # of a window, below which its statistic is not told
DRAWS = 499  # p = 0.05 is then exactly the 25th of 500
LARGEST_SHARE = 4  # the largest window is the reference's rows over this

_CHUNK = 2**11  # rows whose features of at most 2**13 add up exactly in float32
_BLOCK = 100  # draws at a time
_STEP = 2.0  # between neighbouring sizes at most


@dataclass(frozen=True, slots=True)
class Null:
    """Statistics of windows of a few sizes that were drawn from the reference.

    Each is divided by its own 1 / n + 1 / (m - n), after which it hardly depends on n.
    """

    sizes: IntArray  # [s], ascending
    draws: FloatArray  # [s, DRAWS] float64, each row ascending

    def pvalue(self, rows: int, statistic: float) -> float:
        """Return (1 + draws at least as large) / (1 + draws); between sizes, the mean of both's.

        `statistic` is divided by its own 1 / n + 1 / m.
        """
        larger = (self.draws >= statistic).sum(axis=1)
        return self._between(rows, (1 + larger) / (1 + self.draws.shape[1]))

    def quantile(self, rows: int, share: float) -> float:
        """Return the quantile of statistics for windows of so many rows; beyond all, the last's."""
        return self._between(rows, np.quantile(self.draws, share, axis=1))

    def _between(self, rows: int, figures: FloatArray) -> float:
        """Return the figure at `rows`, between its sizes' linearly in the logarithm of rows."""
        return float(np.interp(math.log(rows), np.log(self.sizes), figures))


def sizes_of(rows: int) -> IntArray:
    """Return the window sizes of a reference: from 50 to a quarter of it, by at most doubling.

    A reference below 200 rows has one, its quarter: it serves intervals, but no window is tested.
    """
    largest = rows // LARGEST_SHARE
    if largest <= ROWS_MIN:
        return np.array([largest], dtype=np.int64)
    steps = math.ceil(math.log(largest / ROWS_MIN, _STEP))
    sizes: IntArray = np.rint(np.geomspace(ROWS_MIN, largest, steps + 1)).astype(np.int64)
    return sizes


def drawn(features: Fixed, scale: float, seed: int) -> Null:
    """Return the null of a reference's features [m, 1024]; m is 8 at least.

    Each draw orders the rows at random; the first n of them are a window, the rest is what it is
    compared with, for each size n. Sums are of integers that float32 holds exactly, so that
    nothing depends on the order of additions. Takes 4 KB for each row, and 0.1 ms of one core.
    """
    count = len(features)
    sizes = sizes_of(count)
    total = features.sum(axis=0, dtype=np.int64) / scale
    bits = np.random.PCG64(seed)
    draws = np.empty((len(sizes), DRAWS))
    for start in range(0, DRAWS, _BLOCK):
        block = min(_BLOCK, DRAWS - start)
        order = bits.random_raw(block * count).reshape(block, count).argsort(axis=1, kind="stable")
        sums = _sums(features, order, sizes)
        for number, size in enumerate(sizes.tolist()):
            found = _statistics(sums[number] / scale, size, total, count)
            draws[number, start : start + block] = found
    return Null(sizes, np.sort(draws, axis=1))


def _sums(features: Fixed, order: IntArray, sizes: IntArray) -> npt.NDArray[np.float64]:
    """Return the sums [s, draws, 1024] of the first rows in each order [draws, m]."""
    ranks = np.empty_like(order)
    np.put_along_axis(ranks, order, np.arange(order.shape[1])[None], axis=1)
    sums = np.zeros((len(sizes), len(order), features.shape[1]))
    for start in range(0, len(features), _CHUNK):
        chunk = features[start : start + _CHUNK].astype(np.float32)
        for number, size in enumerate(sizes):
            inside = ranks[:, start : start + _CHUNK] < size
            sums[number] += inside.astype(np.float32) @ chunk
    return sums


def _statistics(
    sums: npt.NDArray[np.float64], rows: int, total: npt.NDArray[np.float64], count: int
) -> npt.NDArray[np.float64]:
    rest = count - rows
    distances = squared_distance(sums / rows, rows, (total - sums) / rest, rest)
    result: npt.NDArray[np.float64] = distances / (1 / rows + 1 / rest)
    return result
