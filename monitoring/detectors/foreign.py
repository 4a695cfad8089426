"""How far from a reference wholly foreign rows would be: the unit of the drift tolerance."""

import numpy as np

from monitoring.detectors.distance import mean_of, own_noise
from monitoring.rows import HalfArray
from monitoring.sketches.directions import Fixed

_ROWS_MAX = 512  # whose pairs are compared
_FARTHEST = 0.9  # quantile of their distances


def foreign_distance(embeddings: HalfArray, features: Fixed, scale: float) -> float:
    """Return the squared distance of means if every row were replaced by a wholly foreign one.

    Foreign rows are as much alike as the reference's [m, hidden], and as unlike those as the
    farthest tenth of its own pairs are unlike each other: with M the mean kernel value of two
    rows and c that of the far pairs, 2 (M - c). Rows orthogonal in feature space, c = 0, would be
    farther than any text can be, since the kernel of the farthest embeddings is far from 0. A
    share s of such rows gives s^2 of the distance. At least 0; 0 where no two rows differ.
    """
    count = len(embeddings)
    mean = mean_of(features.sum(axis=0, dtype=np.int64), count, scale)
    alike = float(mean @ mean - own_noise(mean, count))
    step = -(-count // _ROWS_MAX)
    rows = embeddings[::step].astype(np.float64)  # products of float16 add up exactly
    compared = features[::step] / scale
    pairs = np.triu_indices(len(rows), 1)
    nearness = (rows @ rows.T)[pairs]
    far = nearness <= np.quantile(nearness, 1 - _FARTHEST)
    return max(0.0, 2 * (alike - float((compared @ compared.T)[pairs][far].mean())))
