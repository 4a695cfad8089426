"""The spread of rows: their covariance, kept as its largest principal directions."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from monitoring.rows import FloatArray, HalfArray

RANK = 16

_SPARE = 8  # directions followed beyond those kept, so that these come out exact
_ROUNDS = 6


@dataclass(frozen=True, slots=True)
class Spread:
    """A covariance matrix: its largest eigenvectors, and the mean of what they leave."""

    vectors: HalfArray  # [d, rank], orthonormal up to rounding
    values: FloatArray  # [rank] float64, descending
    rest: float  # variance along a direction that these don't hold
    trace: float
    trace_square: float  # sum of the squared eigenvalues
    trace_cube: float  # and of their cubes

    def along(self, direction: FloatArray) -> float:
        """Return the variance along a direction [d] of any length; the mean one for none.

        What the kept eigenvectors leave of the direction has the variance that noise would have
        there: the sum of their squared eigenvalues over the sum.
        """
        length = float(direction @ direction)
        if length <= 0:
            return self.trace_square / self.trace if self.trace > 0 else 0.0
        parts = np.square(direction @ self.vectors.astype(np.float64))
        left = max(0.0, length - float(parts.sum()))
        return (float(parts @ self.values) + left * self.rest) / length


def spread_of(covariance: npt.NDArray[np.float64]) -> Spread:
    """Return the spread of a covariance matrix [d, d].

    Eigenvectors by subspace iteration (Halko, Martinsson and Tropp, SIAM Review 53, 2011,
    algorithm 4.4) from columns of fixed signs.
    """
    size = len(covariance)
    kept = min(RANK, size)
    columns = min(kept + _SPARE, size)
    raw = np.random.PCG64(0).random_raw(size * columns) >> np.uint64(63)
    basis = np.where(raw, 1.0, -1.0).reshape(size, columns)
    for _ in range(_ROUNDS):
        basis, _ = np.linalg.qr(covariance @ basis)
    values, turns = np.linalg.eigh(basis.T @ covariance @ basis)
    values = np.maximum(values[::-1][:kept], 0)
    vectors = (basis @ turns)[:, ::-1][:, :kept]
    trace, square = float(np.trace(covariance)), float(np.square(covariance).sum())
    left = max(0.0, trace - float(values.sum()))
    left_square = max(0.0, square - float(np.square(values).sum()))
    rest = min(left_square / left, float(values[-1])) if left > 0 else 0.0
    cube = float((values**3).sum()) + left_square * rest
    return Spread(vectors.astype(np.float16), values, rest, trace, square, cube)
