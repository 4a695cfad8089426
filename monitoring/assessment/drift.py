"""Drift of a window: methods (a) and its second channel, as the report tells them."""

from dataclasses import dataclass, replace

from monitoring.detectors import class_shift, window_test
from monitoring.detectors.figures import figure, unknown
from monitoring.references.reference import Reference
from monitoring.report import Drift, Figure
from monitoring.sketches.sketch import Sketch
from service.measures import Estimate

_OTHER_MAP = "the window's embeddings were measured for another reference"


@dataclass(frozen=True, slots=True)
class Found:
    """What the detectors found in a window."""

    distance: window_test.Assessment
    classes: class_shift.Assessment


def assessed(
    reference: Reference | None, window: Sketch, tolerance: float, *, base: bool = False
) -> Found:
    """Assess a window; with `base`, the bare backbone's embeddings of it, and no classes."""
    shift = reference.class_shift if reference is not None and not base else None
    return Found(
        _distance(reference, window, tolerance, base=base), class_shift.assess(shift, window)
    )


def _distance(
    reference: Reference | None, window: Sketch, tolerance: float, *, base: bool
) -> window_test.Assessment:
    """Assess the distance, which is unknown for features of another map.

    That is so for a while after a reference came late, or was made anew.
    """
    baseline = None
    if reference is not None:
        baseline = reference.base_window if base else reference.window
    map_id = window.base_map_id if base else window.map_id
    if baseline is None or map_id in (None, baseline.map_id):
        return window_test.assess(baseline, window, tolerance=tolerance, base=base)
    nothing = window_test.assess(None, window, tolerance=tolerance, base=base)
    return replace(
        nothing,
        effect_unknown=_OTHER_MAP,
        reweighted_unknown=_OTHER_MAP,
        content_unknown=_OTHER_MAP,
        pvalue_unknown=_OTHER_MAP,
        reading=f"unknown: {_OTHER_MAP}",
    )


def whose(adapters: Estimate, inputs: Estimate) -> str | None:
    """Say whether the inputs moved, or only what the adapter makes of them; None: not known.

    `adapters` is the effect by the adapter's embeddings, `inputs` by the bare backbone's, each in
    units of its own tolerance. Effects grow with the square of the share of rows that moved, so a
    quarter is half as far.
    """
    if not adapters.is_defined or not inputs.is_defined or adapters.lower <= 1:
        return None
    if inputs.lower > 1:
        return "the bare backbone sees other inputs too"
    if inputs.upper < adapters.lower / 4:
        return "the bare backbone sees little of it: what the adapter makes of its inputs changed"
    return None


def told(found: Found, names: tuple[str, ...]) -> Drift:
    """Return an assessment as the report has it."""
    distance, classes = found.distance, found.classes
    worst = classes.worst
    return Drift(
        statistic=_known(distance.statistic),
        tolerance=_known(distance.tolerance),
        effect=_figure(distance.effect, distance.effect_unknown, distance.rows),
        reweighted=_figure(distance.reweighted, distance.reweighted_unknown, distance.rows),
        content=_figure(distance.content, distance.content_unknown, distance.rows),
        pvalue=distance.pvalue,
        pvalue_unknown=distance.pvalue_unknown,
        class_statistic=_known(classes.statistic),
        class_pvalue=classes.pvalue,
        class_worst=names[worst] if worst is not None and worst < len(names) else None,
        reading=distance.reading,
    )


def _figure(estimate: Estimate, reason: str | None, rows: int) -> Figure:
    return figure(estimate, rows) if reason is None else unknown(reason, rows)


def _known(value: float) -> float | None:
    return None if value != value else float(value)
