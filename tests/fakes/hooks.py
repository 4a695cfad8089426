"""A receiver of webhooks on a real socket of this machine, which answers as it is told."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

# Takes the connection after the request was read, and answers or does not.
Answer = Callable[[socket.socket], None]


def status(code: int, *headers: str, body: bytes = b"") -> Answer:
    """Return an answer with a status, header lines and a body."""
    lines = (f"HTTP/1.1 {code} x", f"content-length: {len(body)}", "connection: close", *headers)

    def answer(connection: socket.socket) -> None:
        connection.sendall("\r\n".join((*lines, "", "")).encode() + body)

    return answer


def hang_up(connection: socket.socket) -> None:
    """Close without an answer."""
    connection.shutdown(socket.SHUT_RDWR)


def say_nothing(connection: socket.socket) -> None:
    """Leave the caller waiting until it gives up."""
    connection.settimeout(20.0)
    connection.recv(1)


def trickle(connection: socket.socket) -> None:
    """Send a header that never ends, byte by byte, faster than any limit per read."""
    try:
        connection.sendall(b"HTTP/1.1 200 OK\r\nx-slow: ")
        for _ in range(2000):
            connection.sendall(b"a")
            time.sleep(0.01)
    except OSError:
        pass  # the caller gave up


def endless_body(connection: socket.socket) -> None:
    """Begin an answer whose body has no end."""
    try:
        connection.sendall(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        for _ in range(10_000):
            connection.sendall(b"400\r\n" + bytes(0x400) + b"\r\n")
    except OSError:
        pass  # the caller went away


@dataclass(slots=True)
class Hook:
    """What came, and what is answered: the last answer for ever."""

    address: str
    answers: list[Answer]
    requests: list[tuple[bytes, dict[str, str]]] = field(default_factory=list)
    at_once_max: int = 0  # requests that were under way at the same time
    _at_once: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def serve(self, connection: socket.socket) -> None:
        """Read a request and answer it."""
        with connection:
            connection.settimeout(20.0)
            try:
                request = _read(connection)
            except OSError:
                return
            with self._lock:
                self.requests.append(request)
                self._at_once += 1
                self.at_once_max = max(self.at_once_max, self._at_once)
                answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
            try:
                answer(connection)
            finally:
                with self._lock:
                    self._at_once -= 1


@contextmanager
def hook(*answers: Answer) -> Iterator[Hook]:
    """Give a receiver that listens until the block ends."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        found = Hook(f"http://127.0.0.1:{listener.getsockname()[1]}/retrain", list(answers))
        threads: list[threading.Thread] = []

        def accept() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                thread = threading.Thread(target=found.serve, args=(connection,))
                thread.start()
                threads.append(thread)

        accepting = threading.Thread(target=accept)
        accepting.start()
        try:
            yield found
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            accepting.join()
            for thread in threads:
                thread.join()


def _read(connection: socket.socket) -> tuple[bytes, dict[str, str]]:
    data = b""
    while b"\r\n\r\n" not in data:
        part = connection.recv(65_536)
        if not part:
            raise OSError("the caller went away")
        data += part
    head, _, body = data.partition(b"\r\n\r\n")
    lines = head.decode("latin-1").split("\r\n")[1:]
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    while len(body) < int(headers.get("content-length", "0")):
        body += connection.recv(65_536)
    return body, headers
