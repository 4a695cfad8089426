"""`tenantry serve` on a small real bundle: from the command to an answer, and after a kill."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.engine.bundle import Bundle
from tests.fakes.packages import files_of, labels_of, metadata_of, zip_of

ROOT = Path(__file__).resolve().parents[2]
COMMAND = [sys.executable, "-c", "from service.command import main; main()", "serve"]
PREDICT = "/v1/tenants/acme/adapters/support/predict"
PATIENCE_S = 60.0


@pytest.fixture(scope="module")
def bundle(bundle_of: Callable[[str], Bundle]) -> Bundle:
    return bundle_of("bert")


class Served:
    """One run of the command."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self.process = process
        self.lines: list[dict[str, Any]] = []

    def line(self, message: str) -> dict[str, Any]:
        """Read the log up to a line that begins so."""
        assert self.process.stderr is not None
        while text := self.process.stderr.readline():
            self.lines.append(json.loads(text))
            if self.lines[-1]["message"].startswith(message):
                return self.lines[-1]
        raise AssertionError(f"it ended without saying {message!r}: {self.lines}")

    def address(self) -> str:
        message: str = self.line("listening on ")["message"]
        return message.removeprefix("listening on ")


@contextmanager
def serving(bundle: Bundle, state: Path, *options: str, **variables: str) -> Iterator[Served]:
    process = subprocess.Popen(
        [*COMMAND, "--bundle", str(bundle.path), "--state", str(state), "--port", "0",
         "--provider", "cpu", "--threads", "1", *options],
        cwd=ROOT,
        env={**os.environ, **variables},
        stderr=subprocess.PIPE,
        text=True,
    )  # fmt: skip
    try:
        yield Served(process)
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def wait_until_ready(url: str) -> None:
    end = time.monotonic() + PATIENCE_S
    while httpx.get(url + "/readyz").status_code != 200:
        assert time.monotonic() < end, "it did not get ready"
        time.sleep(0.05)


def upload(client: httpx.Client, bundle: Bundle) -> httpx.Response:
    files = {
        "package": ("adapter.zip", zip_of(files_of(bundle.manifest, labels=3))),
        "metadata": (None, metadata_of(3)),
    }
    return client.post("/v1/tenants/acme/adapters/support/versions", files=files)


def test_an_upload_answers_and_still_does_after_a_kill(bundle: Bundle, tmp_path: Path) -> None:
    asked = {"inputs": ["where is my parcel", "I want my money back"]}
    with serving(bundle, tmp_path / "state") as served:
        url = served.address()
        assert httpx.get(url + "/livez").status_code == 200
        wait_until_ready(url)
        with httpx.Client(base_url=url, timeout=30) as client:
            assert client.put("/v1/tenants/acme", json={}).status_code == 201
            made = upload(client, bundle)
            assert made.status_code == 201, made.text
            rollout = client.put("/v1/tenants/acme/adapters/support/rollout", json={"live": 1})
            assert rollout.status_code == 200
            first = client.post(PREDICT, json=asked).json()
            assert first["model"]["digest"] == made.json()["digest"]
            assert first["model"]["provider"] == "cpu"
            assert sorted(first["predictions"][0]["scores"]) == labels_of(3)
            metrics = client.get("/metrics").text
            assert f'bundle="{bundle.digest}"' in metrics
            assert 'tenantry_texts_total{tenant="acme"} 2.0' in metrics
            assert "_created" not in metrics
        served.process.send_signal(signal.SIGKILL)
        served.process.wait()
    with serving(bundle, tmp_path / "state") as served:
        url = served.address()
        wait_until_ready(url)
        second = httpx.post(url + PREDICT, json=asked, timeout=30).json()
        for before, after in zip(first["predictions"], second["predictions"], strict=True):
            assert after["scores"] == pytest.approx(before["scores"], abs=1e-6)
        served.process.send_signal(signal.SIGTERM)
        assert served.process.wait(timeout=20) == 0


def test_it_says_what_it_picked_where_it_listens_and_that_it_is_open(
    bundle: Bundle, tmp_path: Path
) -> None:
    with serving(bundle, tmp_path / "state", "--operator-port", "0") as served:
        ready = served.line("ready")
    messages = [(line["level"], line["message"]) for line in served.lines]
    assert any(level == "warning" and "OPEN" in said for level, said in messages)
    assert any(said.startswith("provider cpu: ") for _, said in messages)
    assert any(said.startswith("listening on http://127.0.0.1:") for _, said in messages)
    assert any("without a key, on http://127.0.0.1:" in said for _, said in messages)
    assert (ready["provider"], ready["bundle"]) == ("cpu", bundle.digest)


def test_a_request_that_comes_before_it_is_warm_is_answered(bundle: Bundle, tmp_path: Path) -> None:
    state = tmp_path / "state"
    with serving(bundle, state) as served:
        url = served.address()
        wait_until_ready(url)
        with httpx.Client(base_url=url, timeout=30) as client:
            client.put("/v1/tenants/acme", json={})
            assert upload(client, bundle).status_code == 201
            client.put("/v1/tenants/acme/adapters/support/rollout", json={"live": 1})
        served.process.send_signal(signal.SIGTERM)
        assert served.process.wait(timeout=20) == 0
    with serving(bundle, state) as served:
        answer = httpx.post(served.address() + PREDICT, json={"inputs": ["early"]}, timeout=30)
        assert answer.status_code == 200


def test_with_a_key_it_says_nothing_of_being_open_and_keeps_the_key_to_itself(
    bundle: Bundle, tmp_path: Path
) -> None:
    key = "correct-horse-battery-staple"
    with serving(bundle, tmp_path / "state", TENANTRY_ADMIN_KEY=key) as served:
        url = served.address()
        assert httpx.get(url + "/v1/tenants").status_code == 401
        headers = {"authorization": f"Bearer {key}"}
        assert httpx.get(url + "/v1/tenants", headers=headers).status_code == 200
        served.line("ready")
    assert "OPEN" not in json.dumps(served.lines)
    assert key not in json.dumps(served.lines)


@pytest.mark.parametrize(
    ("options", "variables", "said"),
    [
        ([], {"TENANTRY_PROT": "1"}, "TENANTRY_PORT?"),
        (["--host", "0.0.0.0"], {}, "TENANTRY_ADMIN_KEY"),
        (["--provider", "abacus"], {}, "TENANTRY_PROVIDER"),
        (["--bundle", "/nowhere"], {}, "tenantry export"),
    ],
)
def test_a_start_that_cannot_be_is_one_clear_line(
    bundle: Bundle, tmp_path: Path, options: list[str], variables: dict[str, str], said: str
) -> None:
    with serving(bundle, tmp_path / "state", *options, **variables) as served:
        _, errors = served.process.communicate(timeout=PATIENCE_S)
    assert served.process.returncode == 1
    last = errors.splitlines()[-1]
    assert last.startswith("tenantry: ")
    assert said in last
    assert "Traceback" not in errors


def test_a_port_that_is_taken_is_named(bundle: Bundle, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        with serving(bundle, tmp_path / "state", "--port", port) as served:
            _, errors = served.process.communicate(timeout=PATIENCE_S)
    assert served.process.returncode == 1
    assert f"port {port}" in errors.splitlines()[-1]
    assert "TENANTRY_PORT" in errors.splitlines()[-1]


def test_serving_imports_none_of_the_training_libraries() -> None:
    script = (
        "import sys, service.serve\n"
        "print(*sorted({'torch', 'transformers', 'peft'} & sys.modules.keys()))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == ""
