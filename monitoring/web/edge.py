"""What happens to every request before and after its route: its id, who calls, its errors."""

import logging
import os
import re
from collections.abc import Sequence

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from monitoring.web.gate import Caller, Gate
from monitoring.web.problems import INTERNAL, problem_of

PROBES = frozenset({"/livez", "/readyz"})
PAGE = "/"
_CALLER = "tenantry.caller"

_PLAIN_ID = re.compile(rb"[A-Za-z0-9._~:/+=@-]{1,128}")
# https://www.w3.org/TR/trace-context/#traceparent-header
_TRACEPARENT = re.compile(rb"(?!ff)[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")

logger = logging.getLogger(__name__)


class Edge:
    """The outermost layer: here alone errors become answers."""

    def __init__(self, app: ASGIApp, gate: Gate) -> None:
        self._app = app
        self._gate = gate

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, as ASGI asks for it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = _single(scope["headers"])
        request_id = _request_id(headers)
        added = [(b"x-request-id", request_id.encode("ascii")), *_continued(headers)]
        begun = False

        async def answer(message: Message) -> None:
            nonlocal begun
            if message["type"] == "http.response.start":
                begun = True
                message["headers"] = [*message.get("headers", ()), *added]
            await send(message)

        try:
            scope[_CALLER] = self._caller(scope["path"], headers)
            await self._app(scope, receive, answer)
        except Exception as error:
            if begun:
                raise  # the server closes the connection, so that the answer looks cut off
            await _tell(error, request_id, answer)

    def _caller(self, path: str, headers: dict[bytes, bytes]) -> Caller | None:
        if path in PROBES:
            return None
        # The page has no figure in it: its script asks for them, with the key that its reader
        # gives. So people can open it in a browser, which sends no key by itself. An open sidecar
        # shows it to its own machine alone, as everything else.
        if path == PAGE and self._gate.keyed:
            return None
        return self._gate.admit(headers)


def caller_of(scope: Scope) -> Caller:
    """Return whom the edge let in."""
    caller = scope[_CALLER]
    assert isinstance(caller, Caller), "the edge admits a caller before any guarded route runs"
    return caller


async def _tell(error: Exception, request_id: str, send: Send) -> None:
    problem = problem_of(error)
    if problem.kind is INTERNAL:
        logger.error("the request %s failed", request_id, exc_info=error)
    body = problem.body(request_id)
    headers = [
        (b"content-type", b"application/problem+json"),
        (b"content-length", b"%d" % len(body)),
        (b"cache-control", b"no-store"),
        *problem.headers,
    ]
    await send({"type": "http.response.start", "status": problem.kind.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _single(pairs: Sequence[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
    """Return the headers by name, a repeated one as its list (RFC 9110, 5.3).

    So a second `Authorization` or `Host` makes a value that nothing takes.
    """
    headers: dict[bytes, bytes] = {}
    for name, value in pairs:
        headers[name] = headers[name] + b", " + value if name in headers else value
    return headers


def _request_id(headers: dict[bytes, bytes]) -> str:
    given = headers.get(b"x-request-id", b"")
    return given.decode("ascii") if _PLAIN_ID.fullmatch(given) else os.urandom(12).hex()


def _continued(headers: dict[bytes, bytes]) -> list[tuple[bytes, bytes]]:
    """Return the header that continues the caller's trace, if it has one."""
    match = _TRACEPARENT.fullmatch(headers.get(b"traceparent", b""))
    if match is None or not match[1].strip(b"0") or not match[2].strip(b"0"):
        return []
    sampled = b"01" if int(match[3], 16) & 1 else b"00"
    span = os.urandom(8).hex().encode("ascii")
    return [(b"traceparent", b"-".join((b"00", match[1], span, sampled)))]
