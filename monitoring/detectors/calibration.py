"""Method (d): do probabilities still mean what they say? From labels that come late and sparse."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from msgspec.structs import replace

from monitoring.detectors.figures import figure, unknown
from monitoring.detectors.weights import weigh
from monitoring.labelled import Labelled
from monitoring.references.rows import ReferenceRows
from monitoring.report import Calibration, ReliabilityBin
from monitoring.rows import FloatArray, TruthArray
from service import measures

_Floats = npt.NDArray[np.float64]

# Confidences travel in steps of 1 / 65535: those that round to 0 or 1 are half a step away.
CONFIDENCE_DOUBT = 2.0**-17


@dataclass(frozen=True, slots=True)
class Baseline:
    """The figures of the reference; NaN where too few of its rows have labels."""

    error: float  # calibration error, root of the debiased square
    accuracy: float
    rows: int  # with labels


@dataclass(frozen=True, slots=True)
class Traffic:
    """How many predictions there were in a time, to tell which share of them has a label."""

    start_us: int
    end_us: int  # not included
    predictions: int


def baseline(rows: ReferenceRows) -> Baseline | None:
    """Return the figures of a reference; None where no row has a label."""
    has_label = rows.label_index >= 0
    count = int(has_label.sum())
    if count == 0:
        return None
    predicted = rows.class_index[has_label]
    confidence = rows.probabilities[has_label, predicted].astype(np.float64)
    right = predicted == rows.label_index[has_label]
    error = measures.calibration_error(confidence, right).debiased.value
    return Baseline(error, float(right.mean()), count)


def assess(
    baseline: Baseline | None,
    labelled: Labelled,
    *,
    labels_min: int,
    traffic: Traffic | None = None,
) -> Calibration:
    """Return all label figures of some labels: of a version, or of one of its subgroups.

    Labels are weighed as `weights.weigh` says, and figures are unknown where they are fewer than
    `labels_min`. Delays and coverage are of all labels, whatever their number; coverage is of
    those of predictions within `traffic`, at most 1, since the log may have lost predictions
    whose labels came all the same.

    The figures are those of `service.measures`. The temperature is the one of the top label's
    log-odds, as nothing but the confidence comes back with a label: with two classes exactly that
    of the logits, with more an approximation that treats all other classes as one. None where the
    best one is not within the bounds that are looked at, as where every answer is right.
    """
    weighed = weigh(labelled)
    count = int(weighed.counts.sum())
    reason = weighed.too_few(labels_min)
    nothing = unknown(reason or "not defined", count)
    delays = np.maximum(labelled.came_us - labelled.predicted_us, 0) / 1e6
    found = Calibration(
        error=nothing,
        error_square=None,
        brier=nothing,
        brier_reliability=None,
        brier_resolution=None,
        brier_uncertainty=None,
        gap=nothing,
        temperature=None,
        accuracy=nothing,
        bins=(),
        labels=len(labelled),
        audited=int(labelled.audit.sum()),
        coverage=_coverage(labelled, traffic),
        delay_s_median=float(np.quantile(delays, 0.5)) if len(delays) else None,
        delay_s_p90=float(np.quantile(delays, 0.9)) if len(delays) else None,
        weighted=weighed.is_weighted,
        reference_error=_number(baseline.error) if baseline else None,
        reference_accuracy=_number(baseline.accuracy) if baseline else None,
    )
    if reason is not None:
        return found
    kept = weighed.counts
    return _measured(found, labelled.confidence[kept], labelled.right[kept], weighed.weights[kept])


def _measured(
    found: Calibration, confidence: FloatArray, right: TruthArray, weights: _Floats
) -> Calibration:
    """Return `found` with the figures of the labels that count."""
    count = len(right)
    error = measures.calibration_error(confidence, right, weights=weights)
    brier = measures.brier_parts(confidence, right, weights=weights)
    return replace(
        found,
        error=figure(error.debiased, count),
        error_square=_number(error.squared.value),
        brier=figure(brier.score, count),
        brier_reliability=_number(brier.reliability),
        brier_resolution=_number(brier.resolution),
        brier_uncertainty=_number(brier.uncertainty),
        gap=figure(measures.confidence_gap(confidence, right, weights), count),
        temperature=_temperature(confidence, right, weights),
        accuracy=figure(measures.share_right(right, weights), count),
        bins=_diagram(confidence, right, weights),
    )


def _temperature(confidence: FloatArray, right: TruthArray, weights: _Floats) -> float | None:
    sure = np.clip(confidence.astype(np.float64), CONFIDENCE_DOUBT, 1 - CONFIDENCE_DOUBT)
    found = measures.fit_temperature(
        np.stack([sure, 1 - sure], axis=1), (~right).astype(np.int64), weights
    )
    bounds = (measures.TEMPERATURE_MIN, measures.TEMPERATURE_MAX)
    return None if found in bounds else _number(found)


def _diagram(
    confidence: FloatArray, right: TruthArray, weights: _Floats
) -> tuple[ReliabilityBin, ...]:
    """Return the reliability diagram, over the bins of the calibration error."""
    parts = measures.equal_mass_bins(confidence, right, weights=weights)
    if parts is None:
        return ()
    shares = (
        figure(measures.wilson(float(share * rows), float(rows)), int(count))
        for share, rows, count in zip(parts.right, parts.effective, parts.rows, strict=True)
    )
    return tuple(
        ReliabilityBin(confidence=float(level), accuracy=share)
        for level, share in zip(parts.confidence, shares, strict=True)
    )


def _coverage(labelled: Labelled, traffic: Traffic | None) -> float | None:
    if traffic is None or traffic.predictions <= 0:
        return None
    when = labelled.predicted_us
    inside = int(((when >= traffic.start_us) & (when < traffic.end_us)).sum())
    return min(1.0, inside / traffic.predictions)


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
