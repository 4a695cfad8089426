"""A heading: where recent rows moved, and how a reference's own rows lie along it.

It is fixed for a block of rows and made anew, from the rows before, for the next. So what is bet
along it was decided before the rows that decide the bet came.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from monitoring.rows import FloatArray

BLOCK = 8  # rows that a heading is kept for


@dataclass(slots=True)
class Heading:
    """Where recent rows moved. Sums are of whole numbers, so no split of a block rounds."""

    recent: FloatArray  # [d], fading sum of the rows before this block
    block: FloatArray  # [d], sum of this block's rows so far
    count: int  # of them
    direction: FloatArray  # [d], whole numbers
    is_known: bool  # whether there is a direction to bet along
    quantiles: FloatArray  # [levels], of the reference along it, the highest first

    @staticmethod
    def begin(dimensions: int, levels: int) -> "Heading":
        """Return the heading before any row."""
        nothing = np.zeros(dimensions, dtype=np.float32)
        return Heading(nothing, nothing.copy(), 0, nothing.copy(), False, np.zeros(levels))

    def beyond(self, along: FloatArray) -> npt.NDArray[np.intp]:
        """Return how many of the quantiles each row [n] lies beyond, by its place along."""
        beyond: npt.NDArray[np.intp] = np.add.reduce(along[:, None] > self.quantiles, axis=1)
        return beyond

    def saw(self, rows: FloatArray) -> None:
        """Add rows [n, d] of this block."""
        self.block += np.add.reduce(rows, axis=0)
        self.count += len(rows)

    def turned(self, memory: int, longest: float, centre: FloatArray | None = None) -> FloatArray:
        """Begin the next block: return its direction, of length `longest`, 0 where there is none.

        It is that of the rows before, less `centre`; a row counts 1 - 1/`memory` times as much
        as the one after it, and as much as others of its block.
        """
        fading = np.float32((1 - 1 / memory) ** self.count)
        moved = self.block if centre is None else self.block - np.float32(self.count) * centre
        self.recent = self.recent * fading + moved
        self.block = np.zeros_like(self.block)
        self.count = 0
        length = math.sqrt(float(np.add.reduce(np.square(self.recent, dtype=np.float64))))
        self.is_known = length > 0
        scale = longest / length if self.is_known else 0.0
        self.direction = np.rint(self.recent * np.float32(scale))
        return self.direction


def exceeding(level: float, rows: int) -> int:
    """Return how many of a reference's rows lie beyond the quantile of a level, at most."""
    return math.ceil(level * rows)


def quantiles(along: FloatArray, levels: Sequence[float]) -> FloatArray:
    """Return the places [levels] that these shares of rows [m], rounded up, are beyond."""
    ordered = np.sort(along)
    return ordered[[len(along) - 1 - exceeding(level, len(along)) for level in levels]].astype(
        np.float64
    )
