"""A receiver of OTLP over HTTP on the loopback address: it parses what it gets and keeps it."""

import gzip
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import cast

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span as WireSpan
from opentelemetry.proto.trace.v1.trace_pb2 import Status

PATIENCE_S = 20.0
_PROTOBUF = "application/x-protobuf"

Value = str | bool | int | float


@dataclass(frozen=True)
class Received:
    """One span as it came."""

    name: str
    trace_id: str
    span_id: str
    parent_id: str  # empty of a root
    state: str
    kind: str  # INTERNAL, SERVER, ...
    started_ns: int
    ended_ns: int
    attributes: dict[str, Value]
    links: tuple[tuple[str, str], ...]  # trace and span ids
    failed: bool
    resource: dict[str, Value]
    scope: tuple[str, str]  # name and version
    schema_url: str


@dataclass
class OtlpReceiver:
    """What came, and how it answers."""

    port: int
    status: int = 200
    rejected: int = 0  # spans of each batch that it says it does not take
    spans: list[Received] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    connections: int = 0
    hold: threading.Event = field(default_factory=threading.Event)  # cleared: it does not answer
    arrived: threading.Condition = field(default_factory=threading.Condition)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def await_spans(self, enough: Callable[[list[Received]], bool]) -> list[Received]:
        """Return the spans once there are enough."""
        with self.arrived:
            came = self.arrived.wait_for(lambda: enough(self.spans), PATIENCE_S)
            told = list(self.spans)
        assert came, f"only these came: {[(one.name, one.attributes) for one in told]}"
        return told

    def of_trace(self, trace_id: str) -> list[Received]:
        """Return the spans of a trace, in order of their start."""
        with self.arrived:
            found = [one for one in self.spans if one.trace_id == trace_id]
        return sorted(found, key=lambda one: one.started_ns)

    def take(self, headers: dict[str, str], body: bytes) -> None:
        """Keep the spans of one request."""
        if headers.get("content-encoding") == "gzip":
            body = gzip.decompress(body)
        request = ExportTraceServiceRequest.FromString(body)
        found = [
            _received(span, _values(batch.resource.attributes), scoped.scope, scoped.schema_url)
            for batch in request.resource_spans
            for scoped in batch.scope_spans
            for span in scoped.spans
        ]
        with self.arrived:
            self.bodies.append(body)
            self.headers.append(headers)
            if self.status == 200:
                self.spans += found
            self.arrived.notify_all()


@contextmanager
def otlp_receiver(port: int = 0) -> Iterator[OtlpReceiver]:
    """Listen until the block ends."""
    server = _Server(("127.0.0.1", port), _Handler)
    receiver = OtlpReceiver(server.server_address[1])
    receiver.hold.set()
    server.receiver = receiver
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield receiver
    finally:
        receiver.hold.set()
        server.shutdown()
        server.server_close()
        thread.join(5.0)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    receiver: OtlpReceiver


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def setup(self) -> None:
        super().setup()
        self.receiver = cast(_Server, self.server).receiver
        self.receiver.connections += 1

    def do_POST(self) -> None:
        assert self.path == "/v1/traces", self.path
        body = self.rfile.read(int(self.headers["content-length"]))
        headers = {name.lower(): value for name, value in self.headers.items()}
        assert headers["content-type"] == _PROTOBUF
        self.receiver.take(headers, body)
        self.receiver.hold.wait(PATIENCE_S)
        answer = ExportTraceServiceResponse()
        if self.receiver.rejected:
            answer.partial_success.rejected_spans = self.receiver.rejected
        told = answer.SerializeToString()
        self.send_response(self.receiver.status)
        self.send_header("content-type", _PROTOBUF)
        self.send_header("content-length", str(len(told)))
        self.end_headers()
        self.wfile.write(told)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
        del format, args


def _received(
    span: WireSpan, resource: dict[str, Value], scope: object, schema_url: str
) -> Received:
    return Received(
        name=span.name,
        trace_id=span.trace_id.hex(),
        span_id=span.span_id.hex(),
        parent_id=span.parent_span_id.hex(),
        state=span.trace_state,
        kind=WireSpan.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_"),
        started_ns=span.start_time_unix_nano,
        ended_ns=span.end_time_unix_nano,
        attributes=_values(span.attributes),
        links=tuple((link.trace_id.hex(), link.span_id.hex()) for link in span.links),
        failed=span.status.code == Status.STATUS_CODE_ERROR,
        resource=resource,
        scope=(str(getattr(scope, "name", "")), str(getattr(scope, "version", ""))),
        schema_url=schema_url,
    )


def _values(pairs: "list[KeyValue] | object") -> dict[str, Value]:
    return {pair.key: _value(pair.value) for pair in cast("list[KeyValue]", pairs)}


def _value(value: AnyValue) -> Value:
    kind = value.WhichOneof("value")
    assert kind in ("string_value", "bool_value", "int_value", "double_value"), kind
    return cast(Value, getattr(value, kind))
