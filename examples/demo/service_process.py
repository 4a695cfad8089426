"""`tenantry serve` and `tenantry monitor` as processes, as an operator would start them."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from examples.demo.errors import DemoFailed

HOST = "127.0.0.1"
READY_S_MAX = 180.0
STOP_S_MAX = 60.0
_LOG_LINES = 15


@dataclass(slots=True)
class ServiceProcess:
    """A service, or its sidecar, that runs."""

    what: str
    url: str
    command: list[str]
    log: Path
    process: subprocess.Popen[bytes]

    def wait_until_ready(self) -> float:
        """Return after how many seconds the service was ready."""
        started = time.monotonic()
        with httpx.Client(base_url=self.url, trust_env=False, timeout=5.0) as client:
            while not _is_ready(client):
                if self.process.poll() is not None:
                    raise DemoFailed(f"{self.what} ended before it was ready:\n{self.last_lines()}")
                if time.monotonic() - started > READY_S_MAX:
                    raise DemoFailed(f"not ready after {READY_S_MAX:g} s:\n{self.last_lines()}")
                time.sleep(0.1)
        return time.monotonic() - started

    def stop(self) -> int:
        """Ask the process to stop, as an orchestrator does, and return its exit status."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(STOP_S_MAX)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()

    def shown(self) -> str:
        """Return the command as one would type it."""
        return " ".join(["tenantry", *self.command[1:]])

    def last_lines(self) -> str:
        """Return the end of the process's log."""
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        return "\n".join(lines[-_LOG_LINES:])


@contextmanager
def serving(
    bundle: Path, state: Path, port: int | None, log: Path, provider: str = "auto"
) -> Iterator[ServiceProcess]:
    """Run `tenantry serve` around the block, on a free port where none is given."""
    options = ["--bundle", str(bundle), "--state", str(state), "--provider", provider]
    with _running("the service", "serve", options, port, log, {}) as service:
        yield service


@contextmanager
def monitoring(
    state: Path, port: int | None, log: Path, variables: Mapping[str, str]
) -> Iterator[ServiceProcess]:
    """Run `tenantry monitor` around the block, on a free port where none is given."""
    options = ["--state", str(state)]
    with _running("the sidecar", "monitor", options, port, log, variables) as sidecar:
        yield sidecar


@contextmanager
def _running(
    what: str,
    name: str,
    options: Sequence[str],
    port: int | None,
    log: Path,
    variables: Mapping[str, str],
) -> Iterator[ServiceProcess]:
    """Run a subcommand around the block.

    It has a session of its own, so that Ctrl-C reaches the demo alone, which then stops it; and
    none of the shell's own `TENANTRY_*` settings.
    """
    port = port or _free_port()
    command = [_tenantry(), name, *options, "--host", HOST, "--port", str(port)]
    environment = {k: v for k, v in os.environ.items() if not k.startswith("TENANTRY_")}
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            stdout=output,
            stderr=output,
            env=environment | dict(variables),
            start_new_session=True,
        )
    running = ServiceProcess(what, f"http://{HOST}:{port}", command, log, process)
    try:
        yield running
    finally:
        running.stop()


def _tenantry() -> str:
    beside = Path(sys.executable).with_name("tenantry")
    found = str(beside) if beside.is_file() else shutil.which("tenantry")
    if found is None:
        raise DemoFailed("the command tenantry is not installed beside this Python")
    return found


def _free_port() -> int:
    with socket.socket() as taken:
        taken.bind((HOST, 0))
        port: int = taken.getsockname()[1]
        return port


def _is_ready(client: httpx.Client) -> bool:
    try:
        return client.get("/readyz").status_code == httpx.codes.OK
    except httpx.TransportError:  # refused while it starts
        return False
