"""Whoever retrains: takes the sidecar's signed triggers on this machine, and keeps them."""

import json
import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from examples.retrain_receiver.verification import Refused, verify

HOST = "127.0.0.1"
_BYTES_MAX = 1 << 16


@dataclass(slots=True)
class Receiver:
    """Triggers that came and were signed, and how many were not."""

    secret: str
    url: str = ""
    events: list[dict[str, Any]] = field(default_factory=list)
    refused: int = 0

    def reasons(self) -> set[tuple[str, str]]:
        """Return tenants and the reasons for which they should be trained anew."""
        return {(event["data"]["tenant"], event["data"]["reason"]) for event in self.events}


@contextmanager
def receiving() -> Iterator[Receiver]:
    """Listen around the block."""
    receiver = Receiver(secrets.token_urlsafe(32))

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            size = min(int(self.headers.get("content-length", 0)), _BYTES_MAX)
            body = self.rfile.read(size)
            headers = {name.lower(): value for name, value in self.headers.items()}
            try:
                verify(headers, body, receiver.secret.encode(), time.time())
            except Refused:
                receiver.refused += 1
                self.send_response(401)
            else:
                receiver.events.append(json.loads(body))
                self.send_response(202)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing: the screen is the demo's."""

    server = ThreadingHTTPServer((HOST, 0), Handler)
    receiver.url = f"http://{HOST}:{server.server_address[1]}/retrain"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield receiver
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
