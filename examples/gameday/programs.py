"""Programs that run beside each other on this machine: started, waited for, ended."""

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from examples.gameday.errors import GameDayFailed

HOST = "127.0.0.1"
READY_S_MAX = 90.0
STOP_S_MAX = 40.0
_LOOK_S = 0.05
_LOG_LINES = 15


@dataclass(slots=True)
class Program:
    """One that runs, or ran, and where it answers."""

    name: str
    url: str
    log: Path
    process: "subprocess.Popen[bytes]"

    def wait_until_ready(self, path: str) -> None:
        """Wait until a path answers 200.

        Raises `GameDayFailed` where it ends before that, or takes too long.
        """
        with httpx.Client(base_url=self.url, trust_env=False, timeout=5.0) as client:

            def is_ready() -> bool:
                if self.process.poll() is not None:
                    raise GameDayFailed(
                        f"{self.name} ended before it was ready:\n{self.end_of_log()}"
                    )
                try:
                    return client.get(path).status_code == httpx.codes.OK
                except httpx.TransportError:
                    return False

            until(is_ready, f"{self.name} was ready", READY_S_MAX)

    def kill(self) -> None:
        """Do `kill -9`, and wait until it is dead."""
        self.process.kill()
        self.process.wait(STOP_S_MAX)

    def freeze(self) -> None:
        """Let it do nothing more, and stay: it listens, and answers nobody."""
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let a frozen one go on."""
        self.process.send_signal(signal.SIGCONT)

    def stop(self) -> int:
        """Ask it to stop, as an orchestrator does, and return its exit status."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.thaw()  # a frozen one would not hear of it
        try:
            return self.process.wait(STOP_S_MAX)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()

    def end_of_log(self) -> str:
        """Return the last lines of what it wrote."""
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        return "\n".join(lines[-_LOG_LINES:])


@contextmanager
def running(
    name: str,
    url: str,
    command: Sequence[str],
    log: Path,
    variables: Mapping[str, str] | None = None,
) -> Iterator[Program]:
    """Run a command around the block; it is ended with the block, if it still runs.

    It has a session of its own, so that Ctrl-C reaches the caller alone, and none of the shell's
    own `TENANTRY_*` settings.
    """
    environment = {k: v for k, v in os.environ.items() if not k.startswith("TENANTRY_")}
    with log.open("ab") as output:
        process = subprocess.Popen(
            list(command),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=environment | dict(variables or {}),
            start_new_session=True,
        )
    program = Program(name, url, log, process)
    try:
        yield program
    finally:
        program.stop()


def program_of(*names: str) -> str:
    """Return where a program is, which may go by several names.

    Raises `GameDayFailed` where it is not installed.
    """
    for name in names:
        found = shutil.which(name)
        if found is not None:
            return found
    raise GameDayFailed(f"the program {names[0]} is not installed")


def free_port() -> int:
    """Return a port of this machine that was free a moment ago."""
    with socket.socket() as taken:
        taken.bind((HOST, 0))
        port: int = taken.getsockname()[1]
        return port


def until(holds: Callable[[], bool], what: str, seconds: float) -> float:
    """Wait until a condition holds, and return after how many seconds it did.

    Raises `GameDayFailed` where it does not in time; `what` completes "waited in vain until".
    """
    started = time.monotonic()
    while not holds():
        if time.monotonic() - started > seconds:
            raise GameDayFailed(f"waited {seconds:g} s in vain until {what}")
        time.sleep(_LOOK_S)
    return time.monotonic() - started
