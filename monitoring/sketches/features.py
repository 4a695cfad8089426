"""Feature maps: embeddings as fixed-point random Fourier features (Rahimi and Recht, NIPS 2007).

z(x) = D^-1/2 [cos Wx, sin Wx] with D = 512 frequencies has |z(x)| = 1, and z(x).z(y) estimates
the mean over the bandwidths b of exp(-|x - y|^2 / 2b).
"""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from monitoring.rows import HalfArray, IntArray
from monitoring.sketches.directions import (
    DIMENSIONS,
    FREQUENCIES,
    GRID,
    PROJECTION_STEP,
    PROJECTIONS,
    Directions,
    Fixed,
    Phases,
    quantised,
)

AMPLITUDE = 2**13  # of a cosine in fixed point; |sum of n rows| <= n * 2**13, safe to 2**50 rows
SCALE = AMPLITUDE * math.sqrt(FREQUENCIES)
PROJECTION_SCALE = SCALE * math.sqrt(PROJECTIONS) / PROJECTION_STEP

_TURN = 2**14  # entries of the table of a turn
_ROUND = np.float32(1.5 * 2**23)  # added to a float32 below 2**22, leaves its nearest integer
_BANDWIDTH_MIN = 2.0**-8  # so that phases stay below 2**22 table entries
_SHARES = (0.25, 0.5, 1.0)  # of the median squared distance
_PAIRED_MAX = 1000  # rows whose distances make the median


@dataclass(frozen=True, slots=True, eq=False)
class FeatureMap:
    """One version's map from embeddings to features: shared directions, its own bandwidths."""

    hidden: int
    bandwidths: tuple[float, ...]  # squared lengths
    seed: int
    id: str  # digest of what determines the features
    directions: Directions = field(repr=False)
    multipliers: Phases = field(repr=False)  # [512], from phases to table entries

    @staticmethod
    def of(hidden: int, bandwidths: tuple[float, ...], seed: int) -> "FeatureMap":
        """Return the map; frequency j has bandwidth j modulo their number.

        Raises `ValueError` for no bandwidth, or one that is not finite or below 2**-8.
        """
        if not bandwidths or not all(_BANDWIDTH_MIN <= b < math.inf for b in bandwidths):
            raise ValueError(f"bandwidths {bandwidths}")
        directions = Directions.of(hidden, seed)
        widths = np.sqrt(np.asarray(bandwidths, dtype=np.float64))
        each = _TURN / (2 * math.pi * directions.grid * widths)
        multipliers = each[np.arange(FREQUENCIES) % len(bandwidths)].astype(np.float32)
        multipliers.setflags(write=False)
        digest = hashlib.sha256(directions.id.encode() + multipliers.astype("<f4").tobytes())
        kept = tuple(float(b) for b in bandwidths)
        return FeatureMap(hidden, kept, seed, digest.hexdigest()[:16], directions, multipliers)

    @property
    def dimensions(self) -> int:
        """Return how many features a row has."""
        return DIMENSIONS

    @property
    def scale(self) -> float:
        """Return what makes features of norm 1 of fixed-point ones, by division."""
        return SCALE

    @property
    def projection_scale(self) -> float:
        """Return what makes projected features of expected squared norm 1, by division."""
        return PROJECTION_SCALE

    def fixed(self, embeddings: HalfArray) -> Fixed:
        """Return the features of embeddings [n, hidden], [n, 1024], cosine and sine by turns.

        The bits are the same for any batch, BLAS and number of threads. Raises `ValueError` for
        an embedding that is not finite or longer than 1.125.
        """
        return self.fixed_of(self.directions.phases(embeddings))

    def fixed_of(self, phases: Phases) -> Fixed:
        """Return the features of `directions.phases(embeddings)`."""
        return _looked_up(phases * self.multipliers)

    def projected(self, embeddings: HalfArray) -> Fixed:
        """Return features projected to 32 dimensions by random signs, [n, 32].

        Squared distances of means survive it with a relative error of a quarter (standard
        deviation; Johnson and Lindenstrauss).
        """
        return self.directions.projected_of(self.fixed(embeddings))


def fixed_mixed(phases: Phases, maps: Sequence[FeatureMap], which: IntArray) -> Fixed:
    """Return the features of rows of several maps over the same directions, [n, 1024].

    `which` [n] says which map each row of `phases` has. Raises `ValueError` for maps of different
    directions.
    """
    if len({each.directions.id for each in maps}) != 1:
        raise ValueError("maps of different directions")
    multipliers = np.stack([each.multipliers for each in maps])
    return _looked_up(phases * multipliers[which])


def bandwidths_of(embeddings: HalfArray) -> tuple[float, ...]:
    """Return 0.25, 0.5 and 1 times the median squared distance of two rows that differ.

    Of more than 1,000 rows, 1,000 at equal steps are taken. A median below 2**-6 counts as that.
    Raises `ValueError` where no two rows differ.
    """
    step = max(1, math.ceil(len(embeddings) / _PAIRED_MAX))
    rows = quantised(embeddings[::step]).astype(np.float64)  # sums of products are exact: < 2**53
    squares = (rows**2).sum(axis=1)
    distances = squares[:, None] + squares[None, :] - 2 * (rows @ rows.T)
    apart = distances[np.triu_indices(len(rows), 1)]
    apart = apart[apart > 0]
    if not len(apart):
        raise ValueError("no two embeddings differ")
    median = max(float(np.median(apart)) / GRID**2, 4 * _BANDWIDTH_MIN)
    return tuple(share * median for share in _SHARES)


def _table() -> npt.NDArray[np.int64]:
    """Return cosine and sine of each entry, side by side in 64 bits: one look-up gives both."""
    angles = 2 * np.pi * np.arange(_TURN) / _TURN
    both = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    table: npt.NDArray[np.int64] = np.rint(AMPLITUDE * both).astype(np.int32).view(np.int64)
    return table.ravel()


def _looked_up(entries: Phases) -> Fixed:
    """Return cosines and sines [n, 1024] of table entries [n, 512], which it overwrites."""
    entries += _ROUND
    index = entries.view(np.int32) & (_TURN - 1)  # the mantissa holds the nearest integer
    both: Fixed = _TABLE.take(index).view(np.int32)
    return both


_TABLE = _table()
