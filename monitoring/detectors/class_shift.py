"""The second channel of method (a): did the probabilities of a class shift?

Kolmogorov and Smirnov's test for each class, with Bonferroni's correction, is what Rabanser,
Günnemann and Lipton ("Failing Loudly", NeurIPS 2019) found the most sensitive of all.
"""

import math
from dataclasses import dataclass

import numpy as np

from monitoring.detectors.null import ROWS_MIN
from monitoring.references.rows import ReferenceRows
from monitoring.rows import IntArray
from monitoring.sketches.histogram import PROBABILITY_BINS, probability_bins
from monitoring.sketches.sketch import Sketch

_NAN = float("nan")
_TERMS = 100  # of Kolmogorov's series; at the least argument they fall below 1e-16 long before
_CERTAIN = 0.2  # argument below which p is 1 to 12 digits


@dataclass(frozen=True, slots=True)
class Baseline:
    """Histograms of a reference's probabilities: 512 bytes for each class."""

    counts: IntArray  # [classes, 64]


@dataclass(frozen=True, slots=True)
class Assessment:
    """How far probabilities shifted; NaN and None where it is not known."""

    statistic: float  # largest distance of a class's distribution functions, in [0, 1]
    pvalue: float | None  # of the least of all classes, times their number, at most 1
    worst: int | None  # class of the largest distance
    unknown: str | None
    rows: int


def baseline(rows: ReferenceRows) -> Baseline | None:
    """Return the histograms of a reference; None for fewer than 50 rows."""
    if len(rows) < ROWS_MIN:
        return None
    classes = len(rows.labels)
    bins = probability_bins(rows.probabilities).astype(np.int64)
    flat = (bins + PROBABILITY_BINS * np.arange(classes)).ravel()
    counts = np.bincount(flat, minlength=classes * PROBABILITY_BINS)
    return Baseline(counts.reshape(classes, PROBABILITY_BINS))


def assess(baseline: Baseline | None, window: Sketch) -> Assessment:
    """Return the Kolmogorov-Smirnov distance of the class that shifted most, and p.

    Distances are of histograms of 64 bins, which can only make them smaller, and p larger. All
    predictions count, those without an embedding too. Raises `ValueError` for a window of another
    number of classes.
    """
    rows = window.predictions
    if baseline is None:
        return Assessment(_NAN, None, None, "no reference", rows)
    if not rows:
        return Assessment(_NAN, None, None, "no rows in the window", rows)
    if rows < ROWS_MIN:
        return Assessment(_NAN, None, None, f"too few rows: {rows} of {ROWS_MIN}", rows)
    if window.class_histogram.shape != baseline.counts.shape:
        raise ValueError(f"{window.classes} classes, {len(baseline.counts)} in the reference")
    before = baseline.counts.cumsum(axis=1)
    now = window.class_histogram.cumsum(axis=1)
    others = int(before[0, -1])
    distances = np.abs(now / rows - before / others).max(axis=1)
    worst = int(distances.argmax())
    largest = float(distances[worst])
    pvalue = min(1.0, len(distances) * kolmogorov_smirnov(largest, rows, others))
    return Assessment(largest, pvalue, worst, None, rows)


def kolmogorov_smirnov(distance: float, rows: int, others: int) -> float:
    """Return p of a distance of the distribution functions of two samples.

    Kolmogorov's limit Q(x) = 2 sum of (-1)^(j-1) exp(-2 j^2 x^2) at Stephens' argument
    x = (s + 0.12 + 0.11 / s) D, s^2 = n m / (n + m) (J. R. Stat. Soc. B 32, 1970).

    >>> round(kolmogorov_smirnov(0.2, 100, 100), 6)
    0.031377
    """
    root = math.sqrt(rows * others / (rows + others))
    argument = (root + 0.12 + 0.11 / root) * distance
    if argument < _CERTAIN:
        return 1.0
    terms = ((-1.0) ** (j - 1) * math.exp(-2 * (j * argument) ** 2) for j in range(1, _TERMS))
    return min(1.0, max(0.0, 2 * math.fsum(terms)))
