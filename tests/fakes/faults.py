"""`tenantry serve` on a small real bundle, as a process of its own that faults are done to.

Beside it what callers do: upload, roll out, ask, label.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from service.engine.bundle import Bundle
from tests.fakes.packages import files_of, labels_of, metadata_of, zip_of
from tests.fakes.waiting import PATIENCE_S

ROOT = Path(__file__).resolve().parents[2]
COMMAND = (sys.executable, "-c", "from service.command import main; main()")
TENANT = "/v1/tenants/acme"
ADAPTER = f"{TENANT}/adapters/mail"
TEXT = "please send the parcel back to the warehouse before friday"
HOLDOUT = b"".join(
    b'{"text": "text %d", "label": "label %d"}\n' % (number, number % 3) for number in range(30)
)
READY_S = 60.0


@dataclass
class Service:
    """One run of the command."""

    url: str
    process: "subprocess.Popen[bytes]"
    state: Path
    log: Path
    dying: bool = False  # somebody is about to kill it

    @property
    def address(self) -> tuple[str, int]:
        """Return where it listens."""
        host, _, port = self.url.removeprefix("http://").rpartition(":")
        return host, int(port)

    def client(self, key: str | None = None) -> httpx.Client:
        """Return a client of it, with a tenant's key; the block that uses it closes it."""
        headers = {} if key is None else {"authorization": f"Bearer {key}"}
        return httpx.Client(base_url=self.url, headers=headers, trust_env=False, timeout=60.0)

    def kill(self) -> None:
        """Do `kill -9`, and wait until it is dead."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(PATIENCE_S)

    def stop(self) -> int:
        """Ask it to stop, and return its exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(PATIENCE_S)

    def lines(self) -> list[dict[str, Any]]:
        """Return what it has logged; what is no line of the log is left out."""
        text = self.log.read_text()
        whole = text[: text.rfind("\n") + 1].splitlines()
        return [json.loads(line) for line in whole if line.startswith("{")]

    def metric(self, sample: str) -> float:
        """Return a sample, as the exposition writes it; fail where there is none."""
        with self.client() as client:
            text = client.get("/metrics").raise_for_status().text
        [line] = [line for line in text.splitlines() if line.startswith(sample + " ")]
        return float(line.rsplit(" ", 1)[1])

    def open_files(self) -> int:
        """Return how many files and connections it has open."""
        return len(list(Path(f"/proc/{self.process.pid}/fd").iterdir()))

    def memory_bytes(self) -> int:
        """Return how much memory it has."""
        return self._memory("VmRSS")

    def peak_bytes(self) -> int:
        """Return how much it had at most."""
        return self._memory("VmHWM")

    def _memory(self, name: str) -> int:
        lines = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        [line] = [line for line in lines if line.startswith(f"{name}:")]
        return int(line.split()[1]) * 1024

    def cpu_s(self) -> float:
        """Return how much processor time it has taken."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def serving(
    bundle: Bundle,
    state: Path,
    *,
    settings: Mapping[str, object] | None = None,
    prefix: Sequence[str] = (),
    command: Sequence[str] = COMMAND,
) -> Iterator[Service]:
    """Run the command around the block, until it is ready, with settings by their names.

    `prefix` is a command that runs it, `command` another one in its place. It is killed at the
    end, if it still runs.
    """
    state.parent.mkdir(parents=True, exist_ok=True)
    log = state.with_name(f"{state.name}-{time.monotonic_ns()}.log")
    variables = {f"TENANTRY_{name.upper()}": str(it) for name, it in (settings or {}).items()}
    options = ("--bundle", bundle.path, "--state", state, "--port", 0, "--provider", "cpu")
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*prefix, *command, "serve", *map(str, options), "--threads", "1"],
            cwd=ROOT,
            env={**os.environ, "TENANTRY_LOG_FORMAT": "json", **variables},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    try:
        yield _ready(process, state, log)
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()


def _ready(process: "subprocess.Popen[bytes]", state: Path, log: Path) -> Service:
    service = Service("", process, state, log)
    end = time.monotonic() + READY_S
    while not any(line["message"] == "ready" for line in service.lines()):
        assert process.poll() is None, f"it ended before it was ready:\n{log.read_text()}"
        assert time.monotonic() < end, f"it did not get ready:\n{log.read_text()}"
        time.sleep(0.02)
    for line in service.lines():
        _, _, found = line["message"].partition("listening on ")
        service.url = found or service.url
    return service


# --- what callers do


def upload(
    client: httpx.Client,
    bundle: Bundle,
    seed: int,
    adapter: str = ADAPTER,
    *,
    holdout: bytes | None = None,
) -> httpx.Response:
    """Upload an adapter that its seed tells from others."""
    files = files_of(bundle.manifest, seed=seed)
    if holdout is not None:
        files["holdout.jsonl"] = holdout
    return client.post(
        f"{adapter}/versions",
        files={"package": ("a.zip", zip_of(files))},
        data={"metadata": metadata_of(3)},
    )


def publish(client: httpx.Client, bundle: Bundle, seed: int = 1, adapter: str = ADAPTER) -> str:
    """Upload an adapter for a tenant that is made with it, make it live, and return its digest."""
    tenant = adapter.partition("/adapters/")[0]
    client.put(tenant, json={}).raise_for_status()
    made = upload(client, bundle, seed, adapter)
    assert made.status_code in (200, 201), made.text
    rolled = client.put(f"{adapter}/rollout", json={"live": made.json()["version"]})
    assert rolled.status_code == 200, rolled.text
    digest: str = made.json()["digest"]
    return digest


def ask(client: httpx.Client, text: str = TEXT, adapter: str = ADAPTER) -> httpx.Response:
    """Ask for the label of one text."""
    return client.post(f"{adapter}/predict", json={"inputs": [text]})


def id_of(answer: httpx.Response) -> str:
    """Return the id of an answer's one prediction."""
    assert answer.status_code == 200, answer.text
    [prediction] = answer.json()["predictions"]
    found: str = prediction["id"]
    return found


def label(client: httpx.Client, *ids: str) -> httpx.Response:
    """Say what was right."""
    right = labels_of(3)[0]
    return client.post(
        "/v1/feedback", json={"labels": [{"id": each, "label": right} for each in ids]}
    )


def accepted(answer: httpx.Response) -> int:
    """Return how many labels were kept."""
    assert answer.status_code == 202, answer.text
    found: int = answer.json()["accepted"]
    return found


def refused_for_now(answer: httpx.Response) -> bool:
    """Say whether an answer is 503, with the time after which to come again."""
    if answer.status_code != 503:
        return False
    assert int(answer.headers["retry-after"]) >= 1
    assert answer.json()["code"] == "store-full", answer.text
    return True
