"""`tenantry serve` on a small real bundle in a process of its own, with its log and its spans."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from service.engine.bundle import Bundle
from tests.fakes.packages import files_of, metadata_of, zip_of

ROOT = Path(__file__).resolve().parents[2]
COMMAND = [sys.executable, "-c", "from service.command import main; main()", "serve"]
PATIENCE_S = 60.0


class TracedService:
    """One run of the command."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self.process = process
        self.lines: list[dict[str, Any]] = []
        self._said = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self.url = self.line("listening on ")["message"].removeprefix("listening on ")
        self.client = httpx.Client(base_url=self.url, timeout=30)
        self._await_ready()

    def line(self, message: str) -> dict[str, Any]:
        """Return the first line of the log that begins so, once it is there."""

        def found() -> dict[str, Any] | None:
            told = (line for line in self.lines if line["message"].startswith(message))
            return next(told, None)

        with self._said:
            assert self._said.wait_for(lambda: found() is not None, PATIENCE_S), self.lines
            line = found()
        assert line is not None
        return line

    def put(self, bundle: Bundle, tenant: str, seed: int = 0) -> None:
        """Make a tenant with an adapter `support`, and let it answer."""
        files = {
            "package": ("adapter.zip", zip_of(files_of(bundle.manifest, labels=3, seed=seed))),
            "metadata": (None, metadata_of(3)),
        }
        base = f"/v1/tenants/{tenant}"
        assert self.client.put(base, json={}).status_code == 201
        made = self.client.post(f"{base}/adapters/support/versions", files=files)
        assert made.status_code == 201, made.text
        rolled = self.client.put(f"{base}/adapters/support/rollout", json={"live": 1})
        assert rolled.status_code == 200

    def ask(
        self, tenant: str, texts: Sequence[str] = ("where is my parcel",), **headers: str
    ) -> httpx.Response:
        """Ask a tenant's adapter."""
        path = f"/v1/tenants/{tenant}/adapters/support/predict"
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.client.post(path, json={"inputs": list(texts)}, headers=sent)

    def count(self, sample: str) -> float:
        """Return a sample of the metrics, by its name and labels as they are written."""
        for line in self.client.get("/metrics").text.splitlines():
            name, _, value = line.rpartition(" ")
            if name == sample:
                return float(value)
        raise AssertionError(f"there is no sample {sample}")

    def await_count(self, sample: str, at_least: float) -> float:
        """Return a sample once it is large enough."""
        end = time.monotonic() + PATIENCE_S
        while (found := self.count(sample)) < at_least:
            assert time.monotonic() < end, f"{sample} stays at {found}"
            time.sleep(0.05)
        return found

    def stop(self) -> int:
        """End it by SIGTERM, and return its status."""
        self.process.send_signal(signal.SIGTERM)
        status = self.process.wait(timeout=PATIENCE_S)
        self._reader.join(PATIENCE_S)
        return status

    def _await_ready(self) -> None:
        end = time.monotonic() + PATIENCE_S
        while self.client.get("/readyz").status_code != 200:
            assert time.monotonic() < end, "it did not get ready"
            time.sleep(0.05)

    def _read(self) -> None:
        assert self.process.stderr is not None
        for text in self.process.stderr:
            with self._said:
                self.lines.append(json.loads(text))
                self._said.notify_all()


def _environment(variables: dict[str, str]) -> dict[str, str]:
    told = {f"TENANTRY_{name.upper()}": value for name, value in variables.items()}
    return {**os.environ, "OMP_NUM_THREADS": "1", **told}


def _words(bundle: Bundle, state: Path) -> list[str]:
    return [
        *COMMAND,
        *("--bundle", str(bundle.path), "--state", str(state), "--port", "0"),
        *("--provider", "cpu", "--threads", "1"),
    ]


@contextmanager
def traced_service(
    bundle: Bundle, state: Path, endpoint: str | None, **variables: str
) -> Iterator[TracedService]:
    """Serve until the block ends, and send traces to an endpoint."""
    if endpoint is not None:
        variables["otlp_endpoint"] = endpoint
    process = subprocess.Popen(
        _words(bundle, state),
        cwd=ROOT,
        env=_environment(variables),
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        service = TracedService(process)
        try:
            yield service
        finally:
            service.client.close()
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        assert process.stderr is not None
        process.stderr.close()


def refused_service(
    bundle: Bundle, state: Path, **variables: str
) -> "subprocess.CompletedProcess[str]":
    """Return what became of a service that could not start."""
    return subprocess.run(
        _words(bundle, state),
        cwd=ROOT,
        env=_environment(variables),
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
