"""The HTTP server of the sidecar: in a thread of its own, beside the one that reads the log."""

import asyncio
import logging
import socket
import threading
from typing import Any

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

from monitoring.errors import InvalidMonitorSettings
from service.credentials.loopback import is_loopback

_BACKLOG = 64
_CONNECTIONS_MAX = 200
_KEEP_ALIVE_S = 30
_HEAD_BYTES_MAX = 32 << 10
_CLOSING_S = 2
_ENDING_S = 10.0

logger = logging.getLogger(__name__)


class _Connection(H11Protocol):
    """A connection that is closed where a request takes too long to arrive."""

    head_timeout_s = 20.0

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # whatever uvicorn passes
        super().__init__(*args, **kwargs)
        self._patience: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for a request."""
        super().connection_made(transport)
        self._patience = self.loop.call_later(self.head_timeout_s, self._lose_patience)

    def data_received(self, data: bytes) -> None:
        """Take bytes; wait for the rest of a request that is not complete."""
        super().data_received(data)
        cycle: RequestResponseCycle | None = self.cycle
        if cycle is not None and not cycle.response_complete:
            self._stop_waiting()
        elif self._patience is None:
            self._patience = self.loop.call_later(self.head_timeout_s, self._lose_patience)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop waiting."""
        self._stop_waiting()
        super().connection_lost(exc)

    def _lose_patience(self) -> None:
        self._patience = None
        if not self.transport.is_closing():
            self.transport.close()

    def _stop_waiting(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None


class WebServer:
    """Answers requests from `start` to `stop`; signals are the business of whoever makes it."""

    def __init__(
        self, app: ASGIApp, listening: socket.socket, *, head_timeout_s: float = 20.0
    ) -> None:
        patience_s = head_timeout_s

        class Patient(_Connection):
            head_timeout_s = patience_s

        host, port = listening.getsockname()[:2]
        # As people write it.
        self.address = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
        self._socket = listening
        config = uvicorn.Config(
            app,
            http=Patient,
            ws="none",
            lifespan="off",
            interface="asgi3",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            backlog=_BACKLOG,
            limit_concurrency=_CONNECTIONS_MAX,
            timeout_keep_alive=_KEEP_ALIVE_S,
            timeout_graceful_shutdown=_CLOSING_S,
            h11_max_incomplete_event_size=_HEAD_BYTES_MAX,
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._run, name="tenantry-monitor-web", daemon=True)

    @property
    def alive(self) -> bool:
        """Say whether it answers; False after `start` means that it has failed."""
        return self._thread.is_alive()

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def stop(self) -> None:
        """Answer what is under way, close every connection, and wait for that."""
        self._server.should_exit = True
        self._thread.join(_ENDING_S)
        self._socket.close()

    def _run(self) -> None:
        try:
            asyncio.run(self._server.serve([self._socket]))
        except Exception:
            logger.exception("the web server failed")


def listen(host: str, port: int, *, keyed: bool) -> socket.socket:
    """Return a socket that listens; raise `InvalidMonitorSettings`, saying what to change.

    Without an admin key only loopback addresses will do.
    """
    if not keyed and not is_loopback(host):
        raise InvalidMonitorSettings(
            f"without an admin key the sidecar listens on a loopback address only, not on {host};"
            " TENANTRY_ADMIN_KEY or TENANTRY_ADMIN_KEY_FILE sets one"
        )
    try:
        # IPv4 first: `localhost` is both, and most clients mean 127.0.0.1.
        family, kind, protocol, _, address = min(
            socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE),
            key=lambda found: found[0] != socket.AF_INET,
        )
        listening = socket.socket(family, kind, protocol)
    except OSError as error:
        raise InvalidMonitorSettings(f"cannot listen on {host}: {error.strerror}") from error
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(_BACKLOG)
    except OSError as error:
        listening.close()
        raise InvalidMonitorSettings(
            f"cannot listen on {host} port {port} ({error.strerror}); TENANTRY_MONITOR_PORT sets"
            " another"
        ) from error
    listening.setblocking(False)
    return listening
