"""One request as the service sees it, beside what ASGI says of it."""

import os
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from starlette.types import Scope

from service.api.callers import Caller
from service.errors import MalformedRequest

_SCOPE_KEY = "tenantry.call"
_PLAIN_ID = re.compile(rb"[A-Za-z0-9._~:/+=@-]{1,128}")
# https://www.w3.org/TR/trace-context/#traceparent-header; later versions may append fields.
_TRACEPARENT = re.compile(rb"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
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
    caller: Caller | None = None
    status: int = 0  # of the answer, once it has begun
    body_bytes: int = 0  # held for this request
    body_ended: bool = False  # nothing of the body is left to arrive
    log: dict[str, object] = field(default_factory=dict)  # what routes add to the log line

    @property
    def admitted(self) -> Caller:
        """Return the caller."""
        assert self.caller is not None, "the edge admits a caller before any route runs"
        return self.caller

    @property
    def actor(self) -> str:
        """Return how the audit trail names the caller."""
        return self.admitted.actor

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


def begin_call(scope: Scope) -> Call:
    """Return the call of a request that has just arrived, and leave it in its scope."""
    headers = _single(scope["headers"])
    given_id = headers.get(b"x-request-id")
    if given_id is not None and _PLAIN_ID.fullmatch(given_id):
        request_id = given_id.decode("ascii")
    else:
        request_id = os.urandom(12).hex()
    answer_headers = [(b"x-request-id", request_id.encode("ascii"))]
    call = Call(headers, time.monotonic(), request_id, answer_headers)
    traceparent = headers.get(b"traceparent")
    if traceparent is not None:
        _continue_trace(call, traceparent)
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


def _continue_trace(call: Call, traceparent: bytes) -> None:
    match = _TRACEPARENT.fullmatch(traceparent)
    if match is None:
        return
    version, trace, parent, flags, more = match.groups()
    if version == b"ff" or (version == b"00" and more is not None):
        return
    if not trace.strip(b"0") or not parent.strip(b"0"):
        return
    call.trace_id = trace.decode("ascii")
    span = os.urandom(8).hex().encode("ascii")
    sampled = b"01" if int(flags, 16) & 1 else b"00"
    call.answer_headers.append((b"traceparent", b"-".join((b"00", trace, span, sampled))))
