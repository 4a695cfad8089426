"""The two ends of an ASGI request, without a server."""

import asyncio
from collections.abc import Iterable, Sequence

from starlette.types import Message

from service.api.call import Call


class FakeReceive:
    """Gives the pieces of a body, then waits until the client leaves."""

    def __init__(self, pieces: Sequence[bytes] = (b"",), *, whole: bool = True) -> None:
        self._messages: list[Message] = [
            {"type": "http.request", "body": piece, "more_body": index < len(pieces) - 1}
            for index, piece in enumerate(pieces)
        ]
        if not whole:
            self._messages[-1]["more_body"] = True
        self.left = asyncio.Event()
        self.calls = 0

    async def __call__(self) -> Message:
        self.calls += 1
        if self._messages:
            return self._messages.pop(0)
        await self.left.wait()
        return {"type": "http.disconnect"}


def call_with(headers: Iterable[tuple[bytes, bytes]] = ()) -> Call:
    """Return a call with these headers."""
    return Call(dict(headers), 100.0, "request", [])
