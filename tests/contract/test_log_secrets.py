"""The log at its most talkative: every wire, answers and errors, and no text, label or key."""

import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest

from service.api.logs import begin_logging
from service.rpc.open_inference_pb2 import ModelInferRequest
from tests.fakes.rpc import serving_rpc
from tests.fakes.service import ADMIN_KEY, FakeService, bearer
from tests.fixtures_service import MakeService

SECRET = "canary-0c7f"  # in every text, label, group and name that is sent
BASE = "/v1/tenants/acme/adapters/support"

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("lasting_loop")]


@pytest.fixture
def service(service_with: MakeService) -> Iterator[FakeService]:
    changed = [logging.getLogger(name) for name in ("", "service", "uvicorn.error", "asyncio")]
    before = [(one, one.level, one.filters[:]) for one in changed]
    made = service_with(request_log="all", admin_key=ADMIN_KEY)
    made.publish("acme", "support")
    yield made
    for one, level, filters in before:
        one.filters[:] = filters
        one.setLevel(level)


def requests() -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Return requests of every wire that send the canary, good ones and bad ones."""
    text = f"my {SECRET} text"
    oip = {"inputs": [{"name": "text", "shape": [1], "datatype": "BYTES", "data": [text]}]}
    plain = {"inputs": [text], "routing_key": SECRET, "group": SECRET}
    yield "POST", f"{BASE}/predict", {"json": plain}
    yield "POST", f"{BASE}/predict", {"json": {"inputs": [{"text": text, "pair": text}]}}
    yield "POST", f"{BASE}/predict", {"json": {"inputs": {text: text}}}
    yield "POST", f"{BASE}/predict", {"content": f'{{"inputs": ["{text}'.encode()}
    yield "POST", f"{BASE}/predict", {"content": text.encode() + b"\xff"}
    yield "POST", f"{BASE}/predict", {"content": text, "headers": {"content-encoding": "gzip"}}
    yield "POST", f"{BASE}/predict", {"json": plain, "params": {"key": SECRET}}
    yield "POST", f"{BASE}/predict", {"json": plain, "headers": {"x-request-id": f"<{SECRET}>"}}
    yield "POST", f"{BASE}/predict", {"json": plain, "headers": {"x-timeout-ms": SECRET}}
    yield "POST", f"{BASE}/predict", {"json": plain, "headers": {"traceparent": SECRET}}
    yield "POST", f"{BASE}/predict", {"content": SECRET, "headers": {"content-type": "image/png"}}
    yield "POST", "/v2/models/acme.support/infer", {"json": oip}
    yield "POST", "/v2/models/acme.support/infer", {"json": {"inputs": [text]}}
    yield (
        "POST",
        "/v2/models/acme.support/infer",
        {"content": text, "headers": {"inference-header-content-length": "3"}},
    )
    yield "POST", "/tei/acme.support/predict", {"json": {"inputs": text}}
    yield "POST", "/tei/acme.support/embed", {"json": {"inputs": [text], "truncate": text}}
    yield "POST", "/hf/acme.support", {"json": {"inputs": text}}
    yield "POST", "/classify", {"json": {"model": "acme.support", "input": text}}
    yield "POST", "/classify", {"json": {"model": text, "input": text}}
    yield "POST", "/v1/feedback", {"json": {"labels": [{"id": SECRET, "label": SECRET}]}}
    yield "POST", f"{BASE}/versions", {"files": {"package": (SECRET, SECRET.encode())}}
    yield (
        "POST",
        f"{BASE}/versions",
        {"files": {"package": (SECRET, b"PK"), "metadata": (None, f'{{"labels": ["{SECRET}"]')}},
    )
    yield "PUT", f"{BASE}/rollout", {"json": {"live": 1, "force": {"reason": SECRET}}}
    yield "PUT", "/v1/tenants/acme", {"json": {"class": SECRET, SECRET: 1}}
    yield "GET", f"/v1/tenants/{SECRET}", {}
    yield "DELETE", f"/v1/tenants/acme/keys/{SECRET}", {}
    yield "GET", f"/{SECRET}", {}


async def test_no_line_of_the_log_holds_what_was_sent(
    service: FakeService, capsys: pytest.CaptureFixture[str]
) -> None:
    begin_logging("debug", "json")
    sent = 0
    async with service.client(headers=bearer(ADMIN_KEY)) as client:
        for error in (None, RuntimeError(f"cannot read {SECRET}")):
            service.batcher.error = error
            for method, path, options in requests():
                answer = await client.request(method, path, **options)
                assert answer.status_code < 600
                sent += 1
    lines = _lines(capsys, service)
    told = [line for line in lines if line["message"] == "request"]
    assert len(told) == sent
    assert {line["logger"] for line in lines} <= {"service.api.middleware"}
    assert {200, 400, 404, 415, 422, 500} <= {line["status"] for line in told}
    failed = [line for line in told if line["status"] == 500]
    assert all("builtins.RuntimeError" in line["error"] for line in failed)


async def test_no_line_holds_what_was_sent_over_grpc(
    service: FakeService, capsys: pytest.CaptureFixture[str]
) -> None:
    begin_logging("debug", "json")
    request = ModelInferRequest(model_name="acme.support")
    given = request.inputs.add(name="text", datatype="BYTES", shape=[1])
    given.contents.bytes_contents.append(SECRET.encode())
    messages = [request.SerializeToString(), SECRET.encode() + b"\xff"]
    metadata = (("authorization", f"Bearer {ADMIN_KEY}"), ("traceparent", SECRET))
    async with serving_rpc(service, request_log="all", admin_key=ADMIN_KEY) as client:
        for error in (None, RuntimeError(f"cannot read {SECRET}")):
            service.batcher.error = error
            for message in messages:
                call = client.method("ModelInfer")(message, metadata=metadata)
                await call.code()
    lines = _lines(capsys, service)
    assert [line["status"] for line in lines] == [200, 400, 500, 400]


async def test_no_line_holds_a_key_that_does_not_open(
    service: FakeService, capsys: pytest.CaptureFixture[str]
) -> None:
    begin_logging("debug", "json")
    async with service.client() as client:
        for value in (
            f"Bearer {SECRET}",
            f"Basic {SECRET}",
            SECRET,
            f"Bearer {ADMIN_KEY} {SECRET}",
        ):
            answer = await client.get("/v1/tenants", headers={"authorization": value})
            assert answer.status_code == 401
    assert [line["status"] for line in _lines(capsys, service)] == [401] * 4


def _lines(capsys: pytest.CaptureFixture[str], service: FakeService) -> list[dict[str, Any]]:
    """Return the lines, which hold neither the canary nor a key nor a label."""
    logging.getLogger().handlers.clear()  # pytest adds its own anew for each test
    told = capsys.readouterr().err
    assert SECRET not in told
    assert ADMIN_KEY not in told
    for labels in service.batcher.labels.values():
        for label in labels:
            assert label not in told
    return [json.loads(line) for line in told.splitlines()]
