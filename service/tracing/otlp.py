"""OTLP over HTTP: one request a batch of spans, in protobuf, with an end to every wait.

The library's own exporter reads headers, certificates and limits from variables without a way not
to, bounds single reads and not a whole export, and takes a receiver that refuses a part of the
spans for one that took them all. The bytes are the library's all the same.
"""

import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Timer
from typing import Any, Protocol

import httpx
from google.protobuf.message import DecodeError
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from opentelemetry.sdk.trace import ReadableSpan

from service.tracing.endpoint import PATH
from service.tracing.headers import InvalidHeaders, read_headers

# https://opentelemetry.io/docs/specs/otlp/#failures-1: what may be better a little later.
_AGAIN = frozenset({429, 502, 503, 504})
_TRIES = 3
_PAUSE_S = 0.5  # twice as long before each further try
_ANSWER_BYTES_MAX = 65_536
_GRACE_S = 0.2  # for the timeout of a read, which says better what was wrong
_PROTOBUF = "application/x-protobuf"


@dataclass(frozen=True, slots=True)
class Exported:
    """What became of spans that were sent."""

    taken: int
    why: str | None = None  # why others were not


class Exporter(Protocol):
    """Sends spans."""

    def export(self, spans: Sequence[ReadableSpan]) -> Exported:
        """Send spans; return within a bounded time, and never raise."""
        ...

    def hurry(self, until_s: float) -> None:
        """Let no export go on beyond a moment of the monotonic clock; from any thread."""
        ...

    def close(self) -> None:
        """Close the connection."""
        ...


class OtlpExporter:
    """Sends spans to one collector; for one thread, `hurry` apart."""

    def __init__(self, endpoint: str, headers_file: Path | None, timeout_s: float = 5.0) -> None:
        """`timeout_s` bounds an export with all of its tries."""
        self._url = endpoint + PATH
        self._headers_file = headers_file
        self._timeout_s = timeout_s
        self._until_s: float | None = None  # when everything ends
        self._socket: socket.socket | None = None
        # Variables that name a proxy would send spans, and the headers' secrets, elsewhere.
        self._client = httpx.Client(follow_redirects=False, limits=_ONE, trust_env=False)

    def export(self, spans: Sequence[ReadableSpan]) -> Exported:
        """Send spans, again where it may help."""
        body = encode_spans(spans).SerializeToString()
        ends_s = time.monotonic() + self._timeout_s
        pause_s = _PAUSE_S
        for _ in range(_TRIES - 1):
            again, exported = self._try(body, len(spans), ends_s)
            if not again or self._left_s(ends_s) <= pause_s:
                return exported
            time.sleep(pause_s)
            pause_s *= 2
        return self._try(body, len(spans), ends_s)[1]

    def hurry(self, until_s: float) -> None:
        """Let no export go on beyond a moment."""
        self._until_s = until_s

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def _left_s(self, ends_s: float) -> float:
        until_s = self._until_s
        return (ends_s if until_s is None else min(ends_s, until_s)) - time.monotonic()

    def _try(self, body: bytes, spans: int, ends_s: float) -> tuple[bool, Exported]:
        """Send once; return whether to try again, and what came of it."""
        left_s = self._left_s(ends_s)
        if left_s <= 0:
            return False, Exported(0, "it did not answer in time")
        try:
            headers = {} if self._headers_file is None else read_headers(self._headers_file)
            headers["content-type"] = _PROTOBUF
            with (
                self._cut_after(left_s),
                self._client.stream(
                    "POST",
                    self._url,
                    content=body,
                    headers=headers,
                    timeout=left_s,
                    extensions={"trace": self._connected},
                ) as answer,
            ):
                return self._heard(answer, spans, ends_s)
        except InvalidHeaders as error:
            return False, Exported(0, str(error))
        except httpx.HTTPError as error:  # whose words may hold what was sent
            return True, Exported(0, f"it cannot be reached ({type(error).__name__})")

    @contextmanager
    def _cut_after(self, left_s: float) -> Iterator[None]:
        """End an exchange in time: a timeout bounds each read, and not how many there are."""
        timer = Timer(left_s + _GRACE_S, self._cut)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def _connected(self, event: str, told: dict[str, Any]) -> None:
        """Keep the socket of a new connection; httpcore tells of each step."""
        if event in _CONNECTED:
            self._socket = told["return_value"].get_extra_info("socket")

    def _cut(self) -> None:
        if self._socket is not None:
            with suppress(OSError):  # it may be closed already
                self._socket.shutdown(socket.SHUT_RDWR)

    def _heard(self, answer: httpx.Response, spans: int, ends_s: float) -> tuple[bool, Exported]:
        told = b""
        for piece in answer.iter_raw():
            told += piece
            if len(told) > _ANSWER_BYTES_MAX or self._left_s(ends_s) <= 0:
                break
        if not answer.is_success:
            return answer.status_code in _AGAIN, Exported(0, f"it answered {answer.status_code}")
        refused = _refused(told) if answer.headers.get("content-type") == _PROTOBUF else 0
        taken = max(0, spans - refused)
        return False, Exported(taken, f"it refused {refused} spans" if refused else None)


# https://www.encode.io/httpcore/extensions/#trace
_CONNECTED = frozenset({"connection.connect_tcp.complete", "connection.start_tls.complete"})
_ONE = httpx.Limits(max_connections=1, max_keepalive_connections=1)


def _refused(body: bytes) -> int:
    """Return how many spans a receiver that took the rest did not take."""
    try:
        told = ExportTraceServiceResponse.FromString(body)
    except DecodeError:
        return 0
    return max(0, told.partial_success.rejected_spans)
