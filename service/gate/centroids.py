"""Nearest centroids: what the bare backbone can do with the hold-out, without any training.

An adapter that does worse has unlearnt something (negative transfer).
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.gate.rows import Indices

FOLDS = 5
NO_CLASS = -1

_ROWS_PER_CLASS_MIN = 2


def nearest_centroids(
    embeddings: NDArray[np.floating[Any]], correct: Indices, folds: int = FOLDS
) -> Indices:
    """Return the class [rows] that each row's nearest centroid has, by the cosine.

    Cross-validated: a row is judged by the means of the L2-normalised embeddings [rows, hidden]
    of the other folds. Each class is dealt to the folds by itself, so one of two rows or more has
    a centroid in every fold; the row of a class that has no other gets `NO_CLASS`, and so does
    every row where there are not two such classes.
    """
    classes, inverse, counts = np.unique(correct, return_inverse=True, return_counts=True)
    enough = counts >= _ROWS_PER_CLASS_MIN
    predicted = np.full(len(correct), NO_CLASS, dtype=np.int64)
    if enough.sum() < 2:
        return predicted
    fold = _dealt(inverse, len(classes), folds)
    units = _normalised(embeddings.astype(np.float64))
    for number in range(folds):
        own = (fold == number) & enough[inverse]
        if not own.any():
            continue
        others = fold != number
        sums = np.zeros((len(classes), units.shape[1]))
        np.add.at(sums, inverse[others], units[others])
        nearness = units[own] @ _normalised(sums).T
        nearness[:, ~enough] = -np.inf
        predicted[own] = classes[nearness.argmax(axis=1)]
    return predicted


def _dealt(inverse: NDArray[np.intp], classes: int, folds: int) -> NDArray[np.int64]:
    """Return a fold for each row, every class dealt out in turn after a fixed shuffle."""
    random = np.random.default_rng(0)
    fold = np.empty(len(inverse), dtype=np.int64)
    for number in range(classes):
        rows = np.flatnonzero(inverse == number)
        fold[random.permutation(rows)] = (np.arange(len(rows)) + number) % folds
    return fold


def _normalised(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    result: NDArray[np.float64] = rows / np.where(lengths > 0, lengths, 1.0)
    return result
