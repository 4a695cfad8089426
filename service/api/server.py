"""The HTTP server of one process: its sockets, and its way from SIGTERM to the last answer."""

import logging
import os
import resource
import signal
import socket
import time
from collections.abc import Awaitable, Callable
from types import FrameType

import uvicorn
from starlette.types import ASGIApp

from service.api.connection import Connection
from service.api.lifecycle import Lifecycle
from service.api.logs import FIELDS
from service.errors import InvalidSettings
from service.settings import Settings, variable_of

logger = logging.getLogger(__name__)

# After the drain, a client that does not read its answer is not waited for.
_CLOSING_S = 2
_RESERVED_FILES = 256


class Server(uvicorn.Server):
    """A server that drains: at the first signal it goes on answering what it has accepted.

    New requests get 503 from the edge meanwhile. When all are answered, or `drain_s` have passed,
    `stop` is awaited, which ends what is still under way, and the server returns. A second signal
    ends the process at once.
    """

    def __init__(
        self,
        config: uvicorn.Config,
        lifecycle: Lifecycle,
        drain_s: float,
        stop: Callable[[], Awaitable[None]],
    ) -> None:
        super().__init__(config)
        self._lifecycle = lifecycle
        self._drain_s = drain_s
        self._stop = stop
        self._drain_until: float | None = None

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to drain; at the second signal, let it do what signals do."""
        del frame
        if self._lifecycle.draining:
            signal.signal(sig, signal.SIG_DFL)
            os.kill(os.getpid(), sig)
        self._lifecycle.draining = True

    async def on_tick(self, counter: int) -> bool:
        """Return whether it is time to stop; the server asks ten times a second."""
        if await super().on_tick(counter):
            return True
        if not self._lifecycle.draining:
            return False
        if self._drain_until is None:
            self._drain_until = time.monotonic() + self._drain_s
            logger.info("draining", extra={FIELDS: {"requests": self._lifecycle.under_way}})
        return self._lifecycle.under_way == 0 or time.monotonic() >= self._drain_until

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End what is left, close every connection, and return."""
        await self._stop()
        await super().shutdown(sockets)
        logger.info("stopped")


def server_config(app: ASGIApp, settings: Settings) -> uvicorn.Config:
    """Return how uvicorn is to serve the application."""
    most, surplus = connections_of(settings)

    class Bounded(Connection):
        head_timeout_s = settings.head_timeout_s
        body_timeout_s = settings.body_timeout_s
        connections_max = most
        surplus_max = surplus

    return uvicorn.Config(
        app,
        http=Bounded,
        ws="none",
        lifespan="off",
        interface="asgi3",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        backlog=settings.connections_backlog,
        timeout_keep_alive=settings.keep_alive_s,
        timeout_graceful_shutdown=_CLOSING_S,
    )


def connections_of(settings: Settings) -> tuple[int, int]:
    """Return how many connections there may be, and how many more that are refused politely.

    The descriptors of this process are for its files too: without any, adapters cannot be loaded,
    the log cannot be written and the registry cannot be opened.
    """
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    reserved = min(_RESERVED_FILES, files // 2)
    most = min(settings.connections_max, files - reserved)
    return most, reserved // 4


def raise_limit_of_files(connections_max: int) -> None:
    """Let this process open as many files as the system allows it; say where that is too few."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    if most - min(_RESERVED_FILES, most // 2) < connections_max:
        logger.warning(
            "the limit of open files (ulimit -n) is %d: fewer connections than %s = %d",
            most,
            variable_of("connections_max"),
            connections_max,
        )


def listen(host: str, port: int, setting: str, backlog: int) -> socket.socket:
    """Return a socket that listens; raise `InvalidSettings`, naming the setting."""
    try:
        # IPv4 first: `localhost` is both, and most clients mean 127.0.0.1.
        family, kind, protocol, _, address = min(
            socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE),
            key=lambda found: found[0] != socket.AF_INET,
        )
        found = socket.socket(family, kind, protocol)
    except OSError as error:
        raise InvalidSettings(f"cannot listen on {host}: {error.strerror}") from error
    try:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind(address)
        found.listen(backlog)
    except OSError as error:
        found.close()
        raise InvalidSettings(
            f"cannot listen on {host} port {port} ({error.strerror}); {setting} sets another"
        ) from error
    found.setblocking(False)
    return found


def address_of(listening: socket.socket) -> str:
    """Return where a socket listens, as people write it."""
    host, port = listening.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def port_of(listening: socket.socket) -> int:
    """Return the port of a socket, which the system may have chosen."""
    port: int = listening.getsockname()[1]
    return port
