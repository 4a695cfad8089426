"""The OpenAPI document: complete, resolvable, and true to what the routes take and give."""

from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from fastapi.routing import APIRoute

from service.api.feedback_request import FeedbackRequest
from service.api.permissions import NEEDS, told
from service.api.problems import KINDS
from service.api.requests import OipRequest, PredictRequest, decode
from service.api.schemas import (
    FeedbackAnswer,
    KeyList,
    MadeKeyDocument,
    PredictAnswer,
    RolloutDocument,
    TenantDocument,
    UsageDocument,
    VersionDocument,
)
from service.credentials.scopes import SCOPES
from tests.fakes.service import ADMIN_KEY, FakeService
from tests.fixtures_service import MakeService

pytestmark = pytest.mark.anyio


@pytest.fixture
def document(service: FakeService) -> dict[str, Any]:
    return service.app.openapi()


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield path, method, operation


def references(value: object) -> Iterator[str]:
    if isinstance(value, dict):
        for key, part in value.items():
            if key == "$ref":
                yield part
            yield from references(part)
    elif isinstance(value, list):
        for part in value:
            yield from references(part)


async def test_it_is_served_as_it_is_made(service: FakeService) -> None:
    async with service.client() as client:
        answer = await client.get("/openapi.json")
    assert answer.json() == service.app.openapi()


def test_every_route_but_the_pages_is_in_it(service: FakeService, document: dict[str, Any]) -> None:
    routes = {
        (route.path, method.lower())
        for route in service.app.routes
        if isinstance(route, APIRoute)
        for method in route.methods or ()
        if method != "HEAD"
    }
    pages = {("/", "get"), ("/docs", "get"), ("/openapi.json", "get")}
    assert {(path, method) for path, method, _ in operations(document)} == routes - pages


def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    found = set(references(document))
    assert found
    for reference in found:
        name = reference.removeprefix("#/components/schemas/")
        assert name in document["components"]["schemas"]


def test_every_operation_has_a_summary_a_description_and_a_tag(document: dict[str, Any]) -> None:
    tags = {tag["name"] for tag in document["tags"]}
    for path, method, operation in operations(document):
        assert operation["summary"], (path, method)
        assert operation["description"], (path, method)
        assert set(operation["tags"]) <= tags


def test_operation_ids_are_unique(document: dict[str, Any]) -> None:
    ids = [operation["operationId"] for _, _, operation in operations(document)]
    assert len(set(ids)) == len(ids)


def test_every_parameter_of_a_path_is_described_once(document: dict[str, Any]) -> None:
    for path, method, operation in operations(document):
        names = [
            parameter["name"]
            for parameter in operation.get("parameters", ())
            if parameter["in"] == "path"
        ]
        in_path = [part[1:-1] for part in path.split("/") if part.startswith("{")]
        assert sorted(names) == sorted(in_path), (path, method)


def test_bodies_and_answers_have_examples(document: dict[str, Any]) -> None:
    for path, method, operation in operations(document):
        for content in operation.get("requestBody", {}).get("content", {}).values():
            assert "example" in content or content["examples"], (path, method)
        for status, answer in operation["responses"].items():
            for kind, content in answer.get("content", {}).items():
                if kind != "text/plain":
                    assert "example" in content, (path, method, status)


def test_errors_are_documented_with_a_code_that_their_status_has(
    document: dict[str, Any],
) -> None:
    codes = {(kind.status, kind.code) for kind in KINDS.values()}
    seen = 0
    for path, _, operation in operations(document):
        for status, answer in operation["responses"].items():
            content = answer.get("content", {}).get("application/problem+json")
            if content is not None:
                assert not path.startswith("/v2")
                assert (int(status), content["example"]["code"]) in codes
                seen += 1
    assert seen > 50


def test_no_refusal_of_the_framework_is_in_it(document: dict[str, Any]) -> None:
    assert "HTTPValidationError" not in str(document)


def test_examples_of_requests_can_be_decoded(document: dict[str, Any]) -> None:
    for path, struct in (
        ("/v1/tenants/{tenant}/adapters/{adapter}/predict", PredictRequest),
        ("/v2/models/{model}/infer", OipRequest),
        ("/v1/feedback", FeedbackRequest),
    ):
        body = document["paths"][path]["post"]["requestBody"]["content"]["application/json"]
        for example in body["examples"].values():
            decode(msgspec.json.Decoder(struct), msgspec.json.encode(example["value"]))


@pytest.mark.parametrize(
    ("path", "method", "status", "model"),
    [
        ("/v1/tenants/{tenant}/adapters/{adapter}/predict", "post", "200", PredictAnswer),
        ("/v1/tenants/{tenant}", "put", "201", TenantDocument),
        ("/v1/tenants/{tenant}/adapters/{adapter}/versions", "post", "201", VersionDocument),
        ("/v1/tenants/{tenant}/adapters/{adapter}/rollout", "get", "200", RolloutDocument),
        ("/v1/tenants/{tenant}/keys", "post", "201", MadeKeyDocument),
        ("/v1/tenants/{tenant}/keys", "get", "200", KeyList),
        ("/v1/tenants/{tenant}/usage", "get", "200", UsageDocument),
        ("/v1/feedback", "post", "202", FeedbackAnswer),
    ],
)
def test_examples_of_answers_have_the_form_that_they_show(
    document: dict[str, Any], path: str, method: str, status: str, model: type[Any]
) -> None:
    answer = document["paths"][path][method]["responses"][status]
    model.model_validate(answer["content"]["application/json"]["example"])


def test_the_limits_are_those_of_the_settings(service_with: MakeService) -> None:
    document = service_with(max_inputs=7, max_body_bytes=4096).app.openapi()
    inputs = document["components"]["schemas"]["PredictRequest"]["properties"]["inputs"]
    assert (inputs["minItems"], inputs["maxItems"]) == (1, 7)
    assert "4096" in document["info"]["description"]


def test_a_key_is_needed_where_there_is_an_admin_key_and_honoured_where_there_is_none(
    service: FakeService, service_with: MakeService
) -> None:
    opened = service.app.openapi()
    keyed = service_with(admin_key=ADMIN_KEY).app.openapi()
    assert opened["security"] == [{}, {"key": []}]
    assert keyed["security"] == [{"key": []}]
    for document in (opened, keyed):
        assert document["components"]["securitySchemes"]["key"]["scheme"] == "bearer"


def test_every_operation_says_who_may_ask_for_it(document: dict[str, Any]) -> None:
    for path, method, operation in operations(document):
        need = NEEDS[method.upper(), path]
        assert operation["description"].endswith(told(need)), (path, method)
        free = need == "free"
        assert (operation.get("security") == []) == free, (path, method)
        assert ("401" in operation["responses"]) != free, (path, method)
        if need in SCOPES or need == "operator":
            assert "403" in operation["responses"], (path, method)


def test_what_asks_an_adapter_says_when_it_is_beyond_its_tenant_s_limit(
    document: dict[str, Any],
) -> None:
    asking = {
        path
        for path, method, _ in operations(document)
        if path.endswith(("/predict", "/infer", "/classify", "/embed"))
    }
    assert len(asking) > 5
    for path in asking:
        assert (
            "tenant-limited" in document["paths"][path]["post"]["responses"]["429"]["description"]
        )
