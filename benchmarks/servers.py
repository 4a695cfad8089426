"""Servers in processes of their own: started, awaited, paused while others are measured."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx

from benchmarks.machine import ROOT

HOST = "127.0.0.1"
_STOP_S = 40.0
_SETTLE_S, _SETTLE_S_MAX = 0.2, 30.0
_IDLE_SHARE = 0.15  # of a processor


class ServerFailed(Exception):
    """A server did not become ready; the text holds the end of its log."""


def stop_with_us() -> None:
    """Let SIGTERM unwind this process, so that it leaves no server behind."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))


def free_port() -> int:
    """Return a port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


class Server:
    """A process that answers on a port; a context manager that stops it."""

    def __init__(
        self,
        command: Sequence[str],
        port: int,
        ready_path: str,
        environment: Mapping[str, str] | None = None,
        ready_s_max: float = 120.0,
    ) -> None:
        self.port = port
        self.url = f"http://{HOST}:{port}"
        self._log = tempfile.NamedTemporaryFile(prefix="benchmark-server-", suffix=".log")  # noqa: SIM115
        begun = time.monotonic()
        self._process = subprocess.Popen(
            list(command),
            stdout=self._log,
            stderr=subprocess.STDOUT,
            cwd=ROOT,
            env={**os.environ, **(environment or {})},
        )
        try:
            self._await(ready_path, begun + ready_s_max)
        except BaseException:
            self.stop()
            raise
        self.ready_s = time.monotonic() - begun  # from the start of the process to ready

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def _await(self, path: str, until: float) -> None:
        while True:
            if self._process.poll() is not None:
                raise ServerFailed(f"it ended with {self._process.returncode}: {self.log_end()}")
            try:
                if httpx.get(self.url + path, timeout=5.0).status_code == httpx.codes.OK:
                    return
            except httpx.HTTPError:
                pass
            if time.monotonic() > until:
                raise ServerFailed(f"it was not ready in time: {self.log_end()}")
            time.sleep(0.01)

    def log_end(self) -> str:
        """Return the last of what it wrote."""
        return Path(self._log.name).read_text(encoding="utf-8", errors="replace")[-2000:]

    def pause(self) -> None:
        """Let it finish what its last callers left behind, then give it no processor time."""
        until = time.monotonic() + _SETTLE_S_MAX
        used = self._processor_s()
        while time.monotonic() < until:
            time.sleep(_SETTLE_S)
            before, used = used, self._processor_s()
            if used - before < _IDLE_SHARE * _SETTLE_S:
                break
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it run on."""
        self._process.send_signal(signal.SIGCONT)

    def _processor_s(self) -> float:
        words = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")

    def resident_bytes(self) -> int:
        """Return the memory that it holds (resident set size)."""
        pages = int(Path(f"/proc/{self._process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    def disk_bytes(self) -> int:
        """Return how much it has read from the disk, page cache not counted."""
        lines = Path(f"/proc/{self._process.pid}/io").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("read_bytes"))

    def stop(self) -> None:
        """End it, by SIGTERM first."""
        if self._process.poll() is None:
            self.resume()
            self._process.terminate()
            try:
                self._process.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._log.close()


def tenantry(
    bundle: Path, state: Path, provider: str, environment: Mapping[str, str] | None = None
) -> Server:
    """Start `tenantry serve` and return it when it is ready."""
    port = free_port()
    program = Path(sys.executable).parent / "tenantry"
    words = [str(program), "serve", "--bundle", str(bundle), "--state", str(state)]
    words += ["--port", str(port), "--provider", provider]
    return Server(words, port, "/readyz", environment)
