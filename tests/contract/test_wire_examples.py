"""The examples of other servers' wires: every request is answered, every answer has its form."""

import pytest
from pydantic import BaseModel

from service.api.error_bodies import error_body
from service.api.foreign_schemas import (
    ClassifyAnswer,
    HfError,
    HfLabels,
    ModelCards,
    TeiEmbeddings,
    TeiError,
    TeiInfo,
    TeiPredictions,
    VllmError,
)
from service.api.problems import KINDS, Problem
from tests.fakes.service import FakeService

pytestmark = pytest.mark.anyio

ROUTES: list[tuple[str, str, type[BaseModel], type[BaseModel]]] = [
    ("post", "/tei/{model}/predict", TeiPredictions, TeiError),
    ("post", "/tei/{model}/embed", TeiEmbeddings, TeiError),
    ("get", "/tei/{model}/info", TeiInfo, TeiError),
    ("post", "/hf/{model}", HfLabels, HfError),
    ("post", "/classify", ClassifyAnswer, VllmError),
    ("get", "/v1/models", ModelCards, VllmError),
]


@pytest.mark.parametrize(("method", "path", "answer", "error"), ROUTES)
async def test_examples_are_answered_and_have_the_form_that_they_show(
    service: FakeService, method: str, path: str, answer: type[BaseModel], error: type[BaseModel]
) -> None:
    service.publish("acme", "support")
    operation = service.app.openapi()["paths"][path][method]
    body = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
    examples = [example["value"] for example in body.get("examples", {}).values()]
    assert examples or method == "get"
    async with service.client() as client:
        for value in examples or [None]:
            told = await client.request(method, path.replace("{model}", "acme.support"), json=value)
            assert told.status_code == 200, told.text
            answer.model_validate(told.json())
    for status, shown in operation["responses"].items():
        [content] = shown["content"].values()
        (answer if status == "200" else error).model_validate(content["example"])


@pytest.mark.parametrize(("method", "path", "answer", "error"), ROUTES)
def test_errors_are_documented_under_the_status_that_they_are_answered_with(
    service: FakeService, method: str, path: str, answer: type[BaseModel], error: type[BaseModel]
) -> None:
    del answer, error
    responses = service.app.openapi()["paths"][path][method]["responses"]
    by_code = {kind.code: kind for kind in KINDS.values()}
    seen = set()
    for status, shown in responses.items():
        for code in set(shown["description"].split("`")) & by_code.keys():
            found, _, _ = error_body(Problem(by_code[code], "why"), path, "req-1")
            assert str(found) == status, code
            seen.add(code)
    assert {"not-authenticated", "not-permitted", "stopping"} <= seen
    if method == "post":
        assert {"input-too-long", "tenant-limited", "queue-full", "no-live-version"} <= seen
