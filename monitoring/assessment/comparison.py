"""What a version is compared with, and why it is not, where it is not."""

from dataclasses import dataclass

from monitoring.detectors.null import LARGEST_SHARE, ROWS_MIN
from monitoring.references.reference import Measuring, Reference
from monitoring.report import ReferenceInfo, ReferenceSource
from monitoring.sketches.features import FeatureMap
from monitoring.state.references import Found
from monitoring.state.view import View
from monitoring.watched import Watched

_SECOND_US = 1_000_000
_TESTED_MIN = ROWS_MIN * LARGEST_SHARE  # rows of a reference that bear the smallest window


@dataclass(frozen=True, slots=True)
class Comparison:
    """A version's reference."""

    source: ReferenceSource
    reference: Reference | None  # None: there is none, or it cannot be used
    failure: str | None  # why it cannot
    map: FeatureMap | None = None  # of its embeddings

    @property
    def rows(self) -> int:
        """Return how many rows the reference has; 0: there is none."""
        return 0 if self.reference is None else self.reference.rows

    @property
    def note(self) -> str | None:
        """Return what people should know of it."""
        if self.failure is not None or self.reference is None:
            return self.failure
        if self.source == "pooled":
            return "borrowed from all hold-outs on the same backbone: it raises no alarm"
        if self.reference.window is None:
            return "it has no embeddings, or too few rows to compare windows with"
        if self.reference.window.rows < _TESTED_MIN:
            return f"too small for p values, which need {_TESTED_MIN} rows"
        return None


def comparison_of(view: View, watched: Watched) -> Comparison:
    """Return what a version is compared with.

    A reference with other classes than the version answers with is none that can be used.
    """
    found = view.reference(watched)
    if found is None:
        return Comparison("none", None, None)
    measure = view.measure(found.id)
    if not isinstance(measure, Measuring):
        now = view.reference(watched)  # the failure may be a new one, under other settings
        return Comparison(
            found.source, None, (now and now.failure) or "nothing could be made of it"
        )
    reference = measure.reference
    classes, known = view.totals(watched).classes, len(reference.labels)
    if found.source == "holdout" and classes not in (0, known):
        return Comparison(
            found.source, None, f"it has {known} classes, and the version answers with {classes}"
        )
    return Comparison(found.source, reference, None, measure.map)


def reference_info(found: Found | None, note: str | None) -> ReferenceInfo:
    """Return what a version is compared with, as the report has it."""
    if found is None:
        return ReferenceInfo(
            source="none", rows=0, made_s=None, backbone=None, note="publish with a hold-out"
        )
    return ReferenceInfo(
        source=found.source,
        rows=found.rows,
        made_s=found.made_us / _SECOND_US,
        backbone=found.backbone,
        note=note,
    )
