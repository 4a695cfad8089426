"""Bins of the histograms: of lengths, of confidences, and of the probabilities of each class.

Bins are fixed for ever, so that histograms of any two times add up.
"""

import math

import numpy as np
import numpy.typing as npt

from monitoring.rows import FloatArray, HalfArray, IntArray

NAN = float("nan")

# Lengths: a bin of its own up to 31, then 16 bins per doubling, up to 2**16; longer ones are in
# the last. The middle of a bin is at most 1/33 from any length in it.
_EXACT = 32
_PER_DOUBLING = 16
_DOUBLINGS = 11
LENGTH_BINS = _EXACT + _PER_DOUBLING * _DOUBLINGS
LENGTH_ERROR = 1 / 33  # relative, of a quantile below 2**16

# Confidences: steps of 1/8 of the log-odds from -4 to 12.
CONFIDENCE_BINS = 128
_CONFIDENCE_LOW, _CONFIDENCE_STEP = -4.0, 1 / 8

# Probabilities of a class: steps of 1/3 of the log-odds from -12 1/3 to 8 2/3. The last float16
# below 1 has log-odds 7.6, so that the last bin holds 1 alone.
PROBABILITY_BINS = 64
_PROBABILITY_LOW, _PROBABILITY_STEP = -37 / 3, 1 / 3
_NONE = 255  # of bits that are no probability


def _edges(bins: int, low: float, step: float) -> list[float]:
    """Return the inner edges of bins of equal log-odds; the outer bins have the rest."""
    return [1 / (1 + math.exp(-(low + step * i))) for i in range(1, bins)]


CONFIDENCE_EDGES = np.array(
    _edges(CONFIDENCE_BINS, _CONFIDENCE_LOW, _CONFIDENCE_STEP), dtype=np.float32
)
PROBABILITY_EDGES = np.array(
    _edges(PROBABILITY_BINS, _PROBABILITY_LOW, _PROBABILITY_STEP), dtype=np.float64
)


def length_bins(lengths: IntArray) -> IntArray:
    """Return the bin of each length [n], which must be at least 0."""
    return _LENGTH_TABLE.take(lengths, mode="clip")


def confidence_bins(confidences: FloatArray) -> IntArray:
    """Return the bin of each confidence [n]; an edge belongs to the bin above it."""
    return CONFIDENCE_EDGES.searchsorted(confidences, side="right")


def probability_bins(probabilities: HalfArray) -> npt.NDArray[np.uint8]:
    """Return the bin of each probability, in the shape given; 255 for what is none (NaN, 2)."""
    bits = np.ascontiguousarray(probabilities).view(np.uint16)
    return _PROBABILITY_TABLE.take(bits)


def length_quantile(counts: IntArray, share: float) -> float:
    """Return the length at or below which `share` of the rows are, from counts [208].

    The middle of the bin where the row of rank ceil(share * n) is: exact below 32, within 1/33
    of it up to 2**16. NaN without rows.
    """
    found = quantile_bin(counts, share)
    return NAN if found is None else float(_LENGTH_LOW[found] + _LENGTH_HIGH[found]) / 2


def quantile_bin(counts: IntArray, share: float) -> int | None:
    """Return the bin where the row of rank ceil(share * n) is; None without rows."""
    total = int(counts.sum())
    if not total:
        return None
    rank = max(1, math.ceil(share * total))
    return int(np.searchsorted(np.cumsum(counts), rank))


def _lengths() -> tuple[IntArray, IntArray]:
    """Return the least and the greatest length of each bin."""
    low = list(range(_EXACT))
    for doubling in range(_DOUBLINGS):
        width = 2 ** (doubling + 1)
        start = _EXACT * 2**doubling
        low += [start + width * i for i in range(_PER_DOUBLING)]
    high = [*(n - 1 for n in low[1:]), _EXACT * 2**_DOUBLINGS - 1]
    return np.array(low, dtype=np.int64), np.array(high, dtype=np.int64)


def _probability_table() -> npt.NDArray[np.uint8]:
    values = np.arange(2**16, dtype=np.uint16).view(np.float16).astype(np.float64)
    bins = PROBABILITY_EDGES.searchsorted(values, side="right")
    return np.where((values >= 0) & (values <= 1), bins, _NONE).astype(np.uint8)


_LENGTH_LOW, _LENGTH_HIGH = _lengths()
_LENGTH_TABLE = np.searchsorted(
    _LENGTH_LOW, np.arange(_EXACT * 2**_DOUBLINGS), side="right"
).astype(np.int64) - np.int64(1)
_PROBABILITY_TABLE = _probability_table()
