"""The Open Inference Protocol v2: what KServe, Triton and MLServer clients may rely on."""

from typing import Any

import httpx
import pytest

from service.api.schemas import OipAnswer
from service.errors import QueueFull
from tests.fakes.service import FakeService
from tests.fixtures_service import MakeService

pytestmark = pytest.mark.anyio

MODEL = "/v2/models/acme.support"
TWO: dict[str, Any] = {
    "inputs": [{"name": "text", "shape": [2], "datatype": "BYTES", "data": ["a b", "c"]}]
}


def check_error(answer: httpx.Response, status: int, code: str) -> None:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    body = answer.json()
    assert body.keys() == {"error"}
    assert isinstance(body["error"], str)
    assert body["error"].endswith(f"[{code}]")


async def test_the_server_and_its_health_are_told(service: FakeService) -> None:
    service.publish("acme", "support")
    async with service.client() as client:
        told = (await client.get("/v2")).json()
        assert told.keys() == {"name", "version", "extensions"}
        assert (await client.get("/v2/health/live")).json() == {"live": True}
        assert (await client.get("/v2/health/ready")).json() == {"ready": True}
        service.lifecycle.warm = False
        assert (await client.get("/v2/health/live")).status_code == 200
        for path in ("/v2/health/ready", f"{MODEL}/ready"):
            cold = await client.get(path)
            assert (cold.status_code, cold.json()) == (503, {"error": "the server is warming up"})
            assert cold.headers["retry-after"] == "1"


async def test_a_model_tells_of_its_versions_and_tensors(service: FakeService) -> None:
    service.publish("acme", "support", seed=1)
    service.publish("acme", "support", seed=2, live=False)
    async with service.client() as client:
        model = (await client.get(MODEL)).json()
        assert model.keys() == {"name", "versions", "platform", "inputs", "outputs"}
        assert (model["name"], model["versions"]) == ("acme.support", ["1", "2"])
        shapes = {output["name"]: output["shape"] for output in model["outputs"]}
        assert shapes["probabilities"] == [-1, 3]
        one = (await client.get(f"{MODEL}/versions/2")).json()
        assert one["versions"] == ["2"]


async def test_a_model_is_ready_where_it_would_answer(service: FakeService) -> None:
    service.publish("acme", "support")
    service.publish("acme", "draft", live=False)
    async with service.client() as client:
        ready = await client.get(f"{MODEL}/ready")
        assert (ready.status_code, ready.json()) == (200, {"name": "acme.support", "ready": True})
        assert (await client.get(f"{MODEL}/versions/1/ready")).status_code == 200
        check_error(await client.get("/v2/models/acme.draft/ready"), 404, "no-live-version")
        assert (await client.get("/v2/models/acme.draft/versions/1/ready")).status_code == 200
        check_error(await client.get(f"{MODEL}/versions/9/ready"), 404, "unknown-version")


async def test_an_inference_answers_every_output_but_the_embedding(service: FakeService) -> None:
    version = service.publish("acme", "support")
    async with service.client() as client:
        answer = await client.post(f"{MODEL}/infer", json={**TWO, "id": "42"})
    assert answer.status_code == 200
    body = answer.json()
    OipAnswer.model_validate(body)
    assert (body["model_name"], body["model_version"], body["id"]) == ("acme.support", "1", "42")
    assert body["parameters"]["digest"] == version.digest
    outputs = {output["name"]: output for output in body["outputs"]}
    assert list(outputs) == ["label", "score", "probabilities", "id"]
    assert outputs["probabilities"]["shape"] == [2, 3]
    assert len(outputs["probabilities"]["data"]) == 6
    for row in range(2):
        scores = outputs["probabilities"]["data"][3 * row : 3 * row + 3]
        assert outputs["score"]["data"][row] == max(scores)
        assert outputs["label"]["data"][row] == version.labels[scores.index(max(scores))]
        assert service.signer.read(outputs["id"]["data"][row]).class_index == scores.index(
            max(scores)
        )


async def test_both_wires_give_the_same_numbers(service: FakeService) -> None:
    service.publish("acme", "support")
    async with service.client() as client:
        native = await client.post(
            "/v1/tenants/acme/adapters/support/predict", json={"inputs": ["a b", "c"]}
        )
        infer = await client.post(f"{MODEL}/infer", json=TWO)
    scores = [list(one["scores"].values()) for one in native.json()["predictions"]]
    [probabilities] = [
        output["data"] for output in infer.json()["outputs"] if output["name"] == "probabilities"
    ]
    assert probabilities == scores[0] + scores[1]


async def test_columns_pairs_and_chosen_outputs_are_taken(service: FakeService) -> None:
    service.publish("acme", "support")
    asked = {
        "inputs": [
            {"name": "text", "shape": [1, 1], "datatype": "BYTES", "data": [["a"]]},
            {"name": "pair", "shape": [1, 1], "datatype": "BYTES", "data": [["b"]]},
        ],
        "outputs": [{"name": "embedding"}, {"name": "label", "parameters": {"binary_data": False}}],
    }
    async with service.client() as client:
        body = (await client.post(f"{MODEL}/versions/1/infer", json=asked)).json()
    assert [(output["name"], output["datatype"]) for output in body["outputs"]] == [
        ("embedding", "FP32"),
        ("label", "BYTES"),
    ]
    assert body["id"], "an answer has an id, asked for or not"


async def test_the_index_lists_every_model(service: FakeService) -> None:
    service.publish("acme", "support")
    service.publish("acme", "draft", live=False)
    async with service.client() as client:
        for answer in (
            await client.post("/v2/repository/index"),
            await client.post("/v2/repository/index", json={}),
        ):
            assert {(line["name"], line["state"]) for line in answer.json()} == {
                ("acme.support", "READY"),
                ("acme.draft", "UNAVAILABLE"),
            }
        ready = await client.post("/v2/repository/index", json={"ready": True})
        assert [line["name"] for line in ready.json()] == ["acme.support"]


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/v2/models/nobody.support/infer", "unknown-tenant"),
        ("/v2/models/acme.nothing/infer", "unknown-adapter"),
        ("/v2/models/acme/infer", "unknown-adapter"),
        ("/v2/models/acme.support.more/infer", "unknown-adapter"),
        (f"{MODEL}/versions/9/infer", "unknown-version"),
        (f"{MODEL}/versions/latest/infer", "unknown-version"),
        ("/v2/no/such/route", "unknown-path"),
    ],
)
async def test_what_is_not_there_is_a_404(service: FakeService, path: str, code: str) -> None:
    service.publish("acme", "support")
    async with service.client() as client:
        check_error(await client.post(path, json=TWO), 404, code)


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"{", 400, "malformed"),
        (b'{"inputs": []}', 422, "unacceptable"),
        (
            b'{"inputs": [{"name": "text", "shape": [0], "datatype": "BYTES", "data": []}]}',
            422,
            "unacceptable",
        ),
        (b'{"inputs": [{"name": "text", "shape": [1], "datatype": "BYTES"}]}', 422, "unacceptable"),
    ],
)
async def test_a_body_that_cannot_be_is_a_string_too(
    service: FakeService, body: bytes, status: int, code: str
) -> None:
    service.publish("acme", "support")
    async with service.client() as client:
        check_error(await client.post(f"{MODEL}/infer", content=body), status, code)


async def test_errors_of_the_edge_are_strings_too(service_with: MakeService) -> None:
    service = service_with(admin_key="correct-horse-battery-staple", max_body_bytes=1024)
    key = {"authorization": "Bearer correct-horse-battery-staple"}
    async with service.client() as client:
        check_error(await client.get("/v2"), 401, "not-authenticated")
        wrong = await client.delete(f"{MODEL}/infer", headers=key)
        check_error(wrong, 405, "wrong-method")
        assert wrong.headers["allow"] == "POST"
        large = await client.post(f"{MODEL}/infer", content=b"x" * 2000, headers=key)
        check_error(large, 413, "body-too-large")
        service.publish("acme", "support")
        service.batcher.error = QueueFull("full")
        full = await client.post(f"{MODEL}/infer", json=TWO, headers=key)
        check_error(full, 503, "queue-full")
        assert full.headers["retry-after"] == "1"
        service.batcher.error = RuntimeError("internals")
        failed = await client.post(f"{MODEL}/infer", json=TWO, headers=key)
        check_error(failed, 500, "internal")
        assert "internals" not in failed.text
