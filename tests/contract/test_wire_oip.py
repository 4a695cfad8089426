"""The Open Inference Protocol v2: what KServe, Triton and MLServer clients may rely on."""

from typing import Any

import httpx
import pytest

from service.api.schemas import OipAnswer
from service.errors import QueueFull
from tests.fakes.service import ADMIN_KEY, FakeService, bearer
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


async def test_the_routing_key_and_the_group_go_with_the_parameters(service: FakeService) -> None:
    service.publish("acme", "support", seed=1)
    canary = service.publish("acme", "support", seed=2, live=False)
    rollout = {"live": 1, "canary": {"version": canary.version, "percent": 50}}
    service.registry.set_rollout("acme", "support", rollout, None, "tests")
    async with service.client() as client:
        seen: dict[str, set[str]] = {}
        for number in range(60):
            key = f"user-{number % 12}"
            asked = {**TWO, "parameters": {"routing_key": key, "group": "north"}}
            answer = await client.post(f"{MODEL}/infer", json=asked)
            assert answer.status_code == 200, answer.text
            seen.setdefault(key, set()).add(answer.json()["model_version"])
    assert all(len(versions) == 1 for versions in seen.values()), "a key sees one version"
    assert set.union(*seen.values()) == {"1", "2"}, "which is not the same for all"
    assert {block.group for block in service.log.blocks} == {"north"}


async def test_the_configuration_is_what_tritons_clients_read(service: FakeService) -> None:
    service.publish("acme", "support", labels=4)
    async with service.client() as client:
        config = (await client.get(f"{MODEL}/config")).json()
        assert (config["name"], config["max_batch_size"]) == ("acme.support", 0)
        inputs = {one["name"]: one for one in config["input"]}
        assert inputs["text"] == {"name": "text", "data_type": "TYPE_STRING", "dims": [-1]}
        assert inputs["pair"]["optional"] is True
        outputs = {one["name"]: (one["data_type"], one["dims"]) for one in config["output"]}
        assert outputs["probabilities"] == ("TYPE_FP32", [-1, 4])
        assert (await client.get(f"{MODEL}/versions/1/config")).json() == config
        check_error(await client.get(f"{MODEL}/versions/2/config"), 404, "unknown-version")
        check_error(await client.get("/v2/models/acme.x/config"), 404, "unknown-adapter")


async def test_the_statistics_count_answers_and_failures(service: FakeService) -> None:
    service.publish("acme", "support")
    service.publish("acme", "other")
    async with service.client() as client:
        for _ in range(3):
            await client.post(f"{MODEL}/infer", json=TWO)
        service.batcher.error = QueueFull("full")
        await client.post(f"{MODEL}/infer", json=TWO)
        service.batcher.error = None
        await client.post("/v2/models/acme.nothing/infer", json=TWO)
        [line] = (await client.get(f"{MODEL}/stats")).json()["model_stats"]
        assert (line["name"], line["version"]) == ("acme.support", "1")
        assert (line["inference_count"], line["execution_count"]) == (6, 3)
        parts = line["inference_stats"]
        assert (parts["success"]["count"], parts["fail"]["count"]) == (3, 1)
        assert parts["success"]["ns"] > 0
        assert parts["compute_infer"]["count"] == 3
        assert line["last_inference"] > 1_600_000_000_000
        [idle] = (await client.get("/v2/models/acme.other/versions/1/stats")).json()["model_stats"]
        assert (idle["inference_count"], idle["last_inference"]) == (0, 0)
        every = (await client.get("/v2/models/stats")).json()["model_stats"]
        assert [one["name"] for one in every] == ["acme.support"], "the one that was asked"
        check_error(await client.get("/v2/models/acme.x/stats"), 404, "unknown-adapter")


async def test_models_are_not_loaded_and_what_is_not_offered_is_told_in_words(
    service: FakeService,
) -> None:
    service.publish("acme", "support")
    async with service.client() as client:
        for verb in ("load", "unload"):
            refused = await client.post(f"/v2/repository/models/acme.support/{verb}", json={})
            check_error(refused, 422, "unacceptable")
            assert "upload" in refused.json()["error"]
        for path in ("/v2/trace/setting", "/v2/logging", "/v2/systemsharedmemory/status"):
            check_error(await client.get(path), 404, "unknown-path")
        check_error(
            await client.post(
                f"{MODEL}/infer",
                json={**TWO, "outputs": [{"name": "label", "parameters": {"classification": 2}}]},
            ),
            422,
            "unacceptable",
        )


async def test_the_server_lists_the_extensions_that_it_has(service: FakeService) -> None:
    async with service.client() as client:
        assert (await client.get("/v2")).json()["extensions"] == [
            "binary_tensor_data",
            "model_configuration",
            "model_repository",
            "statistics",
        ]


async def test_the_index_lists_what_answers_and_what_does_not(service: FakeService) -> None:
    service.publish("acme", "support", seed=1)
    service.publish("acme", "support", seed=2, live=False)
    service.publish("acme", "draft", live=False)
    rollout = {"live": 1, "canary": {"version": 2, "percent": 10}}
    async with service.client() as client:
        for answer in (
            await client.post("/v2/repository/index"),
            await client.post("/v2/repository/index", json={}),
            await client.post("/v2/repository/index", headers={"content-type": "text/plain"}),
        ):
            assert {(line["name"], line["version"], line["state"]) for line in answer.json()} == {
                ("acme.support", "1", "READY"),
                ("acme.draft", "1", "UNAVAILABLE"),
            }
        service.registry.set_rollout("acme", "support", rollout, None, "tests")
        ready = await client.post("/v2/repository/index", json={"ready": True})
        assert [(line["name"], line["version"]) for line in ready.json()] == [
            ("acme.support", "1"),
            ("acme.support", "2"),
        ]


async def test_a_key_sees_the_models_of_its_tenant_alone(service_with: MakeService) -> None:
    service = service_with(admin_key=ADMIN_KEY)
    service.publish("acme", "support")
    service.publish("globex", "support")
    mine = service.bearer("acme", "predict")
    async with service.client(headers=mine) as client:
        index = (await client.post("/v2/repository/index")).json()
        assert [line["name"] for line in index] == ["acme.support"]
        for path in ("", "/ready", "/config", "/stats", "/versions/1", "/versions/1/stats"):
            assert (await client.get(f"{MODEL}{path}")).status_code == 200
            foreign = await client.get(f"/v2/models/globex.support{path}")
            absent = await client.get(f"/v2/models/nobody.support{path}")
            check_error(foreign, 404, "unknown-tenant")
            assert foreign.json()["error"].replace("globex", "nobody") == absent.json()["error"]
        foreign = await client.post("/v2/models/globex.support/infer", json=TWO)
        check_error(foreign, 404, "unknown-tenant")
        assert (await client.post(f"{MODEL}/infer", json=TWO)).status_code == 200
        async with service.client(headers=bearer(ADMIN_KEY)) as operator:
            asked = await operator.post("/v2/models/globex.support/infer", json=TWO)
            assert asked.status_code == 200
            every = (await operator.get("/v2/models/stats")).json()["model_stats"]
            assert {line["name"] for line in every} == {"acme.support", "globex.support"}
        own = (await client.get("/v2/models/stats")).json()["model_stats"]
        assert {line["name"] for line in own} == {"acme.support"}
    async with service.client(headers=service.bearer("acme", "publish")) as client:
        check_error(await client.post(f"{MODEL}/infer", json=TWO), 403, "not-permitted")
        check_error(await client.post("/v2/repository/index"), 403, "not-permitted")


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
        check_error(await client.get(MODEL), 401, "not-authenticated")
        assert (await client.get("/v2")).status_code == 200
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
