"""One request as the service sees it, beside what ASGI says of it."""

import os
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from starlette.types import Scope

from service.api.callers import Caller
from service.errors import MalformedRequest
from service.tracing.context import (
    Incoming,
    new_span_id,
    new_trace_id,
    parse_traceparent,
    traceparent_of,
)
from service.tracing.names import REQUEST_ID

if TYPE_CHECKING:  # most processes trace nothing, and import no SDK for it
    from service.tracing.notes import Trace
    from service.tracing.tracing import Tracing

_SCOPE_KEY = "tenantry.call"
_PLAIN_ID = re.compile(rb"[A-Za-z0-9._~:/+=@-]{1,128}")
_TRACEPARENT = b"traceparent"
_MILLISECONDS = re.compile(rb"[0-9]{1,15}")


class ClientLeft(Exception):
    """The client closed the connection before its answer; nobody is left to tell."""


@dataclass(slots=True)
class Call:
    """One request; the edge makes it, the routes read it."""

    headers: dict[bytes, bytes]
    started_s: float  # monotonic
    request_id: str
    answer_headers: list[tuple[bytes, bytes]]
    trace_id: str | None = None
    span_id: str = ""  # of the request's own span; with a trace alone
    incoming: Incoming | None = None  # the caller's span
    tracing: "Tracing | None" = None  # None: nothing is recorded
    trace: "Trace | None" = None  # what is noted of this request, where it is recorded
    caller: Caller | None = None
    status: int = 0  # of the answer, once it has begun
    body_bytes: int = 0  # held for this request
    body_ended: bool = False  # nothing of the body is left to arrive
    reached: tuple[str, str] | None = None  # the tenant whose adapter it asks, and its class
    failure: int = 0  # status of the problem that ended it, in our words; a wire may say another
    texts: int = 0  # that were answered
    error: Exception | None = None  # a mistake of ours, for the log
    log: dict[str, object] = field(default_factory=dict)  # what routes add to the log line
    _drawn: bool = False  # whether it was decided to record it, or not to

    @property
    def admitted(self) -> Caller:
        """Return the caller."""
        assert self.caller is not None, "the edge admits a caller before any route runs"
        return self.caller

    @property
    def actor(self) -> str:
        """Return how the audit trail names the caller."""
        return self.admitted.actor

    def record(self, tenant: str) -> None:
        """Decide whether the request is recorded, now that it is known whose it is; once."""
        if self.tracing is None or self._drawn:
            return
        self._drawn = True
        assert self.trace_id is not None, "who traces gives every request a trace"
        self.trace = self.tracing.begin(
            tenant,
            self.incoming,
            self.started_s,
            trace_id=self.trace_id,
            span_id=self.span_id,
        )
        if self.trace is not None:
            self.trace.attributes[REQUEST_ID] = self.request_id
            told = (_TRACEPARENT, traceparent_of(self.trace_id, self.span_id, sampled=True))
            self.answer_headers[:] = [
                told if name == _TRACEPARENT else (name, value)
                for name, value in self.answer_headers
            ]

    def deadline_s(self, timeout_s_max: float) -> float:
        """Return when this request's answer is too late, on the monotonic clock.

        `X-Timeout-Ms` can shorten the service's own limit and not extend it; raises
        `MalformedRequest` where it is not a positive whole number.
        """
        given = self.headers.get(b"x-timeout-ms")
        if given is None:
            return self.started_s + timeout_s_max
        if not _MILLISECONDS.fullmatch(given) or int(given) == 0:
            raise MalformedRequest("X-Timeout-Ms must be a positive whole number of milliseconds")
        return self.started_s + min(int(given) / 1000, timeout_s_max)


def begin_call(scope: Scope, tracing: "Tracing | None" = None) -> Call:
    """Return the call of a request that has just arrived, and leave it in its scope."""
    headers = _single(scope["headers"])
    given_id = headers.get(b"x-request-id")
    if given_id is not None and _PLAIN_ID.fullmatch(given_id):
        request_id = given_id.decode("ascii")
    else:
        request_id = os.urandom(12).hex()
    answer_headers = [(b"x-request-id", request_id.encode("ascii"))]
    call = Call(headers, time.monotonic(), request_id, answer_headers, tracing=tracing)
    traceparent = headers.get(_TRACEPARENT)
    if traceparent is not None:
        call.incoming = parse_traceparent(traceparent, headers.get(b"tracestate", b""))
    if call.incoming is not None or tracing is not None:
        _give_trace(call)
    scope[_SCOPE_KEY] = call
    return call


def call_of(scope: Scope) -> Call:
    """Return the call that the edge left in the scope."""
    call: Call = scope[_SCOPE_KEY]
    return call


def _single(pairs: Sequence[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
    """Return the headers by name, a repeated one as its list (RFC 9110, 5.3).

    So a second `Authorization`, `Host` or `If-Match` makes a value that nothing takes, where the
    first or the last of them would be taken by one of two servers in a row and not by the other.
    """
    headers = dict(pairs)
    if len(headers) == len(pairs):
        return headers
    headers.clear()
    for name, value in pairs:
        headers[name] = headers[name] + b", " + value if name in headers else value
    return headers


def _give_trace(call: Call) -> None:
    """Continue the caller's trace or begin one, with a span id of our own.

    As long as nothing is recorded here, the answer repeats whether the caller records.
    """
    incoming = call.incoming
    call.trace_id = new_trace_id() if incoming is None else incoming.trace_id
    call.span_id = new_span_id()
    sampled = incoming is not None and incoming.sampled and call.tracing is None
    told = traceparent_of(call.trace_id, call.span_id, sampled=sampled)
    call.answer_headers.append((_TRACEPARENT, told))
