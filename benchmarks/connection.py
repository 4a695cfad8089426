"""A plain HTTP/1.1 connection that is kept alive: a request's bytes out, an answer back.

No client library, because their time would count as the server's.
"""

import re
import socket
from dataclasses import dataclass

from benchmarks.servers import HOST

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_HEAD_END = b"\r\n\r\n"
_CHUNK_BYTES = 1 << 16


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer."""

    status: int
    body: bytes


def request_bytes(path: str, body: bytes) -> bytes:
    """Return a POST of JSON as it goes over the wire."""
    head = (
        f"POST {path} HTTP/1.1\r\nHost: {HOST}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def parse(data: bytes | bytearray) -> Answer | None:
    """Return the answer in the bytes so far, None while it is not complete."""
    end = data.find(_HEAD_END)
    if end < 0:
        return None
    length = _LENGTH.search(data, 0, end)
    if length is None:
        raise ValueError("an answer without content-length")
    start = end + len(_HEAD_END)
    if len(data) < start + int(length[1]):
        return None
    return Answer(int(data[9:12]), bytes(data[start : start + int(length[1])]))


def connect(port: int) -> socket.socket:
    """Return a connected socket that sends at once."""
    connected = socket.create_connection((HOST, port), timeout=60.0)
    connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connected


class Connection:
    """One caller, who waits for each answer."""

    def __init__(self, port: int) -> None:
        self._socket = connect(port)

    def ask(self, request: bytes) -> Answer:
        """Send a request and return its answer."""
        self._socket.sendall(request)
        data = bytearray()
        while (answer := parse(data)) is None:
            chunk = self._socket.recv(_CHUNK_BYTES)
            if not chunk:
                raise ConnectionError("the server closed the connection")
            data += chunk
        return answer

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()
