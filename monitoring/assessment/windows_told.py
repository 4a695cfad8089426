"""One window of one version, with everything that detectors tell of it."""

import numpy as np

from monitoring.assessment import drift, labels
from monitoring.assessment.policy import Policy
from monitoring.detectors import inputs, label_shift
from monitoring.references.reference import Reference
from monitoring.report import Bar, Window, WindowReport
from monitoring.rows import FloatArray, HalfArray, IntArray
from monitoring.sketches.histogram import CONFIDENCE_EDGES
from monitoring.state.view import View
from monitoring.state.windows import WindowRows
from monitoring.watched import Watched

_SECOND_US = 1_000_000
_FINE = 8  # bins of the sketch in one bar


def window_report(
    view: View,
    watched: Watched,
    reference: Reference | None,
    policy: Policy,
    name: str,
    rows: WindowRows,
) -> WindowReport:
    """Return the report of one window."""
    sketch = rows.sketch
    names = view.totals(watched).names
    told = drift.told(drift.assessed(reference, sketch, policy.drift_tolerance), names)
    base = drift.assessed(reference, sketch, policy.drift_tolerance, base=True)
    probabilities, weights = _sampled(view, watched, rows)
    reliable = told.effect.value is not None and told.effect.value <= 1
    return WindowReport(
        window=Window(
            name=name,
            start_s=rows.start_s,
            end_s=rows.end_s,
            rows=sketch.predictions,
            embedded=sketch.embedded,
        ),
        drift=told,
        base_drift=drift.told(base, names) if sketch.based else None,
        mix=label_shift.assess(
            None if reference is None else reference.label_shift,
            sketch,
            probabilities,
            weights,
            seed=policy.seed,
        ),
        accuracy=labels.estimated(view, watched, reference, rows, policy, is_reliable=reliable),
        confidence=_bars(reference, sketch.confidence_counts),
        inputs=inputs.assess(None if reference is None else reference.inputs, sketch),
    )


def _sampled(view: View, watched: Watched, rows: WindowRows) -> tuple[HalfArray, FloatArray]:
    """Return probabilities [n, classes] of the window's sampled rows, and their weights [n]."""
    start_us, end_us = round(rows.start_s * _SECOND_US), round(rows.end_s * _SECOND_US)
    chosen = [
        (row.probabilities, sample.weight)
        for sample in view.samples(watched, start_us)
        for row in sample.rows
        if start_us <= row.time_us < end_us
    ]
    if not chosen:
        return np.zeros((0, rows.sketch.classes), np.float16), np.zeros(0)
    return np.stack([one for one, _ in chosen]), np.array([weight for _, weight in chosen])


def _bars(reference: Reference | None, counts: IntArray) -> tuple[Bar, ...]:
    """Return the histogram of confidence, in bars of equal log-odds.

    Most confidences lie near 1, where bars of equal width would show nothing.
    """
    now = _pooled(counts)
    known = reference is not None and reference.source == "holdout"
    before = _pooled(reference.confidence) if reference is not None and known else None
    edges = [0.0, *CONFIDENCE_EDGES[_FINE - 1 :: _FINE].tolist(), 1.0]
    return tuple(
        Bar(
            start=edges[place],
            end=edges[place + 1],
            reference=None if before is None else before[place],
            now=now[place],
        )
        for place in range(len(now))
    )


def _pooled(counts: IntArray) -> list[float | None]:
    """Return shares of the rows, of some fine bins together; None without rows."""
    pooled = counts.reshape(-1, _FINE).sum(axis=1)
    total = int(pooled.sum())
    return [float(count) / total if total else None for count in pooled.tolist()]
