"""Prototypes: what typical rows of a reference look like, by spherical k-means.

A row's nearness to its nearest prototype tells foreign rows from the reference's own. Everything
is whole numbers held in float32, so that the same bits come out whatever the batch, the BLAS or
the number of threads (see `monitoring/sketches/directions.py`).
"""

import math

import numpy as np
import numpy.typing as npt

from monitoring.rows import FloatArray

PROTOTYPES_MAX = 128
GRID = 2**10  # norm of a prototype: times an embedding's it stays below 2**24, exact in float32

Steps = npt.NDArray[np.float32]  # whole numbers

_ROWS_PER_PROTOTYPE = 4  # of the reference, at least
_ROWS_MAX = 2048  # that prototypes are made from
_ROUNDS = 8
_FOLDS = 4


def prototypes_of(steps: Steps, seed: int) -> Steps:
    """Return the prototypes of rows [m, hidden], [k, hidden], each of norm 1,024 up to rounding.

    k is 128, or a quarter of the rows where that is fewer. Spherical k-means (Dhillon and Modha,
    Machine Learning 42, 2001), eight rounds from rows drawn by `seed`.
    """
    drawn = np.sort(shuffled(len(steps), seed)[:_ROWS_MAX])
    rows = steps[drawn]
    count = max(1, min(PROTOTYPES_MAX, len(rows) // _ROWS_PER_PROTOTYPE))
    prototypes = on_grid(rows[shuffled(len(rows), seed + 1)[:count]])
    for _ in range(_ROUNDS):
        nearest = (rows @ prototypes.T).argmax(axis=1)
        order = np.argsort(nearest, kind="stable")
        taken, starts = np.unique(nearest[order], return_index=True)
        sums = np.add.reduceat(rows[order], starts, axis=0, dtype=np.float64)
        prototypes[taken] = on_grid(sums)
    return prototypes


def nearness(steps: Steps, prototypes: Steps) -> Steps:
    """Return the inner product of each row with its nearest prototype, [m]."""
    nearest: Steps = (steps @ prototypes.T).max(axis=1)
    return nearest


def cross_fitted_nearness(steps: Steps, seed: int) -> Steps:
    """Return the nearness of each row to prototypes that were made without it, [m].

    In four folds. A fresh row is rather nearer to the prototypes of all rows than these are,
    as they were made of more.
    """
    order = shuffled(len(steps), seed)
    result = np.empty(len(steps), dtype=np.float32)
    for fold in range(_FOLDS):
        held = order[fold::_FOLDS]
        rest = np.delete(steps, held, axis=0)
        result[held] = nearness(steps[held], prototypes_of(rest, seed))
    return result


def shuffled(count: int, seed: int) -> npt.NDArray[np.intp]:
    """Return the numbers below `count` in an order that `seed` decides.

    numpy promises the stream of raw bits for ever, that of its permutations it does not.
    """
    bits = np.random.PCG64(np.random.SeedSequence([seed, count]))
    return np.argsort(np.asarray(bits.random_raw(count), dtype=np.uint64), kind="stable")


def on_grid(rows: FloatArray) -> Steps:
    """Return rows [k, hidden] at norm 1,024, as whole numbers; rows of zeros stay so."""
    wide = rows.astype(np.float64)
    lengths = np.sqrt(np.einsum("ij,ij->i", wide, wide))
    lengths[lengths == 0] = math.inf
    result: Steps = np.rint(wide * (GRID / lengths)[:, None]).astype(np.float32)
    return result
