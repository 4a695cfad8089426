"""Text Embeddings Inference: what its clients may rely on."""

import asyncio
import math
from typing import Any

import httpx
import numpy as np
import pytest

from service.api.foreign_schemas import TeiEmbeddings, TeiError, TeiInfo, TeiPredictions
from service.api.version import VERSION
from service.engine.errors import NonFiniteOutput
from service.errors import AdapterUnreadable, EngineFailed, QueueFull
from tests.fakes.batching import HIDDEN, probabilities_of
from tests.fakes.service import FakeService
from tests.fakes.tokens import MAX_LENGTH, FakeTokeniser, ids_of
from tests.fakes.waiting import until
from tests.fixtures_service import MakeService

pytestmark = pytest.mark.anyio

MODEL = "/tei/acme.support"
TYPES = {400: "Empty", 413: "Validation", 422: "Tokenizer", 429: "Overloaded", 424: "Backend"}
TYPES |= {503: "Unhealthy"}
LONG = "word " * (MAX_LENGTH + 1)


def check_error(answer: httpx.Response, status: int, code: str) -> str:
    """Hold an error against its form; return its text."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    body = TeiError.model_validate(answer.json())
    assert body.error.endswith(f"[{code}]")
    if status in TYPES:
        assert body.error_type == TYPES[status]
    return body.error


async def predict(service: FakeService, inputs: object, **others: object) -> Any:
    async with service.client() as client:
        answer = await client.post(f"{MODEL}/predict", json={"inputs": inputs, **others})
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/json"
    TeiPredictions.model_validate(answer.json())
    return answer.json()


async def embed(service: FakeService, inputs: object, **others: object) -> Any:
    async with service.client() as client:
        answer = await client.post(f"{MODEL}/embed", json={"inputs": inputs, **others})
    assert answer.status_code == 200, answer.text
    TeiEmbeddings.model_validate(answer.json())
    return answer.json()


# --- predict


async def test_a_text_is_answered_by_its_labels_best_first(service: FakeService) -> None:
    version = service.publish("acme", "support")
    told = await predict(service, "where is it")
    tokens = FakeTokeniser().encode(["where is it"])
    right = dict(
        zip(version.labels, probabilities_of(version.digest, tokens, 3)[0].tolist(), strict=True)
    )
    assert {line["label"]: line["score"] for line in told} == pytest.approx(right)
    scores = [line["score"] for line in told]
    assert scores == sorted(scores, reverse=True)
    assert all(line.keys() == {"label", "score"} for line in told)


@pytest.mark.parametrize(
    ("inputs", "asked", "batch"),
    [
        ("a", ["a"], False),
        (["a"], ["a"], False),
        (["a", "b"], ["a | b"], False),
        ([["a"], ["b"]], ["a", "b"], True),
        ([["a", "b"], ["c", "d"]], ["a | b", "c | d"], True),
        ([["a"], ["b", "c"]], ["a", "b | c"], True),
        ([["a"]], ["a"], True),
        (["", "b"], [" | b"], False),
    ],
)
async def test_a_list_is_a_pair_and_a_list_of_lists_a_batch(
    service: FakeService, inputs: object, asked: list[str], *, batch: bool
) -> None:
    service.publish("acme", "support")
    told = await predict(service, inputs)
    assert len(service.batcher.jobs) == 1, "a batch is one job"
    texts = ids_of(service.batcher.jobs[0].texts)
    assert texts == [text.ids for text in FakeTokeniser().encode(asked)]
    rows = told if batch else [told]
    assert [len(row) for row in rows] == [3] * len(asked)


async def test_raw_scores_are_logarithms_in_the_same_order(service: FakeService) -> None:
    service.publish("acme", "support")
    plain = await predict(service, "a b")
    raw = await predict(service, "a b", raw_scores=True)
    assert [line["label"] for line in raw] == [line["label"] for line in plain]
    for one, other in zip(raw, plain, strict=True):
        assert math.exp(one["score"]) == pytest.approx(other["score"], abs=1e-6)
        assert one["score"] < 0


async def test_a_text_that_is_too_long_is_cut_only_where_that_is_asked_for(
    service: FakeService,
) -> None:
    service.publish("acme", "support")
    async with service.client() as client:
        for path in ("predict", "embed"):
            for given in ({}, {"truncate": False}, {"truncate": None}):
                answer = await client.post(f"{MODEL}/{path}", json={"inputs": LONG, **given})
                check_error(answer, 413, "input-too-long")
    assert service.batcher.jobs == [], "it is refused before any work"
    await predict(service, LONG, truncate=True)
    await predict(service, LONG, truncate=True, truncation_direction="Right")
    await embed(service, LONG, truncate=True)
    await predict(service, "short", truncation_direction="left")


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"{", 400, "malformed"),
        (b'{"inputs": "\xff"}', 400, "malformed"),
        (b'{"inputs": []}', 400, "malformed"),
        (b'{"inputs": ""}', 400, "malformed"),
        (b'{"inputs": ["", ""]}', 400, "malformed"),
        (b'{"inputs": [["a"], [""]]}', 400, "malformed"),
        (b"{}", 422, "unacceptable"),
        (b'{"inputs": 5}', 422, "unacceptable"),
        (b'{"inputs": {"text": "a"}}', 422, "unacceptable"),
        (b'{"inputs": ["a", "b", "c"]}', 422, "unacceptable"),
        (b'{"inputs": ["a", ["b"]]}', 422, "unacceptable"),
        (b'{"inputs": [["a"], "b"]}', 422, "unacceptable"),
        (b'{"inputs": [["a", "b", "c"]]}', 422, "unacceptable"),
        (b'{"inputs": [[]]}', 422, "unacceptable"),
        (b'{"inputs": "a", "raw_scores": "yes"}', 422, "unacceptable"),
        (b'{"inputs": "a", "truncate": true, "truncation_direction": "left"}', 422, "unacceptable"),
        (b'{"inputs": "a", "truncation_direction": "up"}', 422, "unacceptable"),
        (b'{"inputs": [["a"], ["a"], ["a"], ["a"], ["a"]]}', 413, "body-too-large"),
        (b'{"inputs": ["", "", "", "", ""]}', 413, "body-too-large"),
        (b'{"inputs": "' + b"a" * 2000 + b'"}', 413, "body-too-large"),
    ],
)
async def test_a_prediction_that_cannot_be_is_refused(
    service_with: MakeService, body: bytes, status: int, code: str
) -> None:
    service = service_with(max_inputs=4, max_body_bytes=1024)
    service.publish("acme", "support")
    async with service.client() as client:
        check_error(await client.post(f"{MODEL}/predict", content=body), status, code)
    assert service.batcher.jobs == []


async def test_members_that_are_not_known_are_passed_over(service: FakeService) -> None:
    service.publish("acme", "support")
    await predict(service, "a", model="acme.support")
    await embed(service, "a", encoding_format="float")


# --- embed


async def test_embeddings_have_a_length_of_1_unless_that_is_not_wanted(
    service: FakeService,
) -> None:
    service.publish("acme", "support")
    [one] = await embed(service, "a")
    assert one == pytest.approx([1 / math.sqrt(HIDDEN)] * HIDDEN)
    raw = await embed(service, ["a", "b"], normalize=False)
    assert raw == [[1.0] * HIDDEN] * 2


async def test_the_first_components_alone_have_a_length_of_1_too(service: FakeService) -> None:
    service.publish("acme", "support")
    [one] = await embed(service, "a", dimensions=4)
    assert one == pytest.approx([0.5] * 4)


@pytest.mark.parametrize(
    ("given", "status", "code"),
    [
        ({"inputs": []}, 400, "malformed"),
        ({"inputs": ["a", ""]}, 400, "malformed"),
        ({"inputs": ["a"] * 5}, 413, "body-too-large"),
        ({"inputs": [1, 2]}, 422, "unacceptable"),
        ({"inputs": [["a", "b"]]}, 422, "unacceptable"),
        ({"inputs": "a", "prompt_name": "query"}, 422, "unacceptable"),
        ({"inputs": "a", "dimensions": 0}, 422, "unacceptable"),
        ({"inputs": "a", "dimensions": 1000}, 422, "unacceptable"),
        ({"inputs": "a", "normalize": 1}, 422, "unacceptable"),
    ],
)
async def test_an_embedding_that_cannot_be_is_refused(
    service_with: MakeService, given: dict[str, Any], status: int, code: str
) -> None:
    service = service_with(max_inputs=4)
    service.publish("acme", "support")
    async with service.client() as client:
        check_error(await client.post(f"{MODEL}/embed", json=given), status, code)
    assert service.batcher.jobs == []


# --- statuses that both share


@pytest.mark.parametrize("path", ["predict", "embed"])
@pytest.mark.parametrize(
    ("model", "code"),
    [
        ("nobody.support", "unknown-tenant"),
        ("acme.nothing", "unknown-adapter"),
        ("acme", "unknown-adapter"),
        ("acme.draft", "no-live-version"),
    ],
)
async def test_a_model_that_is_not_there_is_a_404(
    service: FakeService, path: str, model: str, code: str
) -> None:
    service.publish("acme", "support")
    service.publish("acme", "draft", live=False)
    async with service.client() as client:
        answer = await client.post(f"/tei/{model}/{path}", json={"inputs": "a"})
    check_error(answer, 404, code)


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (QueueFull("full"), 429, "queue-full"),
        (NonFiniteOutput("sha256:x"), 424, "adapter-quarantined"),
        (AdapterUnreadable("altered"), 424, "adapter-unreadable"),
        (EngineFailed("gone"), 503, "engine-failed"),
        (RuntimeError("internals"), 500, "internal"),
    ],
)
async def test_what_the_batcher_raises_is_told_in_that_server_s_statuses(
    service: FakeService, error: Exception, status: int, code: str
) -> None:
    service.publish("acme", "support")
    service.batcher.error = error
    async with service.client() as client:
        answer = await client.post(f"{MODEL}/predict", json={"inputs": "a"})
    assert "internals" not in check_error(answer, status, code)
    assert ("retry-after" in answer.headers) == (status in (429, 503))
    route = "POST /tei/{model}/predict"
    counted = f"{status // 100}xx"
    assert service.metric("tenantry_requests_total", route=route, status=counted) == 1


async def test_an_answer_that_is_late_is_a_504(service: FakeService) -> None:
    service.publish("acme", "support")
    service.batcher.gate.clear()
    async with service.client() as client:
        answer = await client.post(
            f"{MODEL}/predict", json={"inputs": "a"}, headers={"x-timeout-ms": "20"}
        )
    check_error(answer, 504, "deadline-passed")


async def test_a_caller_without_a_key_is_told_in_that_server_s_form(
    service_with: MakeService,
) -> None:
    service = service_with(admin_key="correct-horse-battery-staple")
    service.publish("acme", "support")
    async with service.client() as client:
        for method, path in (("POST", "predict"), ("POST", "embed"), ("GET", "info")):
            answer = await client.request(method, f"{MODEL}/{path}", json={"inputs": "a"})
            check_error(answer, 401, "not-authenticated")
            assert answer.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("POST", f"{MODEL}/rerank", 404, "unknown-path"),
        ("GET", "/tei", 404, "unknown-path"),
        ("GET", f"{MODEL}/predict", 405, "wrong-method"),
    ],
)
async def test_routes_that_are_not_there_are_told_in_that_form_too(
    service: FakeService, method: str, path: str, status: int, code: str
) -> None:
    async with service.client() as client:
        check_error(await client.request(method, path), status, code)


async def test_another_type_than_json_is_refused(service: FakeService) -> None:
    service.publish("acme", "support")
    async with service.client() as client:
        answer = await client.post(
            f"{MODEL}/predict", content=b"a", headers={"content-type": "text/plain"}
        )
    check_error(answer, 415, "wrong-media-type")


# --- info and health


async def test_info_tells_of_the_live_version_and_the_limits(service_with: MakeService) -> None:
    service = service_with(max_inputs=32, queue_texts_max=99, queue_tokens_max=5000)
    version = service.publish("acme", "support")
    service.publish("acme", "support", seed=1, live=False)
    async with service.client() as client:
        answer = await client.get(f"{MODEL}/info")
    assert answer.status_code == 200
    TeiInfo.model_validate(answer.json())
    assert answer.json() == {
        "model_id": "acme.support",
        "model_sha": version.digest,
        "model_dtype": "float32",
        "model_type": {
            "classifier": {
                "id2label": {"0": "label 0", "1": "label 1", "2": "label 2"},
                "label2id": {"label 0": 0, "label 1": 1, "label 2": 2},
            }
        },
        "max_concurrent_requests": 99,
        "max_input_length": service.bundle.manifest.max_length,
        "max_batch_tokens": 5000,
        "max_batch_requests": None,
        "max_client_batch_size": 32,
        "auto_truncate": False,
        "tokenization_workers": 1,
        "version": VERSION,
        "sha": None,
        "docker_label": None,
    }


@pytest.mark.parametrize("path", ["info", "health"])
async def test_a_model_that_cannot_answer_has_no_info_and_no_health(
    service: FakeService, path: str
) -> None:
    service.publish("acme", "draft", live=False)
    async with service.client() as client:
        check_error(await client.get(f"/tei/acme.draft/{path}"), 404, "no-live-version")
        check_error(await client.get(f"/tei/acme.none/{path}"), 404, "unknown-adapter")
        check_error(await client.get(f"/tei/none.none/{path}"), 404, "unknown-tenant")


async def test_health_is_an_empty_200_or_says_that_it_is_not(service: FakeService) -> None:
    service.publish("acme", "support")
    async with service.client() as client:
        well = await client.get(f"{MODEL}/health")
        assert (well.status_code, well.content) == (200, b"")
        service.lifecycle.warm = False
        cold = await client.get(f"{MODEL}/health")
    assert cold.status_code == 503
    assert TeiError.model_validate(cold.json()).error_type == "Unhealthy"
    assert cold.headers["retry-after"] == "1"


async def test_texts_in_one_pass_are_not_mixed_up(service: FakeService) -> None:
    service.publish("acme", "support")
    texts = [f"text {number}" for number in range(20)]
    alone = [await predict(service, text) for text in texts]
    together = await predict(service, [[text] for text in texts])
    assert together == alone
    assert not np.allclose([row[0]["score"] for row in alone], alone[0][0]["score"])


async def test_a_server_that_stops_is_unhealthy(service: FakeService) -> None:
    service.publish("acme", "support")
    service.batcher.gate.clear()
    async with service.client() as client:
        asked = asyncio.create_task(client.post(f"{MODEL}/predict", json={"inputs": "a"}))
        await until(lambda: service.batcher.waiting == 1)
        service.lifecycle.draining = True
        check_error(await client.get(f"{MODEL}/health"), 503, "stopping")
        service.batcher.gate.set()
        assert (await asked).status_code == 200
