"""One client's connection: uvicorn's, with bounds on heads, on patience and on their number.

uvicorn bounds none of them with httptools: a request may be as long before its body, and may take
as long, as its sender likes, an answer may wait to be read for ever, and there are as many
connections as there are descriptors, so that none is left for files. What is no HTTP at all is
answered as every other error.
"""

import asyncio
import os
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from service.api.problems import MALFORMED, Problem, problem_body

HEAD_BYTES_MAX = 64 << 10
SURPLUS = "tenantry.surplus"  # in the scope of a request on a connection beyond the limit

_SURPLUS_TIMEOUT_S = 2.0
# A body that was waited for so many times as long as for one piece must have come at this pace.
_PATIENCE_TIMES = 10
_PACE_BYTES_A_S = 1024


class Connection(HttpToolsProtocol):
    """A connection that is closed when a head gets too long, or its client too slow.

    Slow to send, or to take in what it is answered. The timers run only while a request has begun
    and not ended, or an answer does not leave, so that the usual one, which comes and goes in one
    piece, never sees them.

    Beyond `connections_max` a connection is good for one request, which must come soon and is
    answered 503 unless it is a probe; `surplus_max` of them are, the others are closed at once.
    """

    head_timeout_s = 20.0
    body_timeout_s = 30.0
    connections_max = 1 << 20
    surplus_max = 64

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # whatever uvicorn passes
        super().__init__(*args, **kwargs)
        self._head_bytes = 0
        self._in_head = True  # a new connection owes a head
        self._in_body = False
        self._body_bytes = 0
        self._body_waited_s = 0.0
        self._waits_since_s = 0.0
        self._patience: asyncio.TimerHandle | None = None
        self._taking: asyncio.TimerHandle | None = None  # patience with who takes an answer in
        self._under_way: RequestResponseCycle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for the first head."""
        super().connection_made(transport)
        surplus = len(self.connections) - self.connections_max
        if surplus > self.surplus_max:
            transport.abort()
        elif surplus > 0:
            self.app = _last(self.app)
            self._wait(min(self.head_timeout_s, _SURPLUS_TIMEOUT_S))
        else:
            self._wait(self.head_timeout_s)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop waiting."""
        self._stop_waiting()
        self._stop_watching()
        if self._under_way is not None:
            # uvicorn tells the request that came last; of several it may be another one.
            self._under_way.disconnected = True
            self._under_way.message_event.set()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """Begin to watch whether the client takes in its answer."""
        super().pause_writing()
        if self._taking is None:
            self._watch()

    def resume_writing(self) -> None:
        """Stop watching."""
        self._stop_watching()
        super().resume_writing()

    def timeout_keep_alive_handler(self) -> None:
        """Close an idle connection, even where the end of its last answer is not taken in."""
        super().timeout_keep_alive_handler()
        if self._taking is None and self.transport.get_write_buffer_size():
            self._watch()

    def data_received(self, data: bytes) -> None:
        """Take bytes, and wait for more of them where a request is not complete."""
        super().data_received(data)
        if self.transport.is_closing():
            return
        if self._in_head:
            self._head_bytes += len(data)
            if self._head_bytes > HEAD_BYTES_MAX:
                self.send_400_response(f"the head of the request exceeds {HEAD_BYTES_MAX} bytes")
            elif self._patience is None:
                self._wait(self.head_timeout_s)
        elif self._in_body:
            self._stop_waiting()
            self._await_body(len(data))

    def on_message_begin(self) -> None:
        """Note that a head has begun."""
        self._in_head = True
        self._head_bytes = 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Note that the head is there."""
        self._in_head = False
        self._in_body = True
        self._body_bytes = 0
        self._body_waited_s = 0.0
        self._waits_since_s = self.loop.time()
        self._stop_waiting()
        super().on_headers_complete()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._under_way = cycle
        super()._start_asgi_task(cycle, app)

    def on_message_complete(self) -> None:
        """Note that the request is there."""
        self._in_body = False
        self._stop_waiting()
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        """Answer what is no request, and close."""
        request_id = os.urandom(12).hex()
        body = problem_body(Problem(MALFORMED, msg), request_id)
        head = (
            "HTTP/1.1 400 Bad Request\r\ncontent-type: application/problem+json\r\n"
            f"content-length: {len(body)}\r\nx-request-id: {request_id}\r\n"
            "connection: close\r\n\r\n"
        )
        self.transport.write(head.encode("ascii") + body)
        self.transport.close()

    def _await_body(self, arrived: int) -> None:
        """Wait for the next piece, unless too little came in all the time that was waited."""
        now_s = self.loop.time()
        if not self.flow.read_paused:  # while it is we who do not read, nobody waits
            self._body_waited_s += now_s - self._waits_since_s
        self._waits_since_s = now_s
        self._body_bytes += arrived
        if (
            self._body_waited_s > _PATIENCE_TIMES * self.body_timeout_s
            and self._body_bytes < _PACE_BYTES_A_S * self._body_waited_s
        ):
            self.transport.close()
        else:
            self._wait(self.body_timeout_s)

    def _watch(self) -> None:
        left = self.transport.get_write_buffer_size()
        self._taking = self.loop.call_later(self.body_timeout_s, self._look, left)

    def _look(self, left_before: int) -> None:
        """Go on where the client took in some of its answer; else end the connection.

        It is not closed but aborted: to close it is to wait until all is written.
        """
        if self.transport.get_write_buffer_size() < left_before:
            self._watch()
        else:
            self.transport.abort()

    def _stop_watching(self) -> None:
        if self._taking is not None:
            self._taking.cancel()
            self._taking = None

    def _wait(self, seconds: float) -> None:
        self._patience = self.loop.call_later(seconds, self._lose_patience, seconds)

    def _stop_waiting(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None

    def _lose_patience(self, seconds: float) -> None:
        self._patience = None
        if self.flow.read_paused:  # it is we who do not read
            self._wait(seconds)
        elif not self.transport.is_closing():
            self.transport.close()


def _last(app: ASGIApp) -> ASGIApp:
    """Return an application whose requests are the last on their connections, and know it."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        async def closing(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), (b"connection", b"close")]
            await send(message)

        scope[SURPLUS] = True
        await app(scope, receive, closing)

    return answer
