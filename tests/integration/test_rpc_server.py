"""The gRPC server as part of a process: stopped with calls in hand, and left by its clients."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest

from service.rpc.open_inference_pb2 import ModelInferRequest, ModelInferResponse
from tests.fakes.service import ADMIN_KEY

ROOT = Path(__file__).resolve().parents[2]
METHOD = "/inference.GRPCInferenceService/ModelInfer"
KEY = (("authorization", f"Bearer {ADMIN_KEY}"),)
CALLS = 'tenantry_requests_total{route="grpc ModelInfer",status="%s"}'


class Running:
    """The process, and how to call it."""

    def __init__(self, process: "subprocess.Popen[str]", told: dict[str, str]) -> None:
        self.process = process
        self.url = told["url"]
        self.channel = grpc.insecure_channel(told["grpc"])
        self.infer: Any = self.channel.unary_unary(METHOD)

    def counted(self, status: str) -> float:
        """Return how many calls ended in a class of statuses."""
        headers = {"authorization": f"Bearer {ADMIN_KEY}"}
        page = httpx.get(f"{self.url}/metrics", headers=headers).text
        [line] = [line for line in page.splitlines() if line.startswith(CALLS % status)]
        return float(line.split()[-1])

    def wait_until_counted(self, status: str, count: int) -> None:
        end = time.monotonic() + 20
        while self.counted(status) < count:
            assert time.monotonic() < end, f"there are no {count} calls that ended so: {status}"
            time.sleep(0.02)


@contextmanager
def running(state: Path, *settings: str) -> Iterator[Running]:
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.fakes.serving_rpc", str(state), *settings],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        said = process.stdout.readline()
        assert said, process.communicate()[1]
        made = Running(process, json.loads(said))
        with made.channel:
            yield made
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def slow(tenths: int) -> bytes:
    """Return a request that the fake answers after so many tenths of a second."""
    text = ModelInferRequest.InferInputTensor(name="text", datatype="BYTES", shape=[1])
    text.contents.bytes_contents.append(b"slow" + b" x" * tenths)
    return ModelInferRequest(model_name="acme.support", inputs=[text]).SerializeToString()


def test_sigterm_answers_what_was_accepted_refuses_what_is_new_and_ends_with_0(
    tmp_path: Path,
) -> None:
    with running(tmp_path) as server:
        server.infer(slow(0), metadata=KEY, timeout=10)
        accepted = server.infer.future(slow(12), metadata=KEY, timeout=20)
        time.sleep(0.3)
        server.process.send_signal(signal.SIGTERM)
        time.sleep(0.3)
        with pytest.raises(grpc.RpcError) as refused:
            server.infer(slow(0), metadata=KEY, timeout=10)
        assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
        assert str(refused.value.details()).endswith("[stopping]")
        answer = ModelInferResponse.FromString(accepted.result(timeout=20))
        assert answer.model_version == "1"
        assert server.process.wait(timeout=10) == 0
        assert "Traceback" not in server.process.communicate()[1]


def test_a_drain_ends_when_its_time_is_up_and_tells_who_still_waited(tmp_path: Path) -> None:
    with running(tmp_path, "drain_s=0.5") as server:
        server.infer(slow(0), metadata=KEY, timeout=10)
        waiting = server.infer.future(slow(90), metadata=KEY, timeout=30)
        time.sleep(0.3)
        server.process.send_signal(signal.SIGTERM)
        with pytest.raises(grpc.RpcError) as told:
            waiting.result(timeout=10)
        assert told.value.code() is grpc.StatusCode.UNAVAILABLE
        assert server.process.wait(timeout=10) == 0


def test_the_work_of_a_client_that_left_or_waited_too_long_is_dropped(tmp_path: Path) -> None:
    with running(tmp_path) as server:
        left = server.infer.future(slow(100), metadata=KEY, timeout=30)
        time.sleep(0.3)
        left.cancel()
        server.wait_until_counted("left", 1)
        assert (tmp_path / "dropped").exists()
        (tmp_path / "dropped").unlink()
        with pytest.raises(grpc.RpcError) as late:
            server.infer(slow(100), metadata=KEY, timeout=0.3)
        assert late.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        end = time.monotonic() + 20
        while server.counted("left") + server.counted("5xx") < 2:
            assert time.monotonic() < end, "the call is still under way"
            time.sleep(0.02)
