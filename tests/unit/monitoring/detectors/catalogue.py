"""Every detector of a version's rows, as one entry of a list that the common checks run over.

The budget and the fleet detector are not among them: they see no rows.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from monitoring.detectors import (
    accuracy,
    calibration,
    class_shift,
    inputs,
    label_shift,
    watch,
    window_test,
)
from monitoring.labelled import Labelled
from monitoring.references.rows import ReferenceRows
from monitoring.report import Accuracy, Calibration, ClassMix, Quality
from monitoring.rows import Rows
from monitoring.sketches.features import FeatureMap
from monitoring.sketches.sketch import Sketch
from tests.unit.monitoring.detectors.made_windows import (
    Drawn,
    reference_of,
    rows_of,
    sketch_of,
)

TOLERANCE = 0.1
LABELS_MIN = 50
RUN_LENGTH = 10_000.0  # rows

Figures = dict[str, float | None]


@dataclass(frozen=True, slots=True)
class Publish:
    """What there is when a version is published."""

    rows: ReferenceRows
    feature_map: FeatureMap
    base_map: FeatureMap


@dataclass(frozen=True, slots=True)
class Window:
    """What there is when a window is assessed."""

    rows: Rows
    sketch: Sketch
    labelled: Labelled


@dataclass(frozen=True, slots=True)
class Detector:
    """A detector in the words of the checks.

    `figures` are those that need rows of the window: none of them is known for an empty one.
    `reasons` say why figures are not known; None where a null with a count of 0 says it all.
    """

    name: str
    baseline: Callable[[Publish], Any]
    kind: type
    assess: Callable[[Any, Window], Any]
    figures: Callable[[Any], Figures]
    reasons: Callable[[Any], list[str]] | None
    needs_embeddings: bool = False
    needs_reference: bool = True  # for any figure at all


def window_from(
    drawn: Drawn, feature_map: FeatureMap, base_map: FeatureMap, *, embedded: bool = True
) -> Window:
    """Return a window of rows, each of which got its label back."""
    rows = rows_of(drawn, embedded=embedded)
    labelled = Labelled(
        came_us=rows.time_us + 60_000_000,
        predicted_us=rows.time_us,
        class_index=rows.class_index,
        confidence=rows.confidence,
        right=drawn.truth == drawn.predicted,
        audit=np.zeros(len(rows), dtype=np.bool_),
        audit_probability=np.zeros(len(rows), dtype=np.float32),
    )
    return Window(rows, sketch_of(rows, feature_map, base_map), labelled)


def published(drawn: Drawn, feature_map: FeatureMap, base_map: FeatureMap) -> Publish:
    """Return a reference of rows."""
    return Publish(reference_of(drawn), feature_map, base_map)


def _said(*reasons: str | None) -> list[str]:
    return [reason for reason in reasons if reason]


def _window_test(base: bool) -> Detector:
    def make(given: Publish) -> window_test.Baseline | None:
        feature_map = given.base_map if base else given.feature_map
        return window_test.baseline(given.rows, feature_map, seed=7, base=base)

    def assess(made: window_test.Baseline | None, window: Window) -> window_test.Assessment:
        return window_test.assess(made, window.sketch, tolerance=TOLERANCE, base=base)

    def figures(found: window_test.Assessment) -> Figures:
        return {
            "statistic": found.statistic,
            "effect": found.effect.value,
            "lower": found.effect.lower,
            "upper": found.effect.upper,
            "reweighted": found.reweighted.value,
            "content": found.content.value,
            "pvalue": found.pvalue,
        }

    return Detector(
        name="window test of the bare backbone" if base else "window test",
        baseline=make,
        kind=window_test.Baseline,
        assess=assess,
        figures=figures,
        reasons=lambda found: _said(
            found.effect_unknown,
            found.pvalue_unknown,
            found.reweighted_unknown,
            found.content_unknown,
        ),
        needs_embeddings=True,
    )


@dataclass(frozen=True, slots=True)
class Watching:
    """What the watch knows after the rows of a window."""

    evidence: float | None
    alarms: list[int]
    state: watch.State | None


def _watched(made: watch.Baseline | None, window: Window) -> Watching:
    if made is None:
        return Watching(None, [], None)
    state = watch.State.begin(made)
    alarms = watch.update(made, state, window.rows.embeddings, RUN_LENGTH)
    return Watching(watch.evidence_log10(state, RUN_LENGTH), alarms, state)


def _mixed(made: label_shift.Baseline | None, window: Window) -> ClassMix:
    probabilities = window.rows.probabilities
    return label_shift.assess(
        made, window.sketch, probabilities, np.ones(len(probabilities)), seed=7
    )


def _mix_figures(found: ClassMix) -> Figures:
    figures: Figures = {"statistic": found.statistic, "pvalue": found.pvalue}
    for each in found.classes:
        figures[f"now {each.label}"] = each.now
        figures[f"prior {each.label}"] = each.prior.value
    return figures


def _input_figures(found: tuple[Quality, ...]) -> Figures:
    figures = {f"{each.name} now": each.now for each in found}
    return {**figures, **{f"{each.name} p": each.pvalue for each in found}}


def _accuracy_figures(found: Accuracy) -> Figures:
    return {
        "estimate": found.estimate.value,
        "lower": found.estimate.lower,
        "upper": found.estimate.upper,
        "helped": found.helped.value,
    }


def _calibration_figures(found: Calibration) -> Figures:
    return {
        "error": found.error.value,
        "lower": found.error.lower,
        "upper": found.error.upper,
        "square": found.error_square,
        "brier": found.brier.value,
        "gap": found.gap.value,
        "temperature": found.temperature,
        "accuracy": found.accuracy.value,
    }


DETECTORS = (
    _window_test(base=False),
    _window_test(base=True),
    Detector(
        name="class shift",
        baseline=lambda given: class_shift.baseline(given.rows),
        kind=class_shift.Baseline,
        assess=lambda made, window: class_shift.assess(made, window.sketch),
        figures=lambda found: {"statistic": found.statistic, "pvalue": found.pvalue},
        reasons=lambda found: _said(found.unknown),
    ),
    Detector(
        name="watch",
        baseline=lambda given: watch.baseline(given.rows, seed=7, tolerance=TOLERANCE),
        kind=watch.Baseline,
        assess=_watched,
        figures=lambda found: {"evidence": found.evidence},
        reasons=None,
        needs_embeddings=True,
    ),
    Detector(
        name="label shift",
        baseline=lambda given: label_shift.baseline(given.rows, seed=7),
        kind=label_shift.Baseline,
        assess=_mixed,
        figures=_mix_figures,
        reasons=lambda found: _said(found.refused, *(each.prior.unknown for each in found.classes)),
    ),
    Detector(
        name="calibration",
        baseline=lambda given: calibration.baseline(given.rows),
        kind=calibration.Baseline,
        assess=lambda made, window: calibration.assess(
            made, window.labelled, labels_min=LABELS_MIN
        ),
        figures=_calibration_figures,
        reasons=lambda found: _said(found.error.unknown, found.accuracy.unknown),
        needs_reference=False,
    ),
    Detector(
        name="accuracy",
        baseline=lambda given: accuracy.baseline(given.rows),
        kind=accuracy.Baseline,
        assess=lambda made, window: accuracy.assess(
            made, window.sketch, window.labelled, is_reliable=True, labels_min=LABELS_MIN
        ),
        figures=_accuracy_figures,
        reasons=lambda found: _said(found.estimate.unknown, found.helped.unknown),
    ),
    Detector(
        name="inputs",
        baseline=lambda given: inputs.baseline(given.rows),
        kind=inputs.Baseline,
        assess=lambda made, window: inputs.assess(made, window.sketch),
        figures=_input_figures,
        reasons=None,
        needs_reference=False,
    ),
)
