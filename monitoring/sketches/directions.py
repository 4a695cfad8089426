"""Directions of random Fourier features: one matrix for every version of one hidden size.

Products of embeddings and directions are integers below 2**24 held in float32. Every partial sum
of a product is one too, so that no order of additions rounds: the same bits come out whatever the
batch, the BLAS or the number of threads.
"""

import hashlib
import math
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from monitoring.rows import HalfArray

FREQUENCIES = 512
DIMENSIONS = 2 * FREQUENCIES
PROJECTIONS = 32
PROJECTION_STEP = 2**8

Phases = npt.NDArray[np.float32]
Fixed = npt.NDArray[np.int32]

GRID = 2**13  # steps of a coordinate of an embedding, per unit
_NORM_MAX = 1.125  # of an embedding; float16 makes of norm 1 at most 1.001
_EXACT = 2**24  # integers up to here are exact in float32
_STEPS_MIN = 16  # of a direction's coordinate, per unit
_HIDDEN_MAX = 8192  # beyond it there would be fewer


@dataclass(frozen=True, slots=True, eq=False)
class Directions:
    """Random directions of a hidden size, near orthogonal, and signs of a projection."""

    hidden: int
    seed: int
    id: str  # digest of the numbers below
    grid: int  # steps of an embedding's coordinate times steps of a direction's, per unit
    matrix: npt.NDArray[np.float32] = field(repr=False)  # [hidden, 512] integers
    signs: npt.NDArray[np.float32] = field(repr=False)  # [1024, 32] of -1 and 1

    @staticmethod
    def of(hidden: int, seed: int) -> "Directions":
        """Return the directions of a hidden size and a seed; made once, then kept."""
        return _made(hidden, seed)

    def phases(self, embeddings: HalfArray) -> Phases:
        """Return embeddings [n, hidden] times directions, [n, 512], as exact integers.

        Raises `ValueError` for an embedding that is not finite or longer than 1.125.
        """
        if embeddings.ndim != 2 or embeddings.shape[1] != self.hidden:
            raise ValueError(f"embeddings of shape {embeddings.shape}, not [rows, {self.hidden}]")
        return quantised(embeddings) @ self.matrix

    def projected_of(self, fixed: Fixed) -> Fixed:
        """Return fixed-point features [n, 1024] times the signs, in steps of 256, [n, 32]."""
        product: Fixed = (fixed.astype(np.float32) @ self.signs).astype(np.int32)  # below 2**24
        product += PROJECTION_STEP // 2
        product //= PROJECTION_STEP
        return product


def quantised(embeddings: HalfArray) -> Phases:
    """Return embeddings in steps of 2**-13, as whole numbers; raise `ValueError` for absurd ones.

    float16 itself has steps of 2**-14 from 1/16 to 1/8, where most coordinates are.
    """
    steps = embeddings.astype(np.float32)
    steps *= GRID
    np.rint(steps, out=steps)
    squares = np.einsum("ij,ij->i", steps, steps)
    if not (squares <= (GRID * _NORM_MAX) ** 2).all():  # NaN is caught too
        raise ValueError("an embedding is not finite or its norm is far from 1")
    return steps


@lru_cache(maxsize=8)
def _made(hidden: int, seed: int) -> Directions:
    if not 1 <= hidden <= _HIDDEN_MAX:
        raise ValueError(f"a hidden size of {hidden}, which is not from 1 to {_HIDDEN_MAX}")
    bits = np.random.PCG64(np.random.SeedSequence([seed, hidden]))
    normal = _normal(bits, hidden * FREQUENCIES).reshape(hidden, FREQUENCIES)
    columns = np.concatenate(
        [_orthogonal(normal[:, i : i + hidden]) for i in range(0, FREQUENCIES, hidden)], axis=1
    )
    # By Cauchy and Schwarz no partial sum exceeds the product of the lengths, rounding included.
    longest = float(np.sqrt((columns**2).sum(axis=0)).max()) + math.sqrt(hidden) / (2 * _STEPS_MIN)
    steps = 2 ** math.floor(math.log2(_EXACT / (GRID * _NORM_MAX * longest)))
    assert steps >= _STEPS_MIN
    matrix = np.rint(columns * steps).astype(np.float32)
    raw = bits.random_raw(DIMENSIONS * PROJECTIONS)
    signs = np.where(raw >> np.uint64(63), 1, -1).astype(np.float32).reshape(DIMENSIONS, -1)
    digest = hashlib.sha256(f"{hidden} {steps} ".encode())
    digest.update(matrix.astype("<f4").tobytes())
    digest.update(signs.astype("<f4").tobytes())
    for array in (matrix, signs):
        array.setflags(write=False)
    return Directions(hidden, seed, digest.hexdigest()[:32], GRID * steps, matrix, signs)


def _normal(bits: np.random.PCG64, count: int) -> npt.NDArray[np.float64]:
    """Return normal numbers by Box and Muller's formula.

    numpy promises the stream of raw bits for ever, that of its normal numbers it does not.
    """
    raw = np.asarray(bits.random_raw(2 * count), dtype=np.uint64) >> np.uint64(11)
    uniform = (raw.astype(np.float64) + 0.5) * 2.0**-53
    radius = np.sqrt(-2 * np.log(uniform[:count]))
    normal: npt.NDArray[np.float64] = radius * np.cos(2 * np.pi * uniform[count:])
    return normal


def _orthogonal(block: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return columns that are orthogonal and keep their lengths (Yu et al., arXiv 1610.09072).

    Each column alone is as normal as before, so the kernel's estimate stays unbiased; its
    variance falls.
    """
    basis, _ = np.linalg.qr(block)
    lengths = np.sqrt((block**2).sum(axis=0))
    result: npt.NDArray[np.float64] = basis * lengths
    return result
