"""What both clients do with `httpx`: requests from calls, and replies from answers."""

import ipaddress
import os
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator
from importlib.metadata import PackageNotFoundError, version
from typing import Any
from urllib.parse import urlsplit

import anyio.to_thread
import httpx

from service.client.calls import Call, Form
from service.client.errors import InvalidCall, UnreadableAnswer
from service.client.patience import Broken
from service.client.reply import Reply

ANSWER_BYTES_MAX = 256 << 20

_CONNECT_S_MAX = 10.0
_PIECE_BYTES = 256 << 10


class TimeOver(Exception):
    """The caller's time passed in the middle of a body; never leaves the client."""


def checked_url(url: str) -> str:
    """Return a server's address without a slash at its end; raise `InvalidCall`."""
    advice = "write http://HOST:PORT, and give the key by itself"
    try:
        parts = urlsplit(url)
        sound = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        raise InvalidCall("the address is none", advice=advice) from None
    if parts.username is not None or parts.password is not None:
        # Not repeated: what stands before the @ may be a secret.
        raise InvalidCall("the address holds a name or a password", advice=advice)
    if not sound or parts.query or parts.fragment:
        raise InvalidCall(f"{url!r} is no address of a server", advice=advice)
    return url.rstrip("/")


def headers_of(key: str | None) -> httpx.Headers:
    """Return what every request carries; raise `InvalidCall` for a key that no header can."""
    headers = {
        "Accept": "application/json, application/problem+json, */*",
        "Accept-Encoding": "identity",
        "User-Agent": f"tenantry-client/{_version()}",
    }
    if key is not None:
        if not key or not all("!" <= character <= "~" for character in key):
            raise InvalidCall(
                "the key is empty or holds other characters than printable ASCII",
                advice="give it exactly as it was shown",
            )
        headers["Authorization"] = f"Bearer {key}"
    return httpx.Headers(headers)


def _version() -> str:
    try:
        return version("tenantry")
    except PackageNotFoundError:  # run from a checkout
        return "0"


def is_here(url: str) -> bool:
    """Return whether an address is this machine's own, which no proxy can reach."""
    host = urlsplit(url).hostname or ""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def request_of(
    call: Call[Any],
    url: str,
    headers: httpx.Headers,
    left_s: float,
    content: bytes | Iterable[bytes] | AsyncIterable[bytes] | None,
    form_headers: dict[str, str],
) -> httpx.Request:
    """Return the request of one attempt."""
    own = dict(call.headers) | form_headers
    if call.body is not None:
        own["Content-Type"] = "application/json"
    if call.tells_deadline:
        own["X-Timeout-Ms"] = str(max(1, int(left_s * 1000)))
    timeout = httpx.Timeout(left_s, connect=min(left_s, _CONNECT_S_MAX))
    return httpx.Request(
        call.method,
        url + call.path,
        params=dict(call.query) or None,
        headers=httpx.Headers([*headers.multi_items(), *own.items()]),
        content=content,
        extensions={"timeout": timeout.as_dict()},
    )


class FormBody:
    """The body of an upload, piece by piece, as often as it is sent."""

    def __init__(self, form: Form, is_over: Callable[[], bool]) -> None:
        boundary = os.urandom(16).hex()
        disposition = "Content-Disposition: form-data; name="
        self._form = form
        self._is_over = is_over
        self._head = (
            f'--{boundary}\r\n{disposition}"metadata"\r\nContent-Type: application/json\r\n\r\n'
        ).encode() + form.metadata
        self._head += (
            f'\r\n--{boundary}\r\n{disposition}"package"; filename="package"\r\n'
            "Content-Type: application/octet-stream\r\n\r\n"
        ).encode()
        self._tail = f"\r\n--{boundary}--\r\n".encode()
        self._bytes = len(self._head) + form.package.size + len(self._tail)
        self.headers = {
            "Content-Type": f"multipart/form-data; boundary={boundary}",
            "Content-Length": str(self._bytes),
        }

    def __iter__(self) -> Iterator[bytes]:
        sent = 0
        for piece in self._pieces():
            yield piece
            sent += len(piece)
            self._tell(sent)

    async def pieces(self) -> AsyncIterator[bytes]:
        """Give the same without blocking the event loop by the disk."""
        sent = 0
        pieces = self._pieces()
        while (piece := await anyio.to_thread.run_sync(next, pieces, None)) is not None:
            yield piece
            sent += len(piece)
            self._tell(sent)

    def _pieces(self) -> Iterator[bytes]:
        yield self._head
        with self._form.package.open() as file:
            while piece := file.read(_PIECE_BYTES):
                if self._is_over():
                    raise TimeOver
                yield piece
        yield self._tail

    def _tell(self, sent: int) -> None:
        if self._form.progress is not None:
            self._form.progress(sent, self._bytes)


class Body:
    """The body of an answer while it arrives, bounded; raises `UnreadableAnswer`."""

    def __init__(self, response: httpx.Response) -> None:
        self._response = response
        self._bytes = bytearray()

    def add(self, piece: bytes) -> None:
        """Take the next piece."""
        self._bytes += piece
        if len(self._bytes) > ANSWER_BYTES_MAX:
            raise UnreadableAnswer(
                f"the server's answer has more than {ANSWER_BYTES_MAX:,} bytes",
                advice="ask for less at once",
            )

    def reply(self) -> Reply:
        """Return the whole answer."""
        headers = {name.lower(): value for name, value in self._response.headers.items()}
        return Reply(self._response.status_code, headers, bytes(self._bytes))


def broken_of(error: httpx.TransportError | TimeOver) -> Broken:
    """Return what an attempt without an answer was."""
    reason = str(error) or type(error).__name__
    if isinstance(error, httpx.UnsupportedProtocol | httpx.ProxyError | httpx.ConnectError):
        return Broken("unreached", reason)
    if isinstance(error, httpx.ConnectTimeout):
        return Broken("unreached", "the connection did not come about in time")
    if isinstance(error, httpx.TimeoutException | TimeOver):
        return Broken("late", reason)
    return Broken("cut", reason)
