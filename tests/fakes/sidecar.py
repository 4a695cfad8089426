"""`tenantry monitor` as a process: what it says, and what it answers."""

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from tests.fakes.patience import until
from tests.fakes.waiting import PATIENCE_S

_ROOT = Path(__file__).resolve().parents[2]
_COMMAND = (sys.executable, "-c", "from service.command import main; main()", "monitor")


class Process:
    """A sidecar that runs, and what it says."""

    def __init__(self, state: Path, variables: dict[str, str]) -> None:
        self.said: list[str] = []
        self.process = subprocess.Popen(
            [*_COMMAND, "--state", str(state), "--port", "0"],
            cwd=_ROOT,
            env={**os.environ, **variables},
            stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            text=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        until(lambda: self._address() is not None or self.process.poll() is not None)
        address = self._address()
        assert address is not None, self.said
        self.http = httpx.Client(base_url=address, trust_env=False, timeout=20.0)

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.said.append(line.rstrip())

    def _address(self) -> str | None:
        found = re.search(r"listening on (http://\S+),", "\n".join(self.said))
        return None if found is None else found[1]

    def wait_until_ready(self) -> None:
        """Wait until it has read what was there."""
        until(lambda: self.http.get("/readyz").status_code == 200)
        until(lambda: any("caught up with the event log" in line for line in self.said))

    def report(self, path: str = "", **headers: str) -> Any:
        """Return a report."""
        answer = self.http.get(f"/v1/report{path}", headers=headers)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def end(self, number: signal.Signals) -> int:
        """Send a signal, and return the exit status."""
        self.http.close()
        self.process.send_signal(number)
        status = self.process.wait(PATIENCE_S)
        self._reader.join(PATIENCE_S)
        assert self.process.stderr is not None
        self.process.stderr.close()
        return status


@contextmanager
def monitor(state: Path, **variables: str) -> Iterator[Process]:
    """Run it around the block; it is killed at the end, if it still runs."""
    process = Process(state, variables)
    try:
        yield process
    finally:
        if process.process.poll() is None:
            process.end(signal.SIGKILL)


def run(*arguments: object, **variables: str) -> "subprocess.CompletedProcess[str]":
    """Run it to its end."""
    return subprocess.run(
        [*_COMMAND, *map(str, arguments)],
        cwd=_ROOT,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
