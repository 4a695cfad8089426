"""`wrk`, the load generator, with the requests of a file in their order."""

import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import orjson

_SCRIPT = Path(__file__).with_name("wrk.lua")
_MARK = "result "


class LoadFailed(Exception):
    """wrk is not there, or what it saw is not worth a number."""


@dataclass(frozen=True, slots=True)
class Load:
    """What one run of wrk saw."""

    seconds: float
    requests: int
    refused: int  # answers of 400 and above
    broken: int  # connections that failed or timed out
    p50_ms: float
    p99_ms: float

    @property
    def rate(self) -> float:
        """Return good answers a second."""
        return (self.requests - self.refused) / self.seconds


def find_wrk() -> str:
    """Return the program; raise `LoadFailed` where it is not installed."""
    found = shutil.which("wrk")
    if found is None:
        raise LoadFailed("wrk is not installed; apt-get install wrk")
    return found


def write_requests(file: Path, requests: Sequence[tuple[str, bytes]]) -> Path:
    """Write requests, (path, body), for wrk and for the open loop; return the file."""
    file.write_bytes(b"".join(path.encode() + b"\t" + body + b"\n" for path, body in requests))
    return file


def load(url: str, requests: Path, connections: int, seconds: float) -> Load:
    """Run wrk with one thread and return what it saw.

    It is given four times as long where not one answer came. Raises `LoadFailed` where none came
    then, or where more than one request in a thousand was refused or broken.
    """
    seen = _run(url, requests, connections, seconds)
    if seen.rate == 0:
        seen = _run(url, requests, connections, 4 * seconds)
    if seen.rate == 0 or seen.refused + seen.broken > seen.requests / 1000:
        raise LoadFailed(
            f"{url}: {seen.refused} refused and {seen.broken} broken of {seen.requests}"
        )
    return seen


def _run(url: str, requests: Path, connections: int, seconds: float) -> Load:
    words = [find_wrk(), "-t1", f"-c{connections}", f"-d{seconds:g}s", "--timeout", "30s"]
    words += ["-s", str(_SCRIPT), url, "--", str(requests)]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=seconds + 120)
    lines = [line for line in done.stdout.splitlines() if line.startswith(_MARK)]
    if done.returncode != 0 or not lines:
        raise LoadFailed(f"wrk failed: {done.stdout[-500:]}{done.stderr[-500:]}")
    return Load(**orjson.loads(lines[0].removeprefix(_MARK)))
