"""Method (e): accuracy without labels, and helped by the few there are."""

import math
from dataclasses import dataclass

from monitoring.detectors.confidence_curve import ConfidenceCurve, fit
from monitoring.detectors.figures import figure, unknown
from monitoring.detectors.prediction_powered import helped_share
from monitoring.detectors.weights import weigh
from monitoring.labelled import Labelled
from monitoring.references.rows import ReferenceRows
from monitoring.report import Accuracy, Figure
from monitoring.sketches.sketch import CONFIDENCE_SCALE, Sketch
from service import measures
from service.measures import Estimate

LABELS_MIN = 20  # rows of a reference with a label, below which it tells nothing of confidence


@dataclass(frozen=True, slots=True)
class Baseline:
    """What a reference tells of confidence: 250 bytes."""

    curve: ConfidenceCurve
    rows: int  # with a label


def baseline(rows: ReferenceRows) -> Baseline | None:
    """Return the confidence curve of a reference; None below 20 rows with a label."""
    has_label = rows.label_index >= 0
    count = int(has_label.sum())
    if count < LABELS_MIN:
        return None
    predicted = rows.class_index[has_label]
    confidence = rows.probabilities[has_label, predicted]
    return Baseline(fit(confidence, predicted == rows.label_index[has_label]), count)


def assess(
    baseline: Baseline | None,
    window: Sketch,
    labelled: Labelled | None = None,
    *,
    is_reliable: bool,
    labels_min: int,
) -> Accuracy:
    """Return the accuracy of a window without labels, and helped by those of its own predictions.

    `labelled` are labels of predictions that are in the window; others would tell of another time.
    `is_reliable` is False while drift is beyond its tolerance: then confidence need not mean what
    it meant in the reference, and the estimate without labels is worth little. The helped one is
    not led astray by that, since labels correct it.
    """
    count = window.predictions
    if baseline is None:
        nothing = unknown("the reference has too few labels", count)
        return Accuracy(estimate=nothing, helped=nothing, reliable=False)
    if count == 0:
        nothing = unknown("no rows in the window")
        return Accuracy(estimate=nothing, helped=nothing, reliable=False)
    filled = window.confidence_counts > 0
    counts = window.confidence_counts[filled]
    levels = window.confidence_sums[filled] / (counts * CONFIDENCE_SCALE)
    mean, noise = baseline.curve.mean(levels, counts)
    return Accuracy(
        estimate=figure(_estimate(mean, noise, count), count),
        helped=_helped(baseline.curve, mean, count, labelled, labels_min),
        reliable=is_reliable,
    )


def _estimate(mean: float, noise: float, count: int) -> Estimate:
    """Return the mean calibrated confidence of `count` rows with its interval.

    As NannyML's confidence-based estimate, with a curve for the top label. The variance is that
    of the curve's fit and p (1 - p) / n: what the confidences of these rows vary, and what their
    answers vary at those confidences, so that the interval is one for the share that is right of
    these rows, and of others like them. It is Wilson's at as many rows as would tell as much,
    rounded outwards to a whole number of rows.
    """
    doubt = mean * (1 - mean)
    alike = doubt / (noise + doubt / count) if doubt > 0 else float(count)
    found = measures.wilson(mean * alike, alike)
    lower, upper = math.floor(found.lower * count), math.ceil(found.upper * count)
    return Estimate(mean, max(lower, 0) / count, min(upper, count) / count)


def _helped(
    curve: ConfidenceCurve, mean: float, count: int, labelled: Labelled | None, labels_min: int
) -> Figure:
    """Return the share right of the labels, helped by what the curve says of all rows."""
    if labelled is None:
        return unknown(f"too few labels: 0 of {labels_min}")
    weighed = weigh(labelled)
    kept = weighed.counts
    labels = int(kept.sum())
    few = weighed.too_few(labels_min)
    if few is not None:
        return unknown(few, labels)
    return figure(
        helped_share(
            labelled.right[kept],
            curve.at(labelled.confidence[kept]),
            weighed.weights[kept],
            mean,
            count,
        ),
        labels,
    )
