"""Axes: the few directions along which a reference varies most, each with unit variance.

Class mix and topic live there. Mean shifts along any of them, or between them, are seen by the
half-space witness of the watch.
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from monitoring.detectors.prototypes import Steps, on_grid
from monitoring.rows import FloatArray

AXES = 16
UNIT = 64  # steps of a coordinate, per standard deviation
FARTHEST = 2047  # steps; coordinates beyond are cut

_TURNS = 15  # of the power iteration
_WHOLE = 2.0**20  # steps per unit, so that products of matrices are exact
_LEAST = 1e-6  # variance of an axis over that of the first below which there is nothing to it

Matrix = npt.NDArray[np.float64]
Coordinates = npt.NDArray[np.float32]  # [n, 16], whole numbers


@dataclass(frozen=True, slots=True)
class Axes:
    """Directions in steps, and what makes coordinates of products with them."""

    directions: Steps  # [16, hidden], norm 1,024 or 0
    centre: FloatArray  # [16], mean of the products
    factor: FloatArray  # [16], steps of a coordinate per unit of a product; 0: no such axis

    def coordinates(self, products: Steps) -> Coordinates:
        """Return the coordinates of rows, from their products with the directions [n, 16]."""
        return coordinates(products, self.centre, self.factor)


def coordinates(products: Steps, centre: FloatArray, factor: FloatArray) -> Coordinates:
    """Return whole coordinates [n, 16], 64 to a standard deviation of the reference's rows."""
    exact = np.rint((products - centre) * factor)
    cut: Coordinates = np.clip(exact, -FARTHEST, FARTHEST).astype(np.float32)
    return cut


def axes_of(steps: Steps) -> Axes:
    """Return the sixteen whitened principal axes of rows [m, hidden].

    By power iteration with whole numbers, since what LAPACK returns may depend on the number of
    threads; that its last digits are not those of the eigenvectors does no harm.
    """
    wide = steps.astype(np.float64)
    total = wide.sum(axis=0)
    # sums and products of whole numbers below 2**53 are exact in any order
    spread = wide.T @ wide - np.outer(total, total) / len(wide)
    largest = float(np.abs(spread).max())
    hidden = steps.shape[1]
    if largest == 0:
        return Axes(np.zeros((AXES, hidden), np.float32), np.zeros(AXES), np.zeros(AXES))
    whole = np.rint(spread * (_WHOLE / largest))
    basis = _orthonormal(np.cos(np.outer(np.arange(1, hidden + 1), np.arange(1, AXES + 1) * 1.7)))
    for _ in range(_TURNS):
        basis = _orthonormal(whole @ np.rint(basis * _WHOLE))
    exact = np.rint(basis * _WHOLE)
    within = (exact.T @ np.rint(whole @ exact * (1 / _WHOLE))) / _WHOLE**2
    directions = on_grid(_whitened(basis, (within + within.T) / 2))
    products = (steps @ directions.T).astype(np.float64)
    centre, deviation = products.mean(axis=0), products.std(axis=0)
    is_there = deviation > 0
    factor = np.where(is_there, UNIT / np.where(is_there, deviation, 1.0), 0.0)
    return Axes(directions, centre, factor)


def _orthonormal(columns: Matrix) -> Matrix:
    """Return columns made orthonormal one after the other; those that depend on others are 0."""
    done: list[Matrix] = []
    for column in columns.T:
        rest, before = column, math.sqrt(float((column * column).sum()))
        for other in [*done, *done]:  # twice is enough
            rest = rest - other * float((rest * other).sum())
        length = math.sqrt(float((rest * rest).sum()))
        done.append(rest / length if length > 1e-9 * before else np.zeros_like(rest))
    return np.stack(done, axis=1)


def _whitened(basis: Matrix, within: Matrix) -> Matrix:
    """Return directions [16, hidden] along which rows do not correlate: L^-1 of L L' = within."""
    rows: list[Matrix] = []
    products: list[Matrix] = []  # of `within` with what is in `rows`
    least = _LEAST * float(np.diag(within).max())
    for axis in np.eye(len(within)):
        rest = axis
        for row, product in zip(rows, products, strict=True):
            rest = rest - row * float((product * axis).sum())
        product = (within * rest).sum(axis=1)
        variance = float((rest * product).sum())
        scale = 1 / math.sqrt(variance) if variance > least else 0.0
        rows.append(rest * scale)
        products.append(product * scale)
    combined = np.stack(rows)
    directions: Matrix = (combined[:, None, :] * basis[None, :, :]).sum(axis=2)
    return directions
