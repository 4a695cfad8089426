"""A reference: what every detector needs of a version's hold-out, made once, when it is published.

Kept as bytes by `monitoring/codec.py`; in use it is a `Measure` of the state.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from monitoring import codec
from monitoring.detectors import (
    accuracy,
    calibration,
    class_shift,
    inputs,
    label_shift,
    watch,
    window_test,
)
from monitoring.detectors.null import ROWS_MIN
from monitoring.references.plane import Plane, plane_of
from monitoring.references.rows import ReferenceRows
from monitoring.rows import FloatArray, HalfArray, IntArray
from monitoring.sketches.features import FeatureMap, bandwidths_of
from monitoring.sketches.histogram import CONFIDENCE_BINS, confidence_bins
from monitoring.state.ports import Origin

FORMAT = 1  # goes up when a figure of it changes its meaning


@dataclass(frozen=True, slots=True)
class Reference:
    """The baselines of all detectors; None where the rows cannot carry one."""

    source: str  # `holdout` or `pooled`
    labels: tuple[str, ...]
    rows: int
    seed: int
    hidden: int  # 0: no embeddings
    bandwidths: tuple[float, ...]  # of the map; none: there is none
    base_bandwidths: tuple[float, ...]
    confidence: IntArray  # [128], rows by confidence
    class_counts: IntArray  # [classes], predicted
    right: int  # rows with a label that were predicted right
    labelled: int  # rows with a label
    window: window_test.Baseline | None
    base_window: window_test.Baseline | None
    class_shift: class_shift.Baseline | None
    label_shift: label_shift.Baseline | None
    calibration: calibration.Baseline | None
    accuracy: accuracy.Baseline | None
    inputs: inputs.Baseline | None
    watch: watch.Baseline | None
    plane: Plane | None


def make_reference(
    rows: ReferenceRows, origin: Origin, *, seed: int, tolerance: float
) -> Reference:
    """Return the reference of some rows; the same rows and settings give the same.

    A pooled one compares embeddings alone, and has no watch: another adapter's classes and
    confidences say nothing of this one's, and it would alarm at every adapter that differs.
    Raises `ValueError` for embeddings that are not finite or whose norm is far from 1.
    """
    bandwidths = _bandwidths(rows.embeddings)
    base_bandwidths = _bandwidths(rows.base_embeddings)
    pooled = origin.source == "pooled"
    if pooled:
        rows = _without_classes(rows)
    has_label = rows.label_index >= 0
    right = rows.class_index[has_label] == rows.label_index[has_label]
    top = rows.probabilities[np.arange(len(rows)), rows.class_index].astype(np.float32)
    return Reference(
        source=origin.source,
        labels=rows.labels,
        rows=len(rows),
        seed=seed,
        hidden=_hidden(rows),
        bandwidths=bandwidths,
        base_bandwidths=base_bandwidths,
        confidence=np.bincount(confidence_bins(top), minlength=CONFIDENCE_BINS),
        class_counts=np.bincount(rows.class_index, minlength=len(rows.labels)),
        right=int(right.sum()),
        labelled=int(has_label.sum()),
        window=_compared(rows, bandwidths, seed, pooled=pooled),
        base_window=_window(rows, base_bandwidths, seed, base=True),
        class_shift=None if pooled else class_shift.baseline(rows),
        label_shift=None if pooled else label_shift.baseline(rows, seed=seed),
        calibration=None if pooled else calibration.baseline(rows),
        accuracy=None if pooled else accuracy.baseline(rows),
        inputs=None if pooled else inputs.baseline(rows),
        watch=None if pooled else watch.baseline(rows, seed=seed, tolerance=tolerance),
        plane=_plane(rows, seed, pooled=pooled),
    )


class Measuring:
    """A reference in use; `monitoring.state.ports.Measure`."""

    def __init__(self, reference: Reference) -> None:
        self.reference = reference
        self.map = _map(reference.hidden, reference.bandwidths, reference.seed)
        self.base_map = _map(reference.hidden, reference.base_bandwidths, reference.seed)

    @staticmethod
    def of(data: bytes) -> "Measuring":
        """Return the reference that `codec.encode` wrote."""
        return Measuring(codec.decode(data, Reference))

    def watch(self) -> watch.State | None:
        """Return the state of a watch that begins; None: the reference cannot carry one."""
        baseline = self.reference.watch
        return None if baseline is None else watch.State.begin(baseline)

    def update(self, watch_state: Any, embeddings: HalfArray, run_lengths: FloatArray) -> list[int]:
        """Take rows into a watch, in place; return those at which it raised an alarm."""
        assert self.reference.watch is not None
        return watch.update(self.reference.watch, watch_state, embeddings, run_lengths)


def _bandwidths(embeddings: HalfArray | None) -> tuple[float, ...]:
    """Return the bandwidths of a map; none for no embeddings, or where they are all the same."""
    if embeddings is None or len(embeddings) < ROWS_MIN:
        return ()
    if not (embeddings != embeddings[0]).any():
        return ()
    return bandwidths_of(embeddings)


def _hidden(rows: ReferenceRows) -> int:
    embeddings = rows.embeddings if rows.embeddings is not None else rows.base_embeddings
    return 0 if embeddings is None else embeddings.shape[1]


def _map(hidden: int, bandwidths: tuple[float, ...], seed: int) -> FeatureMap | None:
    return FeatureMap.of(hidden, bandwidths, seed) if bandwidths else None


def _without_classes(rows: ReferenceRows) -> ReferenceRows:
    """Return rows of several adapters as rows of one class, which all were predicted."""
    return replace(
        rows,
        labels=("",),
        class_index=np.zeros(len(rows), np.int64),
        label_index=np.full(len(rows), -1),
        probabilities=np.ones((len(rows), 1), np.float16),
    )


def _compared(
    rows: ReferenceRows, bandwidths: tuple[float, ...], seed: int, *, pooled: bool
) -> window_test.Baseline | None:
    found = _window(rows, bandwidths, seed, base=False)
    return found and (replace(found, contents=None) if pooled else found)


def _plane(rows: ReferenceRows, seed: int, *, pooled: bool) -> Plane | None:
    """Return the plane; of a pooled reference without points, which are other tenants' rows."""
    plane = plane_of(rows, seed)
    if plane is None or not pooled:
        return plane
    return replace(plane, points=plane.points[:0], classes=plane.classes[:0])


def _window(
    rows: ReferenceRows, bandwidths: tuple[float, ...], seed: int, *, base: bool
) -> window_test.Baseline | None:
    feature_map = _map(_hidden(rows), bandwidths, seed)
    if feature_map is None:
        return None
    return window_test.baseline(rows, feature_map, seed=seed, base=base)
