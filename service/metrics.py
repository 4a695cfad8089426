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

SHADOW_OUTCOMES = ("answered", "dropped", "failed")
LOG_KINDS = ("reference", "prediction", "label", "rollout", "quarantine", "undecodable")
DROP_REASONS = ("memory", "disk", "invalid")
LABEL_OUTCOMES = ("accepted", "refused")

UploadOutcome = Literal["created", "known", "refused", "failed"]
ShadowOutcome = Literal["answered", "dropped", "failed"]
DropReason = Literal["memory", "disk", "invalid"]
LogKind = Literal["reference", "prediction", "label", "rollout", "quarantine", "undecodable"]

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


@dataclass(frozen=True, slots=True)
class TenantSeries:
    """The series of one tenant, resolved once."""

    texts: Counter
    tokens: Counter
    seconds: Counter
    limited: Counter
    undecodable: Counter


class Metrics:
    """Every series of the service."""

    def __init__(self, registry: CollectorRegistry, tenant_series_max: int = 200) -> None:
        self.registry = registry
        self._tenant_series_max = tenant_series_max
        self._tenants: dict[str, TenantSeries] = {}
        self._declared: list[MetricWrapperBase] = []
        self._edge()
        self._batches()
        self._bank()
        self._tenancy()
        self._log()
        for outcome in UPLOAD_OUTCOMES:
            self._uploads.labels(outcome)
        self._other = self._series_of(OTHER_TENANTS)

    def _edge(self) -> None:
        self._requests = self._counter(
            "requests",
            "Requests, gRPC's too, by route and status class; `left`: gone before the answer.",
            ("route", "status"),
        )
        self._request_seconds = self._histogram(
            "request_seconds", "Time from the request's head to its answer.", _SECONDS, ("route",)
        )
        self._refused = self._counter(
            "refused", "Requests that ended in an error, by the problem's code.", ("reason",)
        )
        self._texts = self._counter("texts", "Texts, or images, answered, by tenant.", ("tenant",))
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

    def _tenancy(self) -> None:
        self._tokens = self._counter("tokens", "Tokens of the answered texts.", ("tenant",))
        self._compute_seconds = self._counter(
            "compute_seconds", "A tenant's part of the forward passes' time.", ("tenant",)
        )
        self._limited = self._counter(
            "limited", "Requests refused for a limit of the tenant's own (429).", ("tenant",)
        )
        self._undecodable = self._counter(
            "images_undecodable",
            "Requests refused for an image that could not be decoded, by tenant.",
            ("tenant",),
        )
        self._shadow_texts = self._counter(
            "shadow_texts",
            "Texts for shadow versions; `dropped`: for want of room, `failed`: by their adapter.",
            ("outcome",),
        )
        self._base_embeddings = self._counter(
            "base_embeddings",
            "Texts that the bare backbone was to answer beside an adapter, by what came of it.",
            ("outcome",),
        )
        for outcome in SHADOW_OUTCOMES:
            self._shadow_texts.labels(outcome)
            self._base_embeddings.labels(outcome)
        self._labels = self._counter(
            "feedback_labels", "Labels that came back, accepted or refused.", ("outcome",)
        )
        for outcome in LABEL_OUTCOMES:
            self._labels.labels(outcome)
        self._refreshes = self._counter(
            "registry_refreshes", "Changes of other processes that this one took over."
        )
        self._registry_failures = self._counter(
            "registry_poll_failures", "Times that the registry could not be asked for changes."
        )
        self._usage_failures = self._counter(
            "usage_flush_failures", "Times that usage could not be written down; it is kept."
        )

    def _log(self) -> None:
        self._events_written = self._counter(
            "events_written", "Events that are in the log and on disk.", ("kind",)
        )
        self._events_dropped = self._counter(
            "events_dropped",
            "Events that are not in the log: no room, or a mistake of ours (`invalid`).",
            ("reason",),
        )
        for kind in LOG_KINDS:
            self._events_written.labels(kind)
        for reason in DROP_REASONS:
            self._events_dropped.labels(reason)
        self._log_failing = self._gauge(
            "event_log_failing", "1 while the log cannot be written, the disk being full, say."
        )
        self._log_bytes = self._gauge("event_log_bytes", "Size of the log.")
        self._log_unread = self._counter(
            "event_log_unread_segments_deleted",
            "Segments that retention deleted before a reader had read them.",
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

    def answered(
        self,
        tenant: str,
        texts: int,
        truncated: int,
        queue_s: float,
        tokens: int = 0,
        compute_s: float = 0.0,
    ) -> None:
        """Count one answered request's texts."""
        series = self._of_tenant(tenant)
        series.texts.inc(texts)
        series.tokens.inc(tokens)
        series.seconds.inc(compute_s)
        if truncated:
            self._truncations.inc(truncated)
        self._queue_seconds.observe(queue_s)

    def limited(self, tenant: str) -> None:
        """Count a request that was refused for a limit of its tenant."""
        self._of_tenant(tenant).limited.inc()

    def undecodable(self, tenant: str) -> None:
        """Count a request that was refused for an image that could not be decoded."""
        self._of_tenant(tenant).undecodable.inc()

    def _of_tenant(self, tenant: str) -> TenantSeries:
        series = self._tenants.get(tenant)
        if series is not None:
            return series
        if len(self._tenants) < self._tenant_series_max:
            series = self._tenants[tenant] = self._series_of(tenant)
            return series
        self._tenants_dropped.inc()
        return self._other

    def _series_of(self, tenant: str) -> TenantSeries:
        return TenantSeries(
            self._texts.labels(tenant),
            self._tokens.labels(tenant),
            self._compute_seconds.labels(tenant),
            self._limited.labels(tenant),
            self._undecodable.labels(tenant),
        )

    def shadowed(self, texts: int, outcome: ShadowOutcome) -> None:
        """Count texts that a shadow version answered, or did not."""
        self._shadow_texts.labels(outcome).inc(texts)

    def base_embedded(self, texts: int, outcome: ShadowOutcome) -> None:
        """Count texts that the bare backbone answered for the log, or did not."""
        self._base_embeddings.labels(outcome).inc(texts)

    def labelled(self, accepted: int, refused: int) -> None:
        """Count labels that came back."""
        self._labels.labels("accepted").inc(accepted)
        self._labels.labels("refused").inc(refused)

    def refreshed(self) -> None:
        """Count a change of another process that was taken over."""
        self._refreshes.inc()

    def poll_failed(self) -> None:
        """Count a time that the registry could not be asked."""
        self._registry_failures.inc()

    def usage_failed(self) -> None:
        """Count a time that usage could not be written down."""
        self._usage_failures.inc()

    def events_written(self, kind: LogKind, count: int) -> None:
        """Count events that are on disk."""
        self._events_written.labels(kind).inc(count)

    def events_dropped(self, reason: DropReason, count: int) -> None:
        """Count events that are lost."""
        self._events_dropped.labels(reason).inc(count)

    def log_state(self, *, failing: bool, size_bytes: int) -> None:
        """Say how the log is."""
        self._log_failing.set(failing)
        self._log_bytes.set(size_bytes)

    def unread_deleted(self, segments: int) -> None:
        """Count segments that retention deleted before they were read."""
        self._log_unread.inc(segments)

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
