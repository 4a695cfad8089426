"""The sidecar as a process: from its start, through what it missed, to a signal."""

import logging
import signal
import threading
import time
from contextlib import ExitStack

from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector

from monitoring.errors import MonitorError
from monitoring.ingest.progress import bar
from monitoring.settings import MonitorSettings
from monitoring.sidecar import FOLDER, Sidecar
from monitoring.web.app import Parts, create_app
from monitoring.web.gate import gate_of
from monitoring.web.metrics import Metrics
from monitoring.web.server import WebServer, listen
from monitoring.web.tenant_keys import TenantKeys

_WATCH_S = 0.5
_SHOW_S = 0.2
_CAUGHT_UP_S = 5.0  # behind the log, on which more is written all the time
_TELL_S = 30.0
_MB = 1e6

logger = logging.getLogger(__name__)


def run(settings: MonitorSettings) -> None:
    """Follow the log and answer requests until a signal. Raises `MonitorError` and `OSError`."""
    stopping = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopping.set())
    with ExitStack() as open_parts:
        keys = TenantKeys(settings.state)
        open_parts.callback(keys.close)
        key = settings.admin_key
        secret = None if key is None else key.get_secret_value()
        gate = gate_of(secret, settings.admin_key_file, keys)
        listening = listen(settings.host, settings.port, keyed=settings.keyed)
        open_parts.callback(listening.close)
        sidecar = Sidecar(settings)
        open_parts.callback(sidecar.close)
        registry = CollectorRegistry()
        Metrics(registry, sidecar.measurements, settings.tenant_series_max)
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        app = create_app(Parts(sidecar.reports, registry, gate, sidecar.unready))
        server = WebServer(app, listening)
        sidecar.start()
        server.start()
        open_parts.callback(server.stop)
        logger.info("listening on %s, state in %s", server.address, settings.state / FOLDER)
        for problem in sidecar.problems():
            logger.warning("%s", problem)
        _show_catching_up(sidecar, server, stopping)
        while not stopping.wait(_WATCH_S):
            _check(sidecar, server)
    logger.info("stopped")


def _check(sidecar: Sidecar, server: WebServer) -> None:
    """Raise `MonitorError` where a part no longer works."""
    sidecar.check()
    if not server.alive:
        raise MonitorError("the web server has failed; its log says why")


def _show_catching_up(sidecar: Sidecar, server: WebServer, stopping: threading.Event) -> None:
    """Show how much of the log is read, until all of it is, or a signal comes."""
    began_s = told_s = time.monotonic()
    backlog = sidecar.follower.backlog()
    if backlog.lag_s > _CAUGHT_UP_S:
        logger.info("reading the event log: %.1f MB", backlog.bytes / _MB)
    whole = backlog.bytes
    with bar() as tell:
        while backlog.lag_s > _CAUGHT_UP_S:
            if stopping.wait(_SHOW_S):
                return
            _check(sidecar, server)
            backlog = sidecar.follower.backlog()
            whole = max(whole, backlog.bytes)  # what is written meanwhile counts
            tell(whole - backlog.bytes, whole)
            if time.monotonic() > told_s + _TELL_S:
                told_s = time.monotonic()
                logger.info(
                    "reading the event log: %.1f of %.1f MB left", backlog.bytes / _MB, whole / _MB
                )
    logger.info("caught up with the event log in %.1f s", time.monotonic() - began_s)
