"""Spans: what notes become. For one thread alone, which is not one of those that serve.

Ids were told to callers and times have passed before a span is made, and whatever is noted is
recorded. So none of what the library's tracer guards is left to guard (a span that lives, its
limits, its sampler), and spans are made as what a tracer ends with, at a fifth of its cost. All
that they say is bounded where it is noted.
"""

import time
from collections.abc import Sequence

from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.semconv.attributes.error_attributes import ERROR_TYPE
from opentelemetry.semconv.attributes.service_attributes import (
    SERVICE_INSTANCE_ID,
    SERVICE_NAME,
    SERVICE_VERSION,
)
from opentelemetry.trace import (
    Link,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    TraceState,
)

from service.batching.traces import TracedPart, TracedPass
from service.tracing import names
from service.tracing.context import new_span_id, parse_tracestate
from service.tracing.notes import (
    LINKS_MAX,
    Attributes,
    LoadNote,
    Note,
    PassNote,
    RequestNote,
    Trace,
    WriteNote,
)

_RECORDED = TraceFlags(TraceFlags.SAMPLED)
_UNSET, _ERROR = Status(StatusCode.UNSET), Status(StatusCode.ERROR)
_CLOCK_STEP_NS = 50_000_000  # beyond which the wall clock was set, and not merely read late


def resource_of(version: str, bundle: str, instance: str) -> Resource:
    """Return what every span says of this process.

    `OTEL_SERVICE_NAME` and `OTEL_RESOURCE_ATTRIBUTES` may add to it, and go before.
    """
    own = {
        SERVICE_NAME: "tenantry",
        SERVICE_VERSION: version,
        SERVICE_INSTANCE_ID: instance,
        names.BUNDLE: bundle,
    }
    return Resource.create(own, names.SCHEMA_URL).merge(OTELResourceDetector().detect())


class Spans:
    """Makes spans of notes."""

    def __init__(self, resource: Resource, version: str) -> None:
        self._made: list[ReadableSpan] = []
        self._resource = resource
        self._scope = InstrumentationScope("tenantry", version, names.SCHEMA_URL)
        self._clocks = _Clocks()

    def make(self, notes: Sequence[Note]) -> list[ReadableSpan]:
        """Return the spans of the notes, ended all of them."""
        self._clocks.settle()
        for note in notes:
            match note:
                case RequestNote():
                    self._request(note)
                case PassNote():
                    self._pass(note)
                case LoadNote():
                    self._load(note)
                case WriteNote():
                    self._write(note)
        made = list(self._made)
        self._made.clear()
        return made

    def _request(self, note: RequestNote) -> None:
        trace = note.trace
        own = _context_of(trace)
        parent = None
        if trace.parent_id is not None:
            parent = SpanContext(
                own.trace_id, int(trace.parent_id, 16), True, _RECORDED, own.trace_state
            )
        self._span(
            note.name,
            own,
            parent,
            (trace.started_s, note.ended_s),
            trace.attributes,
            kind=SpanKind.SERVER,
            failed=note.failed,
        )
        for stage in trace.stages:
            self._child(stage.name, own, (stage.started_s, stage.ended_s), stage.attributes)

    def _pass(self, note: PassNote) -> None:
        """Make the batch's span, a trace of its own, and the two of each request in it.

        Links lead from the batch to its requests, and from each request to the batch.
        """
        ran = note.ran
        parts = [(part, _context_of(_trace_of(part))) for part in ran.parts[:LINKS_MAX]]
        batch = SpanContext(int(note.trace_id, 16), int(new_span_id(), 16), False, _RECORDED)
        self._span(
            names.BATCH,
            batch,
            None,
            (ran.started_s, ran.ended_s),
            _batch_attributes(ran),
            links=[Link(request) for _, request in parts],
            failed=ran.failed,
        )
        back = Link(batch)
        for part, request in parts:
            if part.queued_s is not None:
                self._child(names.QUEUE, request, (part.queued_s, ran.started_s), {}, links=[back])
            self._child(
                names.COMPUTE,
                request,
                (ran.started_s, ran.ended_s),
                {names.INPUTS: part.texts},
                links=[back],
                failed=ran.failed,
            )

    def _load(self, note: LoadNote) -> None:
        load = note.load
        attributes: Attributes = {
            names.DIGEST: load.digest,
            names.LOAD_SECONDS: load.ended_s - load.started_s,
        }
        for trace, queued_s in load.waiting[:LINKS_MAX]:
            assert isinstance(trace, Trace), "a job's trace is the one that it was given"
            # It may have begun for somebody else.
            times = (max(load.started_s, min(queued_s, load.ended_s)), load.ended_s)
            self._child(names.LOAD, _context_of(trace), times, attributes, failed=load.failed)

    def _write(self, note: WriteNote) -> None:
        times = (note.started_s, note.ended_s)
        failed = None if note.taken else "unwritable"
        for trace in note.traces[:LINKS_MAX]:
            attributes = {names.LOG_ROWS: note.rows}
            self._child(names.WRITE, _context_of(trace), times, attributes, failed=failed)

    def _child(
        self,
        name: str,
        parent: SpanContext,
        times: tuple[float, float],
        attributes: Attributes,
        links: Sequence[Link] = (),
        failed: str | None = None,
    ) -> None:
        own = SpanContext(
            parent.trace_id, int(new_span_id(), 16), False, _RECORDED, parent.trace_state
        )
        self._span(name, own, parent, times, attributes, links=links, failed=failed)

    def _span(
        self,
        name: str,
        own: SpanContext,
        parent: SpanContext | None,
        times: tuple[float, float],
        attributes: Attributes,
        *,
        kind: SpanKind = SpanKind.INTERNAL,
        links: Sequence[Link] = (),
        failed: str | None = None,
    ) -> None:
        started_ns, ended_ns = map(self._clocks.wall_ns, times)
        self._made.append(
            ReadableSpan(
                name,
                own,
                parent,
                self._resource,
                {**attributes, ERROR_TYPE: failed} if failed is not None else attributes,
                links=links,
                kind=kind,
                status=_UNSET if failed is None else _ERROR,
                start_time=started_ns,
                end_time=max(started_ns, ended_ns),
                instrumentation_scope=self._scope,
            )
        )


def _batch_attributes(ran: TracedPass) -> Attributes:
    return {
        names.BATCH_TEXTS: ran.texts,
        names.BATCH_TOKENS: ran.tokens,
        names.BATCH_FILL: ran.tokens / ran.capacity,
        names.BATCH_ADAPTERS: ran.adapters,
        names.BATCH_TRACED: len(ran.parts),
        names.BATCH_PROVIDER: ran.provider,
        names.BATCH_PRECISION: ran.precision,
    }


def _trace_of(part: TracedPart) -> Trace:
    assert isinstance(part.trace, Trace), "a job's trace is the one that it was given"
    return part.trace


def _context_of(trace: Trace) -> SpanContext:
    state = TraceState(parse_tracestate(trace.state)) if trace.state else TraceState()
    return SpanContext(int(trace.trace_id, 16), int(trace.span_id, 16), False, _RECORDED, state)


class _Clocks:
    """Tells wall time for monotonic time, and the same for the same as long as no clock is set."""

    def __init__(self) -> None:
        self._apart_ns = _apart_ns()

    def settle(self) -> None:
        """Take over that the wall clock was set."""
        apart_ns = _apart_ns()
        if abs(apart_ns - self._apart_ns) > _CLOCK_STEP_NS:
            self._apart_ns = apart_ns

    def wall_ns(self, monotonic_s: float) -> int:
        """Return the nanoseconds since 1970."""
        return int(monotonic_s * 1e9) + self._apart_ns


def _apart_ns() -> int:
    return time.time_ns() - time.monotonic_ns()
