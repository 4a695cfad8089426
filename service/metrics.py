"""Every series that the service exports, in one class that takes its registry.

Label sets are closed: routes and refusal codes are declared before the first request, tenants are
admitted up to a bound and counted under `_other` beyond it. Counters start at zero, so that a rate
over them is right from the first scrape. Each thing is counted once, where it leaves the service.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal, Protocol

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info
from prometheus_client.metrics import MetricWrapperBase

OTHER_TENANTS = "_other"
STATUS_CLASSES = ("2xx", "3xx", "4xx", "5xx", "left")
UPLOAD_OUTCOMES = ("created", "known", "refused", "failed")

UploadOutcome = Literal["created", "known", "refused", "failed"]

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_LOAD_SECONDS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.5, 2.5)
_TEXTS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
_TOKENS = (16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384)
_ADAPTERS = (1, 2, 4, 8, 16, 32, 64, 128)
_RATIOS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 1.0)


class Load(Protocol):
    """How busy the batcher is, as gauges read it at each scrape."""

    @property
    def queue_texts(self) -> int:
        """Return the number of texts that wait."""
        ...

    @property
    def running_texts(self) -> int:
        """Return the number of texts in the pass that runs."""
        ...

    @property
    def slots(self) -> int:
        """Return the number of slots of the bank."""
        ...

    @property
    def slots_used(self) -> int:
        """Return the number of slots that hold an adapter."""
        ...


@dataclass(frozen=True, slots=True)
class RouteSeries:
    """The series of one route, resolved once so that a request costs no look-up."""

    requests: dict[str, Counter]  # by status class
    seconds: Histogram

    def answered(self, status: int, seconds: float) -> None:
        """Count one request; status 0 is a client that left before its answer."""
        self.requests["left" if status == 0 else f"{status // 100}xx"].inc()
        self.seconds.observe(seconds)


class Metrics:
    """Every series of the service."""

    def __init__(self, registry: CollectorRegistry, tenant_series_max: int = 200) -> None:
        self.registry = registry
        self._tenant_series_max = tenant_series_max
        self._tenants: dict[str, Counter] = {}
        self._declared: list[MetricWrapperBase] = []
        self._edge()
        self._batches()
        self._bank()
        for outcome in UPLOAD_OUTCOMES:
            self._uploads.labels(outcome)
        self._other = self._texts.labels(OTHER_TENANTS)

    def _edge(self) -> None:
        self._requests = self._counter(
            "requests",
            "HTTP requests by route and status class; `left`: the client went before its answer.",
            ("route", "status"),
        )
        self._request_seconds = self._histogram(
            "request_seconds", "Time from the request's head to its answer.", _SECONDS, ("route",)
        )
        self._refused = self._counter(
            "refused", "Requests that ended in an error, by the problem's code.", ("reason",)
        )
        self._texts = self._counter("texts", "Texts answered, by tenant.", ("tenant",))
        self._tenants_dropped = self._counter(
            "tenant_series_dropped",
            "Requests counted under `_other`, all tenant series being taken.",
        )
        self._truncations = self._counter("truncations", "Texts cut to the length limit.")
        self._queue_seconds = self._histogram(
            "queue_seconds", "Time that an answered request's texts waited for a batch.", _SECONDS
        )
        self._uploads = self._counter(
            "uploads",
            "Uploads by outcome; `known`: the same content was there, `failed`: an error of ours.",
            ("outcome",),
        )
        self._info = Info(
            "tenantry_process",
            "What this process serves: bundle digest, provider and precision.",
            registry=self.registry,
        )
        self._declared.append(self._info)

    def _batches(self) -> None:
        self._batch_seconds = self._histogram(
            "batch_seconds", "Time of one forward pass, heads included.", _SECONDS
        )
        self._batch_texts = self._histogram("batch_texts", "Texts in one forward pass.", _TEXTS)
        self._batch_tokens = self._histogram(
            "batch_tokens", "Tokens in one forward pass, padding not counted.", _TOKENS
        )
        self._batch_fill = self._histogram(
            "batch_fill_ratio", "Tokens in one forward pass over the places it had.", _RATIOS
        )
        self._batch_adapters = self._histogram(
            "batch_adapters", "Different adapters in one forward pass.", _ADAPTERS
        )
        self._quarantines = self._counter(
            "quarantines", "Adapters put out of service for non-finite outputs."
        )

    def _bank(self) -> None:
        self._queue_texts = self._gauge("queue_texts", "Texts that wait for a forward pass.")
        self._running_texts = self._gauge("running_texts", "Texts in the pass that runs now.")
        self._slots = self._gauge("bank_slots", "Slots of the adapter bank.")
        self._slots_used = self._gauge("bank_slots_used", "Slots that hold an adapter.")
        self._load_seconds = self._histogram(
            "bank_load_seconds", "Time to read an adapter and write its slot.", _LOAD_SECONDS
        )
        self._loads = self._counter("bank_loads", "Adapters written into a slot.")
        self._evictions = self._counter("bank_evictions", "Adapters that lost their slot.")

    def _counter(self, name: str, text: str, labels: Iterable[str] = ()) -> Counter:
        counter = Counter(f"tenantry_{name}", text, tuple(labels), registry=self.registry)
        self._declared.append(counter)
        return counter

    def _gauge(self, name: str, text: str) -> Gauge:
        gauge = Gauge(f"tenantry_{name}", text, registry=self.registry)
        self._declared.append(gauge)
        return gauge

    def _histogram(
        self, name: str, text: str, buckets: Iterable[float], labels: Iterable[str] = ()
    ) -> Histogram:
        histogram = Histogram(
            f"tenantry_{name}", text, tuple(labels), buckets=tuple(buckets), registry=self.registry
        )
        self._declared.append(histogram)
        return histogram

    def declare_reasons(self, codes: Iterable[str]) -> None:
        """Start the counters of all refusal codes at zero."""
        for code in codes:
            self._refused.labels(code)

    def route(self, template: str) -> RouteSeries:
        """Return the series of a route, started at zero."""
        counters = {status: self._requests.labels(template, status) for status in STATUS_CLASSES}
        return RouteSeries(counters, self._request_seconds.labels(template))

    def watch(self, load: Callable[[], Load]) -> None:
        """Let the gauges read the batcher's load at each scrape."""
        self._queue_texts.set_function(lambda: load().queue_texts)
        self._running_texts.set_function(lambda: load().running_texts)
        self._slots.set_function(lambda: load().slots)
        self._slots_used.set_function(lambda: load().slots_used)

    def serves(self, bundle: str, provider: str, precision: str) -> None:
        """Say what this process serves."""
        self._info.info({"bundle": bundle, "provider": provider, "precision": precision})

    def refused(self, code: str) -> None:
        """Count a request that ended in an error."""
        self._refused.labels(code).inc()

    def answered(self, tenant: str, texts: int, truncated: int, queue_s: float) -> None:
        """Count one answered request's texts."""
        self._of_tenant(tenant).inc(texts)
        if truncated:
            self._truncations.inc(truncated)
        self._queue_seconds.observe(queue_s)

    def _of_tenant(self, tenant: str) -> Counter:
        counter = self._tenants.get(tenant)
        if counter is not None:
            return counter
        if len(self._tenants) < self._tenant_series_max:
            counter = self._tenants[tenant] = self._texts.labels(tenant)
            return counter
        self._tenants_dropped.inc()
        return self._other

    def uploaded(self, outcome: UploadOutcome) -> None:
        """Count one upload."""
        self._uploads.labels(outcome).inc()

    def batch_ran(
        self, texts: int, tokens: int, capacity: int, adapters: int, seconds: float
    ) -> None:
        """Observe one forward pass; `capacity` counts its places for tokens, filled or not."""
        self._batch_seconds.observe(seconds)
        self._batch_texts.observe(texts)
        self._batch_tokens.observe(tokens)
        self._batch_fill.observe(tokens / capacity)
        self._batch_adapters.observe(adapters)

    def adapter_loaded(self, seconds: float) -> None:
        """Count an adapter that was read and written into a slot."""
        self._loads.inc()
        self._load_seconds.observe(seconds)

    def adapter_evicted(self) -> None:
        """Count an adapter that lost its slot to another."""
        self._evictions.inc()

    def quarantined(self) -> None:
        """Count an adapter that was put out of service."""
        self._quarantines.inc()

    def declared(self) -> list[tuple[str, str, tuple[str, ...], str]]:
        """Return name as exported, type, labels and meaning of every series."""
        rows = []
        for metric in self._declared:
            [family] = metric.describe()
            suffix = {"counter": "_total", "info": "_info"}.get(family.type, "")
            labels = tuple(metric._labelnames)  # noqa: SLF001 - the client has no other way
            rows.append((family.name + suffix, family.type, labels, family.documentation))
        return rows


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
