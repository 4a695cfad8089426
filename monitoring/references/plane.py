"""The plane on which a reference and its windows are drawn: its two principal components."""

from dataclasses import dataclass

import numpy as np

from monitoring.references.rows import ReferenceRows
from monitoring.rows import FloatArray, HalfArray, IntArray

POINTS_MAX = 300
_ROWS_MIN = 3
_ROWS_MAX = 2000  # that the components are computed from


@dataclass(frozen=True, slots=True)
class Plane:
    """Axes, and where some of the reference's rows lie."""

    centre: FloatArray  # [hidden] float32
    axes: FloatArray  # [hidden, 2] float32, orthonormal
    points: FloatArray  # [p, 2] float32
    classes: IntArray  # [p], predicted classes of the points

    def place(self, embeddings: HalfArray) -> FloatArray:
        """Return where embeddings [n, hidden] lie on the plane, [n, 2]."""
        return (embeddings.astype(np.float32) - self.centre) @ self.axes


def plane_of(rows: ReferenceRows, seed: int) -> Plane | None:
    """Return the plane of a reference; None where it has too few embeddings.

    Principal components by the singular value decomposition of the centred embeddings (Pearson
    1901); each axis points to where its largest loading is positive, so that it does not flip.
    """
    if rows.embeddings is None or len(rows) < _ROWS_MIN:
        return None
    chosen = np.random.default_rng(seed).permutation(len(rows))[:_ROWS_MAX]
    values = rows.embeddings[np.sort(chosen)].astype(np.float64)
    centre = values.mean(axis=0)
    _, _, loadings = np.linalg.svd(values - centre, full_matrices=False)
    axes = loadings[:2].T
    axes *= np.sign(axes[np.abs(axes).argmax(axis=0), [0, 1]])
    shown = np.sort(chosen[:POINTS_MAX])
    points = (rows.embeddings[shown].astype(np.float64) - centre) @ axes
    return Plane(
        centre.astype(np.float32),
        axes.astype(np.float32),
        points.astype(np.float32),
        rows.class_index[shown],
    )
