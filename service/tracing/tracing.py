"""Tracing of one process: who is recorded, and the notes that are taken of them.

Recording costs those who serve a few plain objects a recorded request, and a draw each other one;
see `docs/guides/tracing.md`.
"""

import logging
import os
import re
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from service.batching.traces import TracedLoad, TracedPass
from service.tracing import names
from service.tracing.context import Incoming, new_trace_id
from service.tracing.notes import LoadNote, Note, PassNote, RequestNote, Trace, WriteNote
from service.tracing.otlp import OtlpExporter
from service.tracing.sampling import Sampling
from service.tracing.sender import Sender, SpanMetrics
from service.tracing.spans import Spans, resource_of

# What says where this process runs is read, and the switch that the library obeys; where traces go
# and how many is said by our own settings alone.
_READ = frozenset({"OTEL_SERVICE_NAME", "OTEL_RESOURCE_ATTRIBUTES", "OTEL_SDK_DISABLED"})

_TENANT = re.compile("[a-z0-9][a-z0-9-]{0,62}", re.ASCII)

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Collector:
    """Where traces go, and how long the end may wait for them."""

    endpoint: str  # base URL
    headers_file: Path | None = None
    closing_s: float = 3.0


class Sink(Protocol):
    """Takes notes away."""

    def offer(self, note: Note) -> None:
        """Take a note, or drop and count it; neither blocks nor raises."""
        ...

    def close(self, timeout_s: float) -> None:
        """End within a bounded time."""
        ...


class Tracing:
    """Takes notes. Requests are for the event loop; the rest may come from any thread."""

    def __init__(self, sampling: Sampling, sink: Sink, closing_s: float = 3.0) -> None:
        self._sampling = sampling
        self._sink = sink
        self._closing_s = closing_s

    def begin(
        self,
        tenant: str,
        incoming: Incoming | None,
        started_s: float,
        *,
        trace_id: str,
        span_id: str,
    ) -> Trace | None:
        """Return what a request's notes are kept in; None: it is not recorded."""
        if not self._sampling.records(tenant, None if incoming is None else incoming.sampled):
            return None
        if not _TENANT.fullmatch(tenant):  # a tenant that cannot be: perhaps a key, in its place
            return None
        return Trace(
            trace_id,
            span_id,
            None if incoming is None else incoming.parent_id,
            b"" if incoming is None else incoming.state,
            started_s,
            {names.TENANT: tenant},
        )

    def request_ended(
        self, trace: Trace, name: str, ended_s: float, *, failed: str | None = None
    ) -> None:
        """Take down that a recorded request was answered; `failed` is our kind of error."""
        self._sink.offer(RequestNote(trace, name, ended_s, failed))

    def pass_ran(self, ran: TracedPass) -> str:
        """Take down a pass that carried recorded requests; return the id of its own trace."""
        trace_id = new_trace_id()
        self._sink.offer(PassNote(ran, trace_id))
        return trace_id

    def adapter_loaded(self, load: TracedLoad) -> None:
        """Take down a load that recorded requests waited for."""
        self._sink.offer(LoadNote(load))

    def log_written(
        self, traces: Sequence[object], started_s: float, ended_s: float, rows: int, taken: bool
    ) -> None:
        """Take down a write of the event log that held rows of recorded requests."""
        known = [trace for trace in traces if isinstance(trace, Trace)]
        self._sink.offer(WriteNote(known, started_s, ended_s, rows, taken))

    def close(self) -> None:
        """Send what was noted, within a bounded time."""
        self._sink.close(self._closing_s)


def open_tracing(
    collector: Collector, sampling: Sampling, metrics: SpanMetrics, *, version: str, bundle: str
) -> Tracing | None:
    """Return tracing that sends to a collector, and has begun to.

    None where `OTEL_SDK_DISABLED` says so: the library would make no spans.
    """
    _warn_of_unread(os.environ)
    if os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        logger.warning("traces: none, since OTEL_SDK_DISABLED is true")
        return None
    resource = resource_of(version, bundle, str(uuid.uuid4()))
    exporter = OtlpExporter(collector.endpoint, collector.headers_file)
    sender = Sender(Spans(resource, version), exporter, metrics)
    sender.start()
    return Tracing(sampling, sender, collector.closing_s)


def _warn_of_unread(environment: Mapping[str, str]) -> None:
    unread = sorted(
        name
        for name in environment
        if name.startswith("OTEL_") and name not in _READ and environment[name]
    )
    if unread:
        logger.warning(
            "traces: not read, since the settings of this service say it: %s", ", ".join(unread)
        )
