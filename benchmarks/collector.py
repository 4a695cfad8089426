"""A collector that takes spans and forgets them: python -m benchmarks.collector PORT."""

import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from benchmarks.servers import HOST


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self._answer()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
        del format, args

    def _answer(self) -> None:
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()


if __name__ == "__main__":
    ThreadingHTTPServer((HOST, int(sys.argv[1])), _Handler).serve_forever()
