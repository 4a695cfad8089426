"""Hugging Face's wire: what its clients may rely on."""

from typing import Any

import httpx
import pytest

from service.api.foreign_schemas import HfError, HfLabels
from service.engine.errors import NonFiniteOutput
from service.errors import AdapterUnreadable, QueueFull
from tests.fakes.service import FakeService
from tests.fakes.tokens import MAX_LENGTH, FakeTokeniser, ids_of
from tests.fixtures_service import MakeService

pytestmark = pytest.mark.anyio

MODEL = "/hf/acme.support"
LONG = "word " * (MAX_LENGTH + 1)


def check_error(answer: httpx.Response, status: int, code: str) -> str:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    body = HfError.model_validate(answer.json())
    assert body.error.endswith(f"[{code}]")
    return body.error


async def classify(service: FakeService, inputs: object, **others: object) -> Any:
    async with service.client() as client:
        answer = await client.post(MODEL, json={"inputs": inputs, **others})
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/json"
    HfLabels.model_validate(answer.json())
    return answer.json()


@pytest.mark.parametrize(
    ("inputs", "asked"),
    [
        ("a", ["a"]),
        (["a"], ["a"]),
        (["a", "b"], ["a", "b"]),
        ({"text": "a", "text_pair": "b"}, ["a | b"]),
        ({"text": "a"}, ["a"]),
        ([{"text": "a", "text_pair": "b"}, "c"], ["a | b", "c"]),
    ],
)
async def test_each_text_is_answered_by_a_list_best_first(
    service: FakeService, inputs: object, asked: list[str]
) -> None:
    version = service.publish("acme", "support")
    told = await classify(service, inputs)
    texts = ids_of(service.batcher.jobs[0].texts)
    assert texts == [text.ids for text in FakeTokeniser().encode(asked)]
    assert len(told) == len(asked)
    for row in told:
        assert {line["label"] for line in row} == set(version.labels)
        scores = [line["score"] for line in row]
        assert scores == sorted(scores, reverse=True)
        assert sum(scores) == pytest.approx(1.0)


async def test_top_k_keeps_the_best_labels(service: FakeService) -> None:
    service.publish("acme", "support")
    [every] = await classify(service, "a")
    [best] = await classify(service, "a", parameters={"top_k": 1, "function_to_apply": "softmax"})
    [more] = await classify(service, "a", parameters={"top_k": 100})
    assert best == every[:1]
    assert more == every


async def test_options_of_the_hosted_service_are_passed_over(service: FakeService) -> None:
    service.publish("acme", "support")
    plain = await classify(service, "a")
    with_options = await classify(
        service, "a", parameters={}, options={"wait_for_model": True}, other=1
    )
    assert with_options == plain


async def test_a_text_that_is_too_long_is_cut_unless_that_is_not_wanted(
    service: FakeService,
) -> None:
    service.publish("acme", "support")
    await classify(service, LONG)
    async with service.client() as client:
        answer = await client.post(
            MODEL, json={"inputs": LONG, "parameters": {"truncation": False}}
        )
    check_error(answer, 422, "input-too-long")
    assert len(service.batcher.jobs) == 1


@pytest.mark.parametrize(
    ("body", "status", "code", "says"),
    [
        (b"{", 400, "malformed", "JSON"),
        (b"{}", 422, "unacceptable", "inputs"),
        (b'{"inputs": []}', 422, "unacceptable", "0 inputs"),
        (b'{"inputs": ["a", "a", "a", "a", "a"]}', 422, "unacceptable", "1 to 4"),
        (b'{"inputs": 5}', 422, "unacceptable", "$.inputs"),
        (b'{"inputs": {"text": "a", "pair": "b"}}', 422, "unacceptable", "pair"),
        (b'{"inputs": "a", "parameters": {"top_k": 0}}', 422, "unacceptable", "top_k"),
        (
            b'{"inputs": "a", "parameters": {"function_to_apply": "sigmoid"}}',
            422,
            "unacceptable",
            "function_to_apply",
        ),
        (b'{"inputs": "a", "parameters": {"topk": 1}}', 422, "unacceptable", "topk"),
        (b'{"inputs": "' + b"a" * 2000 + b'"}', 413, "body-too-large", "1024"),
    ],
)
async def test_a_body_that_cannot_be_is_refused(
    service_with: MakeService, body: bytes, status: int, code: str, says: str
) -> None:
    service = service_with(max_inputs=4, max_body_bytes=1024)
    service.publish("acme", "support")
    async with service.client() as client:
        assert says in check_error(await client.post(MODEL, content=body), status, code)
    assert service.batcher.jobs == []


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/hf/nobody.support", "unknown-tenant"),
        ("/hf/acme.nothing", "unknown-adapter"),
        ("/hf/support", "unknown-adapter"),
        ("/hf/acme.draft", "no-live-version"),
        ("/hf/acme.support/more", "unknown-path"),
    ],
)
async def test_a_model_that_is_not_there_is_a_404(
    service: FakeService, path: str, code: str
) -> None:
    service.publish("acme", "support")
    service.publish("acme", "draft", live=False)
    async with service.client() as client:
        check_error(await client.post(path, json={"inputs": "a"}), 404, code)


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (QueueFull("full"), 503, "queue-full"),
        (NonFiniteOutput("sha256:x"), 409, "adapter-quarantined"),
        (AdapterUnreadable("altered"), 500, "adapter-unreadable"),
        (RuntimeError("internals"), 500, "internal"),
    ],
)
async def test_what_the_batcher_raises_is_told(
    service: FakeService, error: Exception, status: int, code: str
) -> None:
    service.publish("acme", "support")
    service.batcher.error = error
    async with service.client() as client:
        answer = await client.post(MODEL, json={"inputs": "a"})
    assert "internals" not in check_error(answer, status, code)
    assert ("retry-after" in answer.headers) == (status == 503)


async def test_a_caller_without_a_key_is_told_in_that_form(service_with: MakeService) -> None:
    service = service_with(admin_key="correct-horse-battery-staple")
    service.publish("acme", "support")
    async with service.client() as client:
        check_error(await client.post(MODEL, json={"inputs": "a"}), 401, "not-authenticated")
        check_error(await client.get(MODEL), 401, "not-authenticated")


async def test_another_method_is_a_405(service: FakeService) -> None:
    async with service.client() as client:
        answer = await client.get(MODEL)
    check_error(answer, 405, "wrong-method")
    assert answer.headers["allow"] == "POST"
