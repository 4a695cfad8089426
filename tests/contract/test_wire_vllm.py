"""vLLM's wire: what its clients, and gateways before it, may rely on."""

import time
from typing import Any

import httpx
import pytest

from service.api.foreign_schemas import ClassifyAnswer, ModelCards, VllmError
from service.engine.errors import NonFiniteOutput
from service.errors import AdapterUnreadable, QueueFull
from tests.fakes.batching import probabilities_of
from tests.fakes.service import FakeService
from tests.fakes.tokens import MAX_LENGTH, FakeTokeniser
from tests.fixtures_service import MakeService

pytestmark = pytest.mark.anyio

LONG = "word " * (MAX_LENGTH + 1)


def check_error(answer: httpx.Response, status: int, kind: str, code: str) -> str:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    error = VllmError.model_validate(answer.json()).error
    assert (error.type, error.param, error.code) == (kind, None, status)
    assert error.message.endswith(f"[{code}]")
    return error.message


async def classify(service: FakeService, given: object, **others: object) -> Any:
    asked = {"model": "acme.support", "input": given, **others}
    async with service.client() as client:
        answer = await client.post("/classify", json=asked)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/json"
    ClassifyAnswer.model_validate(answer.json())
    return answer.json()


async def test_each_text_is_answered_by_its_label_and_all_probabilities(
    service: FakeService,
) -> None:
    version = service.publish("acme", "support")
    told = await classify(service, ["where is it", "a"])
    tokens = FakeTokeniser().encode(["where is it", "a"])
    right = probabilities_of(version.digest, tokens, 3)
    assert (told["object"], told["model"]) == ("list", "acme.support")
    assert told["usage"] == {"prompt_tokens": 4, "total_tokens": 4, "completion_tokens": 0}
    assert abs(told["created"] - time.time()) < 60
    assert len(told["data"]) == 2
    for row, item in enumerate(told["data"]):
        assert item.keys() == {"index", "label", "probs", "num_classes"}
        assert (item["index"], item["num_classes"]) == (row, 3)
        assert item["probs"] == pytest.approx(right[row].tolist())
        assert item["label"] == version.labels[int(right[row].argmax())]


async def test_one_text_is_a_list_of_one(service: FakeService) -> None:
    service.publish("acme", "support")
    assert len((await classify(service, "a"))["data"]) == 1


async def test_no_two_answers_share_an_id(service: FakeService) -> None:
    service.publish("acme", "support")
    ids = {(await classify(service, "a"))["id"] for _ in range(5)}
    assert len(ids) == 5
    assert all(name.startswith("classify-") for name in ids)


async def test_a_text_that_is_too_long_is_cut_only_where_that_is_asked_for(
    service: FakeService,
) -> None:
    service.publish("acme", "support")
    asked = {"model": "acme.support", "input": LONG}
    async with service.client() as client:
        answer = await client.post("/classify", json=asked)
    check_error(answer, 400, "BadRequestError", "input-too-long")
    assert service.batcher.jobs == []
    await classify(service, LONG, truncate_prompt_tokens=-1)
    await classify(service, LONG, truncate_prompt_tokens=service.bundle.manifest.max_length)


async def test_members_that_are_not_known_are_passed_over(service: FakeService) -> None:
    service.publish("acme", "support")
    await classify(service, "a", priority=1, request_id="x", activation=True, user="u")


@pytest.mark.parametrize(
    ("body", "status", "code", "says"),
    [
        (b"{", 400, "malformed", "JSON"),
        (b'{"input": "a"}', 400, "unacceptable", "model"),
        (b'{"model": "acme.support"}', 400, "unacceptable", "input"),
        (b'{"model": "acme.support", "input": ""}', 400, "malformed", "empty"),
        (b'{"model": "acme.support", "input": []}', 400, "unacceptable", "0 inputs"),
        (b'{"model": "acme.support", "input": [1, 2]}', 400, "unacceptable", "$.input"),
        (
            b'{"model": "acme.support", "input": ["a", "a", "a", "a", "a"]}',
            400,
            "unacceptable",
            "1 to 4",
        ),
        (
            b'{"model": "acme.support", "input": "a", "softmax": false}',
            400,
            "unacceptable",
            "softmax",
        ),
        (
            b'{"model": "acme.support", "input": "a", "truncate_prompt_tokens": 5}',
            400,
            "unacceptable",
            "truncate_prompt_tokens",
        ),
        (
            b'{"model": "acme.support", "input": "' + b"a" * 2000 + b'"}',
            413,
            "body-too-large",
            "1024",
        ),
    ],
)
async def test_a_body_that_cannot_be_is_refused(
    service_with: MakeService, body: bytes, status: int, code: str, says: str
) -> None:
    service = service_with(max_inputs=4, max_body_bytes=1024)
    service.publish("acme", "support")
    async with service.client() as client:
        answer = await client.post("/classify", content=body)
    assert says in check_error(answer, status, "BadRequestError", code)
    assert service.batcher.jobs == []


@pytest.mark.parametrize(
    ("model", "code"),
    [
        ("nobody.support", "unknown-tenant"),
        ("acme.nothing", "unknown-adapter"),
        ("acme.draft", "no-live-version"),
        ("tiny", "unknown-adapter"),
        ("", "unknown-adapter"),
    ],
)
async def test_a_model_that_is_not_there_is_a_404_and_never_the_backbone(
    service: FakeService, model: str, code: str
) -> None:
    service.publish("acme", "support")
    service.publish("acme", "draft", live=False)
    async with service.client() as client:
        answer = await client.post("/classify", json={"model": model, "input": "a"})
    check_error(answer, 404, "NotFoundError", code)
    assert service.batcher.jobs == []


@pytest.mark.parametrize(
    ("error", "status", "kind", "code"),
    [
        (QueueFull("full"), 503, "ServiceUnavailableError", "queue-full"),
        (NonFiniteOutput("sha256:x"), 409, "ConflictError", "adapter-quarantined"),
        (AdapterUnreadable("altered"), 500, "InternalServerError", "adapter-unreadable"),
        (RuntimeError("internals"), 500, "InternalServerError", "internal"),
    ],
)
async def test_what_the_batcher_raises_is_told(
    service: FakeService, error: Exception, status: int, kind: str, code: str
) -> None:
    service.publish("acme", "support")
    service.batcher.error = error
    async with service.client() as client:
        answer = await client.post("/classify", json={"model": "acme.support", "input": "a"})
    assert "internals" not in check_error(answer, status, kind, code)
    assert ("retry-after" in answer.headers) == (status == 503)


async def test_a_caller_without_a_key_is_told_in_that_form(service_with: MakeService) -> None:
    service = service_with(admin_key="correct-horse-battery-staple")
    service.publish("acme", "support")
    async with service.client() as client:
        asked = await client.post("/classify", json={"model": "acme.support", "input": "a"})
        listed = await client.get("/v1/models")
    for answer in (asked, listed):
        check_error(answer, 401, "AuthenticationError", "not-authenticated")


async def test_models_are_the_backbone_and_what_is_live(service: FakeService) -> None:
    support = service.publish("acme", "support")
    service.publish("acme", "draft", live=False)
    other = service.publish("other", "triage", seed=2)
    async with service.client() as client:
        answer = await client.get("/v1/models")
    assert answer.status_code == 200
    ModelCards.model_validate(answer.json())
    backbone, *adapters = answer.json()["data"]
    manifest = service.bundle.manifest
    assert backbone == {
        "id": manifest.source.name,
        "object": "model",
        "created": 1735689600,
        "owned_by": "tenantry",
        "root": service.bundle.digest,
        "parent": None,
        "max_model_len": manifest.max_length,
        "permission": [],
    }
    assert [(card["id"], card["root"], card["owned_by"]) for card in adapters] == [
        ("acme.support", support.digest, "acme"),
        ("other.triage", other.digest, "other"),
    ]
    for card in adapters:
        assert card["parent"] == backbone["id"]
        assert abs(card["created"] - time.time()) < 60


async def test_the_list_can_be_asked_by_get_alone(service: FakeService) -> None:
    async with service.client() as client:
        answer = await client.post("/v1/models", json={})
    check_error(answer, 405, "BadRequestError", "wrong-method")
