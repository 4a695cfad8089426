"""One client's connection: uvicorn's, with bounds on a request's head and on patience.

uvicorn bounds neither with httptools: a request may be as long before its body, and may take as
long, as its sender likes. What is no HTTP at all is answered as every other error.
"""

import asyncio
import os
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from service.api.problems import MALFORMED, Problem, problem_body

HEAD_BYTES_MAX = 64 << 10


class Connection(HttpToolsProtocol):
    """A connection that is closed when a head gets too long, or a request too slow.

    The timer runs only while a request has begun and not ended, so that the usual one, which
    comes in one piece, never sees it.
    """

    head_timeout_s = 20.0
    body_timeout_s = 30.0

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # whatever uvicorn passes
        super().__init__(*args, **kwargs)
        self._head_bytes = 0
        self._in_head = True  # a new connection owes a head
        self._in_body = False
        self._patience: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for the first head."""
        super().connection_made(transport)
        self._wait(self.head_timeout_s)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop waiting."""
        self._stop_waiting()
        super().connection_lost(exc)

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
            self._wait(self.body_timeout_s)

    def on_message_begin(self) -> None:
        """Note that a head has begun."""
        self._in_head = True
        self._head_bytes = 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Note that the head is there."""
        self._in_head = False
        self._in_body = True
        self._stop_waiting()
        super().on_headers_complete()

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
