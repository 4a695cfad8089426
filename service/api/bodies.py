"""Request bodies, read within limits: of one body, and of all together."""

import asyncio
import zlib
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from typing import Protocol

from starlette.types import Receive

from service.api.call import Call, ClientLeft
from service.errors import (
    BodyTooLarge,
    MalformedRequest,
    QueueFull,
    TenantLimited,
    WrongMediaType,
)

_PIECE_BYTES = 1 << 20
_LINGER_BYTES = 16 << 20
_LINGER_S = 2.0
_RETRY_S = 1.0  # nobody knows when a body is let go of
_GZIP_BITS, _ZLIB_BITS, _RAW_BITS = 31, 15, -15


class _Inflater(Protocol):
    """What `zlib.decompressobj` returns."""

    @property
    def eof(self) -> bool: ...
    @property
    def unconsumed_tail(self) -> bytes: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int, /) -> bytes: ...


class Bodies:
    """Reads the bodies of one process.

    `bytes_max` bounds the memory of all bodies that are held at once; a request holds its own
    until `release`. Beside its first body a tenant may hold no more than there is room left, so
    that one that sends much and slowly leaves half of it to others. How long a body may take, its
    connection knows.
    """

    def __init__(self, bytes_max: int) -> None:
        self._bytes_max = bytes_max
        self.held_bytes = 0
        self._held_by: Counter[str] = Counter()

    async def read(self, call: Call, receive: Receive, limit: int) -> bytes:
        """Return the whole body, decompressed; at most `limit` bytes, before and after."""
        encoded = b"content-encoding" in call.headers
        _check_length(call, limit)
        body, more = await self._next(call, receive)
        if not more and not encoded:
            self._hold(call, len(body), limit)
            return body
        pieces = [
            piece async for piece in self._decoded(call, receive, limit, (body, more), hold=True)
        ]
        return b"".join(pieces)

    async def stream(self, call: Call, receive: Receive, limit: int) -> AsyncIterator[bytes]:
        """Yield the body in pieces of at most 1 MiB, decompressed; nothing is held."""
        _check_length(call, limit)
        first = await self._next(call, receive)
        async for piece in self._decoded(call, receive, limit, first, hold=False):
            yield piece

    def release(self, call: Call) -> None:
        """Give back what a request held."""
        if not call.body_bytes:
            return
        self.held_bytes -= call.body_bytes
        tenant = _tenant_of(call)
        if tenant is not None:
            self._held_by[tenant] -= call.body_bytes
            if not self._held_by[tenant]:
                del self._held_by[tenant]
        call.body_bytes = 0

    async def _decoded(
        self, call: Call, receive: Receive, limit: int, first: tuple[bytes, bool], *, hold: bool
    ) -> AsyncIterator[bytes]:
        decoder = _decoder_of(call)
        body, more = first
        arrived = decoded = 0
        while True:
            arrived += len(body)
            _check_size(arrived, limit)
            for piece in decoder.feed(body):
                decoded += len(piece)
                _check_size(decoded, limit)
                if hold:
                    self._hold(call, len(piece), limit)
                yield piece
            if not more:
                break
            body, more = await self._next(call, receive)
        decoder.finish()

    async def linger(self, call: Call, receive: Receive) -> None:
        """Take in what is left of a refused body, for a while, and drop it.

        A connection that is closed while bytes are on their way is reset, and the client may
        never see why it was refused.
        """
        left = _LINGER_BYTES
        with suppress(TimeoutError, ClientLeft):
            async with asyncio.timeout(_LINGER_S):
                while not call.body_ended and left > 0:
                    body, _ = await self._next(call, receive)
                    left -= len(body)

    async def _next(self, call: Call, receive: Receive) -> tuple[bytes, bool]:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientLeft
        more: bool = message.get("more_body", False)
        call.body_ended = not more
        return message.get("body", b""), more

    def _hold(self, call: Call, count: int, limit: int) -> None:
        _check_size(call.body_bytes + count, limit)
        left = self._bytes_max - self.held_bytes - count
        if left < 0:
            raise QueueFull("the server holds as many request bodies as it may; try again")
        tenant = _tenant_of(call)
        if tenant is not None:
            held = self._held_by[tenant]
            if held > call.body_bytes and held + count > left:
                raise TenantLimited(
                    "the server holds as many request bodies of this tenant as it may", _RETRY_S
                )
            self._held_by[tenant] += count
        call.body_bytes += count
        self.held_bytes += count


def _tenant_of(call: Call) -> str | None:
    """Return whose key a request shows; None for an operator's."""
    return None if call.caller is None else call.caller.tenant


def _check_length(call: Call, limit: int) -> None:
    """Refuse a body by the length that it declares, before any of it is read."""
    declared = call.headers.get(b"content-length")
    if declared is None:
        return
    if not declared.isdigit():
        raise MalformedRequest("Content-Length is not a number")
    _check_size(int(declared), limit)


def _check_size(size: int, limit: int) -> None:
    if size > limit:
        raise BodyTooLarge(f"the body is larger than the {limit} bytes that this route takes")


class _Plain:
    """A body as it is."""

    def feed(self, data: bytes) -> Iterator[bytes]:
        if data:
            yield data

    def finish(self) -> None:
        """Nothing is left open."""


class _Inflate:
    """A compressed body of one member; the output comes in bounded pieces, so no bomb goes off."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._inflater: _Inflater | None = (
            zlib.decompressobj(_GZIP_BITS) if name == "gzip" else None
        )

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Yield the decompressed bytes of a piece of body."""
        if not data:
            return
        if self._inflater is None:
            # "deflate" is zlib's format (RFC 9110, 8.4.1.2), but some clients send it bare. A
            # zlib header has 8 in its low bits; a bare stream would have to begin with a stored
            # block whose padding is not zero, which no encoder writes.
            self._inflater = zlib.decompressobj(_ZLIB_BITS if data[0] & 15 == 8 else _RAW_BITS)
        while data:
            try:
                piece = self._inflater.decompress(data, _PIECE_BYTES)
            except zlib.error as error:
                raise MalformedRequest(f"the body is not {self._name}: {error}") from error
            if self._inflater.unused_data:
                raise MalformedRequest(f"the body goes on behind its {self._name} stream")
            data = self._inflater.unconsumed_tail
            if piece:
                yield piece

    def finish(self) -> None:
        """Refuse a stream that was cut off."""
        if self._inflater is None or not self._inflater.eof:
            raise MalformedRequest(f"the body's {self._name} stream is cut off")


def _decoder_of(call: Call) -> _Plain | _Inflate:
    encoding = call.headers.get(b"content-encoding", b"identity").strip().lower()
    if encoding in (b"identity", b""):
        return _Plain()
    if encoding in (b"gzip", b"x-gzip"):
        return _Inflate("gzip")
    if encoding == b"deflate":
        return _Inflate("deflate")
    raise WrongMediaType("Content-Encoding must be gzip, deflate or identity")
