"""Whoever is woken: takes what Alertmanager sends, and keeps it with the time."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from examples.gameday.programs import HOST

_BYTES_MAX = 1 << 22


@dataclass(frozen=True, slots=True)
class Notice:
    """An alert that came, and at which receiver."""

    receiver: str
    status: str  # firing or resolved
    labels: dict[str, str]
    at_s: float  # monotonic


@dataclass(slots=True)
class Pager:
    """What came so far."""

    url: str = ""
    notices: list[Notice] = field(default_factory=list)

    def told(self, since_s: float = 0.0) -> set[tuple[str, str]]:
        """Return receivers and the alerts that they heard of since then."""
        return {
            (notice.receiver, notice.labels["alertname"])
            for notice in list(self.notices)
            if notice.status == "firing" and notice.at_s >= since_s
        }


@contextmanager
def paging() -> Iterator[Pager]:
    """Listen around the block: `<url>/<receiver>` is where a receiver's alerts go."""
    pager = Pager()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            size = min(int(self.headers.get("content-length", 0)), _BYTES_MAX)
            document: dict[str, Any] = json.loads(self.rfile.read(size))
            now = time.monotonic()
            receiver = self.path.strip("/")
            pager.notices += [
                Notice(receiver, alert["status"], alert["labels"], now)
                for alert in document["alerts"]
            ]
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing: the screen is the game day's."""

    server = ThreadingHTTPServer((HOST, 0), Handler)
    pager.url = f"http://{HOST}:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield pager
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
