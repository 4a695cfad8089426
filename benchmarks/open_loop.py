"""An open-loop load generator: requests leave when they are due, however slow the answers are.

    python -m benchmarks.open_loop PORT REQUESTS RATE SECONDS SEED

Arrivals are a Poisson process. A request takes a free connection, or a new one where none is, so
no request waits for another's answer; its latency counts from the time at which it was due, not
at which it was sent (no coordinated omission). It runs in a process of its own and prints JSON:
every latency, and by how much requests left late, which is this generator's own share.

REQUESTS is a file of lines, path, tab, body.
"""

import select
import socket
import sys
import threading
import time
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import orjson

from benchmarks.connection import connect, parse, request_bytes

_CONNECTIONS_MAX = 2000
_LINGER_S = 30.0  # how long answers may take after the last request
_LEAD_S = 0.2
_CHUNK_BYTES = 1 << 16


@dataclass(slots=True)
class _Line:
    """A connection, and the request that it carries."""

    socket: socket.socket
    due: float = 0.0
    data: bytearray = field(default_factory=bytearray)


class OpenLoop:
    """Sends on one thread and receives on another."""

    def __init__(self, port: int, requests: list[bytes]) -> None:
        self._port = port
        self._requests = requests
        self._free: deque[_Line] = deque()
        self._lines: dict[int, _Line] = {}
        self._poll = select.epoll()
        self._due = 0
        self.latencies: list[float] = []
        self.late: list[float] = []
        self.failed = 0

    def run(self, rate: float, seconds: float, seed: int) -> None:
        """Send `rate` requests a second for so many seconds, and await their answers."""
        gaps = np.random.default_rng(seed).exponential(1.0 / rate, int(rate * seconds))
        self._due = len(gaps)
        receiver = threading.Thread(target=self._receive, daemon=True)
        receiver.start()
        begun = time.perf_counter() + _LEAD_S
        for number, due in enumerate((begun + np.cumsum(gaps)).tolist()):
            wait = due - time.perf_counter()
            if wait > 0:
                time.sleep(wait)
            self.late.append(time.perf_counter() - due)
            line = self._free.popleft() if self._free else self._open()
            line.due = due
            line.socket.sendall(self._requests[number % len(self._requests)])
        receiver.join(_LINGER_S)

    @property
    def unanswered(self) -> int:
        """Return how many requests got no answer."""
        return self._due - len(self.latencies) - self.failed

    def _open(self) -> _Line:
        if len(self._lines) >= _CONNECTIONS_MAX:
            raise RuntimeError(f"{_CONNECTIONS_MAX} requests are unanswered; the rate is too high")
        line = _Line(connect(self._port))
        self._lines[line.socket.fileno()] = line
        self._poll.register(line.socket, select.EPOLLIN)
        return line

    def _receive(self) -> None:
        while len(self.latencies) + self.failed < self._due:
            for number, _ in self._poll.poll(1.0):
                line = self._lines[number]
                line.data += line.socket.recv(_CHUNK_BYTES)
                answer = parse(line.data)
                if answer is None:
                    continue
                if answer.status == 200:
                    self.latencies.append(time.perf_counter() - line.due)
                else:
                    self.failed += 1
                line.data.clear()
                self._free.append(line)


def read_requests(file: Path) -> list[bytes]:
    """Return the requests of a file."""
    pairs = (line.split(b"\t", 1) for line in file.read_bytes().splitlines())
    return [request_bytes(path.decode(), body) for path, body in pairs]


def main() -> None:
    """Generate load and print what was measured."""
    port, file, rate, seconds, seed = sys.argv[1:]
    sys.setswitchinterval(0.0005)
    loop = OpenLoop(int(port), read_requests(Path(file)))
    loop.run(float(rate), float(seconds), int(seed))
    document = {
        "latencies": loop.latencies,
        "late": loop.late,
        "failed": loop.failed,
        "unanswered": loop.unanswered,
    }
    sys.stdout.buffer.write(orjson.dumps(document))


if __name__ == "__main__":
    main()
