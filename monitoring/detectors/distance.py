"""The squared distance of two means in feature space: what says how far a window is."""

from typing import Any

import numpy as np
import numpy.typing as npt

from monitoring.rows import FloatArray, IntArray


def mean_of(total: IntArray, rows: int, scale: float) -> npt.NDArray[np.float64]:
    """Return the mean feature [..., d] of a fixed-point sum over rows; `scale` makes norm 1."""
    mean: npt.NDArray[np.float64] = total / (rows * scale)
    return mean


def squared_distance(first: FloatArray, rows: int, second: FloatArray, others: int) -> Any:
    """Return the unbiased squared distance of means [..., d] of `rows` and `others` features.

    With a and b the means, |a - b|^2 - (1 - |a|^2) / (n - 1) - (1 - |b|^2) / (m - 1): MMD^2_u of
    Gretton et al. (JMLR 13, 2012, lemma 6), whose sums over k(x, x) need no second sum because
    every feature has norm 1. It may be below 0. Both counts must be above 1.

    >>> float(squared_distance(np.array([1.0, 0.0]), 2, np.array([0.0, 1.0]), 2))
    2.0
    """
    apart = np.square(first - second).sum(axis=-1)
    return apart - own_noise(first, rows) - own_noise(second, others)


def own_noise(mean: FloatArray, rows: int) -> Any:
    """Return the expected squared error of a mean of features of norm 1: trace / rows."""
    return (1 - np.square(mean).sum(axis=-1)) / (rows - 1)
