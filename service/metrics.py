"""Every series that the service exports, in one class that takes its registry.

Label sets are closed: routes and refusal codes are declared before the first request, tenants are
admitted up to a bound and counted under `_other` beyond it. Counters start at zero, so that a rate
over them is right from the first scrape. Each thing is counted once, where it leaves the service.
What belongs together is declared and counted in one file of `service/series`.
"""

from prometheus_client import CollectorRegistry

from service.registry.records import DEFAULTS
from service.series.background import BackgroundSeries
from service.series.batcher import BatcherSeries
from service.series.canaries import CanarySeries
from service.series.events import EventSeries
from service.series.families import Families
from service.series.histograms import exemplar
from service.series.objectives import Objectives
from service.series.requests import RequestSeries
from service.series.spans import SpanSeries
from service.series.state import StateSeries
from service.series.tenants import TenantSeries

__all__ = ["Metrics", "Objectives", "metrics_reference"]


class Metrics(
    RequestSeries,
    BatcherSeries,
    TenantSeries,
    BackgroundSeries,
    EventSeries,
    CanarySeries,
    StateSeries,
    SpanSeries,
):
    """Every series of the service."""

    def __init__(
        self,
        registry: CollectorRegistry,
        tenant_series_max: int = 200,
        objectives: Objectives | None = None,
    ) -> None:
        self.registry = registry
        self.objectives = objectives or Objectives()
        self._families = families = Families(registry)
        # In the order in which they are exported, and stand in the reference.
        RequestSeries.__init__(self, families)
        BatcherSeries.__init__(self, families)
        TenantSeries.__init__(
            self,
            families,
            tenant_series_max,
            self.objectives,
            texts=self._texts,
            dropped=self._tenants_dropped,
        )
        BackgroundSeries.__init__(self, families)
        EventSeries.__init__(self, families)
        CanarySeries.__init__(self, families)
        StateSeries.__init__(self, families)
        SpanSeries.__init__(self, families)
        self.declare_classes((DEFAULTS.kind, *self.objectives.by_class))

    def answered(
        self,
        tenant: str,
        texts: int,
        truncated: int,
        queue_s: float,
        tokens: int = 0,
        compute_s: float = 0.0,
        trace_id: str | None = None,
    ) -> None:
        """Count one answered request's texts; `trace_id` is of its trace, where one is recorded."""
        series = self._of_tenant(tenant)
        series.texts.inc(texts)
        series.tokens.inc(tokens)
        series.seconds.inc(compute_s)
        if truncated:
            self._truncations.inc(truncated)
        self._queue_seconds.observe(queue_s, exemplar(trace_id))

    def declared(self) -> list[tuple[str, str, tuple[str, ...], str]]:
        """Return name as exported, type, labels and meaning of every series."""
        return self._families.declared()


def metrics_reference() -> str:
    """Return the reference page of the metrics, in Markdown."""
    lines = [
        "# Metrics",
        "",
        "`GET /metrics`, in Prometheus' text format or OpenMetrics by `Accept`.",
        "",
        "| series | type | labels | meaning |",
        "| --- | --- | --- | --- |",
    ]
    for name, kind, labels, text in Metrics(CollectorRegistry()).declared():
        names = ", ".join(f"`{label}`" for label in labels)
        lines.append(f"| `{name}` | {kind} | {names} | {text} |")
    return "\n".join(lines) + "\n"
