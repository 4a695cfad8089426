"""Series of the spans of recorded requests."""

from typing import Literal, get_args

from service.series.families import Families

SpanOutcome = Literal["exported", "dropped"]


class SpanSeries:
    """Spans that the collector took, and those that are lost."""

    def __init__(self, families: Families) -> None:
        self._spans = families.counter(
            "spans",
            "Spans of recorded requests; `dropped`: no room, or the collector did not take them.",
            ("outcome",),
        )
        for outcome in get_args(SpanOutcome):
            self._spans.labels(outcome)

    def spans(self, outcome: SpanOutcome, count: int) -> None:
        """Count spans that the collector took, or that are lost."""
        self._spans.labels(outcome).inc(count)
