"""A gRPC call as the service sees it: the same `Call` that an HTTP request becomes."""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from starlette.types import Message

from service.api.call import Call, begin_call

if TYPE_CHECKING:
    from service.tracing.tracing import Tracing

# gRPC has no Host that a page could be made to send: browsers do not speak it without a proxy. So
# an open server, which listens on loopback alone, takes every call as one that was meant for it.
_HOST = (b"host", b"localhost")
# What would mean something to us that it does not mean here.
_LEFT_OUT = frozenset({b"host", b"origin", b"content-length", b"content-encoding"})
_MS_MAX = 10**12

Metadata = Iterable[tuple[str, str | bytes]]


def call_of_metadata(
    metadata: Metadata, left_s: float | None, tracing: "Tracing | None" = None
) -> Call:
    """Return the call of what a client sent along, and of the seconds that its deadline leaves."""
    headers = [_HOST]
    for key, value in metadata:
        name = key.lower().encode("latin-1", "replace")
        if name not in _LEFT_OUT and isinstance(value, str):
            headers.append((name, value.encode("latin-1", "replace")))
    call = begin_call({"headers": headers}, tracing)
    if left_s is not None:
        _shorten(call, left_s)
    return call


def _shorten(call: Call, left_s: float) -> None:
    """Let the deadline of gRPC hold; `x-timeout-ms` in the metadata may be shorter still."""
    left_ms = min(max(1, int(left_s * 1000)), _MS_MAX)
    given = call.headers.get(b"x-timeout-ms")
    if given is None or (given.isdigit() and int(given) > left_ms):
        call.headers[b"x-timeout-ms"] = b"%d" % left_ms


@dataclass(slots=True)
class OneMessage:
    """A call's message as ASGI's `receive` gives a body; behind it nothing more comes.

    Of a client that leaves gRPC tells by cancelling the call's task.
    """

    body: bytes | None

    async def __call__(self) -> Message:
        """Return the message, and then wait for ever."""
        if self.body is None:
            await asyncio.get_running_loop().create_future()
        body, self.body = self.body, None
        return {"type": "http.request", "body": body, "more_body": False}
