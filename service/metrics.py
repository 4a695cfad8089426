"""Every series that the service exports, in one class that takes its registry.

Label sets are closed: routes and refusal codes are declared before the first request, tenants are
admitted up to a bound and counted under `_other` beyond it. Counters start at zero, so that a rate
over them is right from the first scrape. Each thing is counted once, where it leaves the service.
"""

import os
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.registry import Collector

from service.registry.records import DEFAULTS

OTHER_TENANTS = "_other"
STATUS_CLASSES = ("2xx", "3xx", "4xx", "5xx", "left")
UPLOAD_OUTCOMES = ("created", "known", "refused", "failed")

ANSWER_OUTCOMES: tuple["AnswerOutcome", ...] = ("ok", "slow", "failed")
CLASSES_MAX = 64  # with series of their own; tenants of later ones are counted under `_other`
OTHER_CLASSES = "_other"

SHADOW_OUTCOMES = ("answered", "dropped", "failed")
LOG_KINDS = (
    "reference",
    "prediction",
    "label",
    "rollout",
    "quarantine",
    "undecodable",
    "failure",
)
DROP_REASONS = ("memory", "disk", "invalid")
LABEL_OUTCOMES = ("accepted", "refused")
ROLLBACK_REASONS = ("accuracy", "failures", "latency", "quarantine")
SPAN_OUTCOMES = ("exported", "dropped")

RollbackReason = Literal["accuracy", "failures", "latency", "quarantine"]
UploadOutcome = Literal["created", "known", "refused", "failed"]
AnswerOutcome = Literal["ok", "slow", "failed"]
ShadowOutcome = Literal["answered", "dropped", "failed"]
SpanOutcome = Literal["exported", "dropped"]
DropReason = Literal["memory", "disk", "invalid"]
LogKind = Literal[
    "reference", "prediction", "label", "rollout", "quarantine", "undecodable", "failure"
]

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_WRITE_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0)
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
    def queue_tokens(self) -> int:
        """Return the number of their tokens."""
        ...

    @property
    def quarantined(self) -> tuple[str, ...]:
        """Return the digests of the adapters that are out of service."""
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
class Objectives:
    """Within how many seconds an answer is in time, by the class of its tenant."""

    default_s: float = 0.5
    by_class: Mapping[str, float] = field(default_factory=dict)

    def of(self, kind: str) -> float:
        """Return the objective of a class."""
        return self.by_class.get(kind, self.default_s)


class Reading(Collector):
    """A gauge that is read at each scrape, and absent where nobody knows what it would say."""

    def __init__(self, name: str, text: str, read: Callable[[], float | None]) -> None:
        self._name = name
        self._text = text
        self.read = read

    def describe(self) -> list[GaugeMetricFamily]:
        """Return the gauge without a value."""
        return [GaugeMetricFamily(self._name, self._text)]

    def collect(self) -> list[GaugeMetricFamily]:
        """Return the gauge, without a sample where there is no value."""
        return [GaugeMetricFamily(self._name, self._text, self.read())]


class Standing:
    """A gauge whose series come and go: what is not shown any more is not exported any more."""

    def __init__(self, gauge: Gauge) -> None:
        self._gauge = gauge
        self._shown: set[tuple[str, ...]] = set()

    def show(self, values: Mapping[tuple[str, ...], float]) -> None:
        """Export these values, by their labels, and no others."""
        for labels, value in values.items():
            self._gauge.labels(*labels).set(value)
        for labels in self._shown - values.keys():
            self._gauge.remove(*labels)
        self._shown = set(values)


@dataclass(frozen=True, slots=True)
class RouteSeries:
    """The series of one route, resolved once so that a request costs no look-up."""

    requests: dict[str, Counter]  # by status class
    seconds: Histogram

    def answered(self, status: int, seconds: float, trace_id: str | None = None) -> None:
        """Count one request; status 0 is a client that left before its answer.

        `trace_id` is of its trace, where that is recorded.
        """
        self.requests["left" if status == 0 else f"{status // 100}xx"].inc()
        self.seconds.observe(seconds, _exemplar(trace_id))


@dataclass(frozen=True, slots=True)
class TenantSeries:
    """The series of one tenant, resolved once."""

    texts: Counter
    tokens: Counter
    seconds: Counter
    limited: Counter
    undecodable: Counter
    # by class, and then by outcome
    answers: dict[str, dict[AnswerOutcome, Counter]] = field(default_factory=dict)


class Metrics:
    """Every series of the service."""

    def __init__(
        self,
        registry: CollectorRegistry,
        tenant_series_max: int = 200,
        objectives: Objectives | None = None,
    ) -> None:
        self.registry = registry
        self.objectives = objectives or Objectives()
        self._tenant_series_max = tenant_series_max
        self._classes: set[str] = set()
        self._tenants: dict[str, TenantSeries] = {}
        self._declared: list[MetricWrapperBase | Reading] = []
        self._edge()
        self._batches()
        self._bank()
        self._tenancy()
        self._log()
        self._canaries()
        self._state()
        self._spans = self._counter(
            "spans",
            "Spans of recorded requests; `dropped`: no room, or the collector did not take them.",
            ("outcome",),
        )
        for outcome in SPAN_OUTCOMES:
            self._spans.labels(outcome)
        for outcome in UPLOAD_OUTCOMES:
            self._uploads.labels(outcome)
        self._other = self._series_of(OTHER_TENANTS)
        for kind in (DEFAULTS.kind, *self.objectives.by_class):
            self._class_of(kind)

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
        self._prepare_seconds = self._histogram(
            "prepare_seconds",
            "Time to tokenise a request's texts, or to decode its images.",
            _SECONDS,
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
        self._answers = self._counter(
            "tenant_answers",
            "Requests for a tenant's adapter: `ok` answered within the latency objective of its"
            " class, `slow` answered later, `failed` ended in 5xx. Not counted: 4xx, clients that"
            " left, and 504 where the caller's own limit was shorter than the objective.",
            ("tenant", "class", "outcome"),
        )
        self._objective = Gauge(
            "tenantry_latency_objective_seconds",
            "Within which an answer is `ok`, by the class of its tenant.",
            ("class",),
            registry=self.registry,
        )
        self._declared.append(self._objective)
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

    def _canaries(self) -> None:
        version = ("tenant", "adapter", "version")

        def standing(name: str, text: str, labels: tuple[str, ...]) -> Standing:
            return Standing(self._gauge(f"canary_{name}", text, (*version, *labels)))

        self.canary_rows = standing(
            "rows",
            "Rows of a canary's trial, by version; `failed`: requests that ended in a 5xx.",
            ("arm", "kind"),
        )
        self.canary_difference = standing(
            "difference_ratio",
            "Canary less live: accuracy, or the share of requests that failed; 95 %, at all times.",
            ("measure", "bound"),
        )
        self.canary_latency = standing(
            "latency_difference_seconds",
            "Canary less live: the 95th percentile of a request's seconds; 95 %, of one look.",
            ("bound",),
        )
        self.canary_evidence = standing(
            "evidence_log10",
            "That the canary is worse; proof at -log10(TENANTRY_ROLLBACK_ALPHA).",
            ("measure",),
        )
        self.canary_info = standing(
            "info", "1, and what is known of a canary's trial.", ("live", "percent", "verdict")
        )
        self._rollbacks = self._counter(
            "automatic_rollbacks",
            "Rollouts that the controller of this process changed, by why.",
            ("reason",),
        )
        for reason in ROLLBACK_REASONS:
            self._rollbacks.labels(reason)

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
        self._log_write_seconds = self._histogram(
            "event_log_write_seconds",
            "Time of one write to the log and its sync, failed ones too.",
            _WRITE_SECONDS,
        )
        self._log_unread = self._counter(
            "event_log_unread_segments_deleted",
            "Segments that retention deleted before a reader had read them.",
        )

    def _state(self) -> None:
        self._state_free = self._reading(
            "state_free_bytes", "Room that is left on the file system of the state."
        )
        self._state_size = self._reading(
            "state_size_bytes", "Size of the file system of the state."
        )
        self._registry_age = self._reading(
            "registry_age_seconds", "Time since the registry last answered its poll."
        )

    def _bank(self) -> None:
        self._queue_texts = self._gauge("queue_texts", "Texts that wait for a forward pass.")
        self._queue_texts_max = self._reading(
            "queue_texts_max", "Texts that may wait; beyond that requests get 503."
        )
        self._queue_tokens = self._gauge("queue_tokens", "Tokens that wait for a forward pass.")
        self._queue_tokens_max = self._reading(
            "queue_tokens_max", "Tokens that may wait; beyond that requests get 503."
        )
        self._quarantined_adapters = self._gauge(
            "quarantined_adapters",
            "Live versions and canaries that are out of service for non-finite outputs.",
        )
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

    def _reading(self, name: str, text: str) -> Reading:
        """Return a gauge that is absent until something sets its `read`."""
        reading = Reading(f"tenantry_{name}", text, lambda: None)
        self.registry.register(reading)
        self._declared.append(reading)
        return reading

    def _gauge(self, name: str, text: str, labels: Iterable[str] = ()) -> Gauge:
        gauge = Gauge(f"tenantry_{name}", text, tuple(labels), registry=self.registry)
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

    def watch(
        self, load: Callable[[], Load], answering: Callable[[Collection[str]], int] = len
    ) -> None:
        """Let the gauges read the batcher's load at each scrape.

        `answering` counts those of the quarantined digests that a rollout sends requests to.
        """
        self._queue_texts.set_function(lambda: load().queue_texts)
        self._queue_tokens.set_function(lambda: load().queue_tokens)
        self._quarantined_adapters.set_function(lambda: answering(load().quarantined))
        self._running_texts.set_function(lambda: load().running_texts)
        self._slots.set_function(lambda: load().slots)
        self._slots_used.set_function(lambda: load().slots_used)

    def limits(self, queue_texts_max: int, queue_tokens_max: int) -> None:
        """Say how much may wait."""
        self._queue_texts_max.read = lambda: queue_texts_max
        self._queue_tokens_max.read = lambda: queue_tokens_max

    def watch_state(self, folder: Path) -> None:
        """Let the gauges read the file system of the state at each scrape."""
        self._state_free.read = lambda: _room(folder, free=True)
        self._state_size.read = lambda: _room(folder, free=False)

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
        trace_id: str | None = None,
    ) -> None:
        """Count one answered request's texts; `trace_id` is of its trace, where one is recorded."""
        series = self._of_tenant(tenant)
        series.texts.inc(texts)
        series.tokens.inc(tokens)
        series.seconds.inc(compute_s)
        if truncated:
            self._truncations.inc(truncated)
        self._queue_seconds.observe(queue_s, _exemplar(trace_id))

    def prepared(self, seconds: float) -> None:
        """Observe how long a request's inputs took to become what a pass takes."""
        self._prepare_seconds.observe(seconds)

    def tenant_answered(self, tenant: str, kind: str, seconds: float, *, failed: bool) -> None:
        """Count one request for an adapter of a tenant, whose class is `kind`, once it is over.

        `seconds` is the time from its head to its answer. A tenant whose class changed goes on
        under the new one.
        """
        series = self._of_tenant(tenant, dropped=failed)  # other answers were told of already
        counters = self._answers_of(series, tenant, kind)
        if failed:
            counters["failed"].inc()
        else:
            counters["ok" if seconds <= self.objectives.of(kind) else "slow"].inc()

    def tenants_stand(self, kinds: Mapping[str, str]) -> None:
        """Start the counters of answers at zero for tenants, by their classes.

        So a rate over them is right from a tenant's first request. Where there are more tenants
        than series of their own, they go to those who ask first.
        """
        if len(kinds) <= self._tenant_series_max:
            for tenant, kind in kinds.items():
                self._answers_of(self._of_tenant(tenant, dropped=False), tenant, kind)

    def _answers_of(
        self, series: TenantSeries, tenant: str, kind: str
    ) -> dict[AnswerOutcome, Counter]:
        label = self._class_of(kind)
        counters = series.answers.get(label)
        if counters is None:
            name = OTHER_TENANTS if series is self._other else tenant
            counters = {o: self._answers.labels(name, label, o) for o in ANSWER_OUTCOMES}
            series.answers[label] = counters
        return counters

    def _class_of(self, kind: str) -> str:
        """Return the label of a class, whose objective is exported from then on."""
        if kind not in self._classes:
            configured = kind in self.objectives.by_class
            if not configured and len(self._classes) >= CLASSES_MAX:
                kind = OTHER_CLASSES
            self._classes.add(kind)
            self._objective.labels(kind).set(self.objectives.of(kind))
        return kind

    def limited(self, tenant: str) -> None:
        """Count a request that was refused for a limit of its tenant."""
        self._of_tenant(tenant).limited.inc()

    def undecodable(self, tenant: str) -> None:
        """Count a request that was refused for an image that could not be decoded."""
        self._of_tenant(tenant).undecodable.inc()

    def _of_tenant(self, tenant: str, *, dropped: bool = True) -> TenantSeries:
        series = self._tenants.get(tenant)
        if series is not None:
            return series
        if len(self._tenants) < self._tenant_series_max:
            series = self._tenants[tenant] = self._series_of(tenant)
            return series
        if dropped:
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

    def admits(self, tenant: str) -> bool:
        """Return whether a tenant has series of its own; it has them from then on."""
        return self._of_tenant(tenant, dropped=False) is not self._other

    def rolled_back(self, reason: RollbackReason) -> None:
        """Count a rollout that was changed without a person."""
        self._rollbacks.labels(reason).inc()

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

    def polled(self) -> None:
        """Take down that the registry answered its poll just now."""
        polled_s = time.monotonic()
        self._registry_age.read = lambda: time.monotonic() - polled_s

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

    def log_wrote(self, seconds: float) -> None:
        """Observe one write to the log and its sync."""
        self._log_write_seconds.observe(seconds)

    def unread_deleted(self, segments: int) -> None:
        """Count segments that retention deleted before they were read."""
        self._log_unread.inc(segments)

    def spans(self, outcome: SpanOutcome, count: int) -> None:
        """Count spans that the collector took, or that are lost."""
        self._spans.labels(outcome).inc(count)

    def uploaded(self, outcome: UploadOutcome) -> None:
        """Count one upload."""
        self._uploads.labels(outcome).inc()

    def batch_ran(
        self,
        texts: int,
        tokens: int,
        capacity: int,
        adapters: int,
        seconds: float,
        trace_id: str | None = None,
    ) -> None:
        """Observe one forward pass; `capacity` counts its places for tokens, filled or not.

        `trace_id` is of the trace that tells of it, where one is recorded.
        """
        self._batch_seconds.observe(seconds, _exemplar(trace_id))
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
            # The client has no other way.
            labels = () if isinstance(metric, Reading) else tuple(metric._labelnames)  # noqa: SLF001
            rows.append((family.name + suffix, family.type, labels, family.documentation))
        return rows


def _exemplar(trace_id: str | None) -> dict[str, str] | None:
    return None if trace_id is None else {"trace_id": trace_id}


def _room(folder: Path, *, free: bool) -> float | None:
    """Return the bytes of a folder's file system, or those left; None where it does not tell."""
    try:
        found = os.statvfs(folder)
    except OSError:
        return None
    return float((found.f_bavail if free else found.f_blocks) * found.f_frsize)


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
