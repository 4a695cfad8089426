"""Method (c): do other classes occur than in the reference?

Two answers. The G-test on predicted classes is plain and needs no label: the classes that come out
are mixed differently. The priors go further and say how often each class truly occurs, under one
assumption: that inputs of a class look as they did in the reference, and only their mix changed.
Nothing in unlabelled rows can tell that from inputs that changed themselves (covariate shift): both
move predicted classes and priors alike. Where embeddings moved too, after re-weighting to the
reference's mix, the assumption is broken, and so are the priors.
"""

import math
from dataclasses import dataclass

import numpy as np

from monitoring.detectors.counts_test import counts_test
from monitoring.detectors.figures import figure, unknown
from monitoring.detectors.priors import priors
from monitoring.detectors.recalibration import Recalibration, fit
from monitoring.references.rows import ReferenceRows
from monitoring.report import ClassMix, ClassShare, Figure
from monitoring.rows import FloatArray, HalfArray, IntArray
from monitoring.sketches.sketch import Sketch
from service.measures import effective_count

CONDITION_MAX = 30.0  # beyond it the predicted shares themselves are nearer to the truth
REFERENCE_MIN = 50  # rows with a label
SAMPLE_MIN = 50  # rows of a window with probabilities

_SIGNIFICANT = 0.01


@dataclass(frozen=True, slots=True)
class Baseline:
    """What a reference tells of its classes: at most 25 KB, for 256 of them."""

    labels: tuple[str, ...]
    counts: IntArray  # [classes], predicted
    fitted: Recalibration | None  # None where priors are refused
    condition: float | None  # of the confusion matrix; None where there is none
    refused: str | None


def baseline(rows: ReferenceRows, *, seed: int) -> Baseline | None:
    """Return the class mix of a reference, and what priors need; None for no rows.

    The confusion matrix is that of recalibrated probabilities: their mean over the rows of each
    class, one row and column for each class that has any. With a condition number above 30,
    priors are refused: classes are then so alike, or so few rows are theirs, that small errors
    turn into large ones.
    """
    if len(rows) == 0:
        return None
    counts = np.bincount(rows.class_index, minlength=len(rows.labels)).astype(np.int64)
    has_label = rows.label_index >= 0
    truths = rows.label_index[has_label]
    reason = None
    if len(truths) < REFERENCE_MIN:
        reason = f"the reference has too few labels: {len(truths)} of {REFERENCE_MIN}"
    elif len(np.unique(truths)) < 2:
        reason = "the reference has rows of a single class"
    if reason is not None:
        return Baseline(rows.labels, counts, None, None, reason)
    probabilities = rows.probabilities[has_label]
    fitted = fit(probabilities, truths, seed=seed)
    condition = float(np.linalg.cond(_confusion(fitted, probabilities, truths)))
    if not math.isfinite(condition):
        reason = "the confusion matrix has no inverse"
        return Baseline(rows.labels, counts, None, None, reason)
    if condition > CONDITION_MAX:
        reason = (
            f"condition number of the confusion matrix {condition:.0f}, more than"
            f" {CONDITION_MAX:.0f}: classes look too much alike, or the reference has too few rows"
        )
        return Baseline(rows.labels, counts, None, condition, reason)
    return Baseline(rows.labels, counts, fitted, condition, None)


def assess(
    baseline: Baseline | None,
    window: Sketch,
    probabilities: HalfArray,
    weights: FloatArray,
    *,
    seed: int,
) -> ClassMix:
    """Return how the classes of a window differ from the reference's.

    Predicted classes are of all rows of the window; priors of a sample of them, with
    `probabilities` [n, classes] and `weights` [n], of how many rows each stands for. Raises
    `ValueError` for another number of classes. A class that no row of the reference has as its
    label has no prior: the others are then shares among themselves.
    """
    if baseline is None:
        return ClassMix(
            statistic=None,
            pvalue=None,
            condition=None,
            refused="no reference",
            classes=(),
        )
    if window.classes != len(baseline.labels):
        raise ValueError(f"{window.classes} classes, {len(baseline.labels)} in the reference")
    tested = counts_test(baseline.counts, window.class_counts)
    refused = baseline.refused
    sampled = effective_count(weights)
    if refused is None and sampled < SAMPLE_MIN:
        refused = f"too few sampled rows: {sampled:.0f} of {SAMPLE_MIN}"
    estimated = _priors(baseline, probabilities, weights, refused, seed)
    return ClassMix(
        statistic=tested.statistic if tested.cells else None,
        pvalue=tested.pvalue if tested.cells else None,
        condition=baseline.condition,
        refused=refused,
        classes=tuple(
            ClassShare(label=label, reference=before, now=now, prior=prior)
            for label, before, now, prior in zip(
                baseline.labels,
                _shares(baseline.counts),
                _shares(window.class_counts),
                estimated,
                strict=True,
            )
        ),
    )


def reading_of(mix: ClassMix) -> str:
    """Return one plain sentence about a class mix."""
    if mix.pvalue is None:
        return "too few predictions to compare classes"
    if mix.pvalue >= _SIGNIFICANT:
        return "no sign of another class mix"
    return "other classes are predicted: another class mix, or inputs that look like other classes"


def _priors(
    baseline: Baseline,
    probabilities: HalfArray,
    weights: FloatArray,
    refused: str | None,
    seed: int,
) -> list[Figure]:
    rows = len(weights)
    if refused is not None or baseline.fitted is None:
        return [unknown(refused or "no recalibration", rows) for _ in baseline.labels]
    figures = [unknown("no row of the reference has this label", rows) for _ in baseline.labels]
    found = priors(baseline.fitted, probabilities, weights, seed=seed)
    for index, estimate in zip(baseline.fitted.classes.tolist(), found, strict=True):
        figures[index] = figure(estimate, rows)
    return figures


def _confusion(fitted: Recalibration, probabilities: HalfArray, truths: IntArray) -> FloatArray:
    """Return mean recalibrated probabilities [k, k] of the rows of each class."""
    shares = fitted.likelihoods(probabilities) * fitted.source
    places = np.searchsorted(fitted.classes, truths)
    sums = np.zeros((len(fitted.classes), len(fitted.classes)))
    np.add.at(sums, places, shares)
    return sums / np.bincount(places)[:, None]


def _shares(counts: IntArray) -> list[float | None]:
    total = int(counts.sum())
    return [count / total if total else None for count in counts.tolist()]
