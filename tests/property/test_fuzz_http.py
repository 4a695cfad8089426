"""Whatever is asked over HTTP, the answer is one that the OpenAPI document names, and never a 500.

Three kinds of strangers: `schemathesis` reads the document and asks what it allows and what it
does not; others send bytes and headers that nobody would; the last send the bodies that break
parsers.
"""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis import Case, GenerationMode, openapi
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from service.api.permissions import NEEDS
from tests.fakes.packages import metadata_of
from tests.fakes.service import ADMIN_KEY, ORIGIN, FakeService, bearer, make_service

AS_OPERATOR = bearer(ADMIN_KEY)
EXAMPLES = 10
# A deadline of a millisecond may pass, and a body may be more than there is room for.
MEANT = {503, 504}
PAGES = {"/", "/docs", "/openapi.json"}
ROUTES = sorted((method, path) for method, path in NEEDS if method != "HEAD" and path not in PAGES)
# Those without any parameter or body leave nothing to do wrong.
VARIED = [(method, path) for method, path in ROUTES if "{" in path or path.startswith("/v1")]
WITH_BODY = [(method, path) for method, path in ROUTES if method in ("POST", "PUT")]
THERE = {
    "tenant": "acme",
    "adapter": "support",
    "version": "1",
    "model": "acme.support",
    "key": "0123456789abcdef",
}
CONFORMANCE = [
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    response_headers_conformance,
]

few = settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)


@pytest.fixture
def service(tmp_path: Path) -> Iterator[FakeService]:
    """Return a service with a tenant, an adapter of two versions, and an admin key."""
    made = make_service(tmp_path, admin_key=ADMIN_KEY)
    made.publish("acme", "support")
    made.publish("acme", "support", seed=1)
    yield made
    made.registry.close()


def ask(service: FakeService, method: str, path: str | httpx.URL, **given: Any) -> httpx.Response:
    """Ask without a network, from outside of any event loop."""

    async def asked() -> httpx.Response:
        async with service.client() as client:
            return await client.request(method, path, **given)

    return asyncio.run(asked())


def is_meant(status: int) -> bool:
    return status < 500 or status in MEANT


def conforms(service: FakeService, method: str, path: str, **strategy: Any) -> None:
    """Ask an operation a few times, and hold each answer against the document."""
    schema = openapi.from_dict(service.app.openapi())
    schema.app = service.app
    operation = schema[path][method]

    @few
    @given(operation.as_strategy(**strategy))
    def asked(case: "Case[Any]") -> None:
        answer = case.call(headers=AS_OPERATOR)
        assert is_meant(answer.status_code), answer.text
        case.validate_response(answer, checks=CONFORMANCE)

    asked()


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_what_the_document_allows_and_what_not_is_answered_as_it_says(
    service: FakeService, method: str, path: str
) -> None:
    if (method, path) in VARIED:
        conforms(service, method, path, generation_mode=GenerationMode.NEGATIVE)
    conforms(service, method, path, generation_mode=GenerationMode.POSITIVE)
    names = {name: value for name, value in THERE.items() if f"{{{name}}}" in path}
    if names:  # the last, because what is deleted is not there any more
        conforms(service, method, path, path_parameters=names)


HEADERS = st.dictionaries(
    st.sampled_from(
        [
            "accept",
            "authorization",
            "content-encoding",
            "content-type",
            "host",
            "if-match",
            "inference-header-content-length",
            "origin",
            "traceparent",
            "x-request-id",
            "x-timeout-ms",
        ]
    ),
    st.one_of(
        st.sampled_from(
            [
                "gzip",
                "deflate",
                "application/json",
                "multipart/form-data; boundary=x",
                "application/octet-stream",
                "text/html",
                '"1"',
                "*",
                "0",
                "1",
                "99999999999999999999",
                "-1",
            ]
        ),
        st.text(st.characters(max_codepoint=255, exclude_characters="\r\n\0"), max_size=24),
    ),
    max_size=4,
)
MEMBERS = st.sampled_from(
    [
        *("inputs", "scores", "embedding", "routing_key", "group", "text", "pair", "labels", "id"),
        *("label", "scopes", "live", "canary", "shadow", "force", "version", "percent", "reason"),
        *("class", "weight", "rates", "log", "name", "shape", "datatype", "data", "parameters"),
        *("outputs", "model", "input", "truncate", "normalize", "ready", "binary_data_size"),
    ]
)
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(MEMBERS, inner, max_size=4),
    max_leaves=8,
)
BODIES = st.one_of(
    st.binary(max_size=200),
    VALUES.map(lambda value: json.dumps(value).encode()),
    st.dictionaries(MEMBERS, VALUES, max_size=5).map(lambda value: json.dumps(value).encode()),
)


@pytest.mark.parametrize(("method", "path"), WITH_BODY)
def test_a_body_and_headers_of_anything_are_answered_or_refused(
    service: FakeService, method: str, path: str
) -> None:
    target = path.format_map(THERE)

    @few
    @given(HEADERS, BODIES)
    def asked(headers: dict[str, str], body: bytes) -> None:
        all_headers = {"content-type": "application/json", **AS_OPERATOR, **headers}
        raw = [(name.encode(), value.encode("latin-1")) for name, value in all_headers.items()]
        answer = ask(service, method, target, headers=raw, content=body)
        assert is_meant(answer.status_code), answer.text

    asked()


@pytest.mark.parametrize("path", ["/v1/audit", "/v1/tenants/acme/usage"])
def test_a_query_of_anything_is_answered_or_refused(service: FakeService, path: str) -> None:
    names = st.sampled_from(["tenant", "since", "until", "cursor", "limit"])
    times = st.one_of(st.dates(), st.datetimes(), st.times()).map(str)
    values = st.one_of(times, st.integers().map(str), st.text(max_size=12))

    @few
    @given(st.dictionaries(names, values, max_size=4))
    def asked(query: dict[str, str]) -> None:
        answer = ask(service, "GET", path, headers=AS_OPERATOR, params=query)
        assert answer.status_code in (200, 400, 404, 422), answer.text

    asked()


@given(st.lists(st.text(max_size=6), max_size=5).map(lambda parts: "/" + "/".join(parts)))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_path_of_anything_is_answered_or_refused(service: FakeService, path: str) -> None:
    for method in ("GET", "DELETE"):
        url = httpx.URL(ORIGIN).copy_with(raw_path=quote(path).encode())
        answer = ask(service, method, url, headers=AS_OPERATOR)
        assert is_meant(answer.status_code), answer.text


BREAKERS = {
    "deep lists": b"[" * 200_000,
    "deep objects": b'{"a":' * 100_000,
    "deep and closed": b'{"inputs": ' + b"[" * 5_000 + b"]" * 5_000 + b"}",
    "one key twice": b'{"live": 1, "live": null, "scopes": [], "scopes": ["predict"]}',
    "a long integer": b'{"live": ' + b"9" * 10_000 + b"}",
    "an integer of more than 64 bits": b'{"rates": {"concurrent_requests": 18446744073709551616}}',
    "a large float": b'{"weight": 1e999}',
    "not a number": b'{"weight": NaN}',
    "half a surrogate": rb'{"inputs": ["\ud800"], "labels": [{"id": "\udfff", "label": "x"}]}',
    "a zero byte": b'{"inputs": ["a\\u0000b"], "class": "a\\u0000"}',
    "not UTF-8": b'{"inputs": ["\xff\xfe"]}',
    "a mark of byte order": b"\xef\xbb\xbf{}",
    "UTF-16": '{"inputs": ["a"]}'.encode("utf-16"),
    "spaces": b" " * 100_000,
    "a comment": b'{} // {"live": 1}',
    "many keys": b"{" + b",".join(b'"k%d": 1' % n for n in range(20_000)) + b"}",
    "many labels": b'{"labels": [' + b'{"id": "", "label": ""},' * 20_000 + b"{}]}",
}


@pytest.mark.parametrize("body", BREAKERS.values(), ids=BREAKERS.keys())
def test_a_body_that_breaks_parsers_breaks_nothing_here(service: FakeService, body: bytes) -> None:
    headers = {**AS_OPERATOR, "content-type": "application/json"}
    for method, path in WITH_BODY:
        answer = ask(service, method, path.format_map(THERE), headers=headers, content=body)
        assert answer.status_code < 500, (method, path, answer.text)
        assert len(answer.content) < 64 << 10, (method, path)


UPLOAD = "/v1/tenants/acme/adapters/support/versions"


@pytest.mark.parametrize("target", ["the form", "the package", "the metadata"])
def test_a_damaged_upload_is_published_or_refused(service: FakeService, target: str) -> None:
    package, metadata = service.zipped(labels=3, seed=7), metadata_of(3)

    @few
    @given(st.floats(0, 1, exclude_max=True), st.integers(0, 40), st.binary(max_size=12))
    def asked(where: float, cut: int, put: bytes) -> None:
        def damaged(data: bytes, name: str) -> bytes:
            at = int(where * len(data))
            return data[:at] + put + data[at + cut :] if name == target else data

        files = {
            "package": ("package.zip", damaged(package, "the package")),
            "metadata": (None, damaged(metadata, "the metadata")),
        }
        form = httpx.Request("POST", ORIGIN, files=files)
        headers = {**AS_OPERATOR, "content-type": form.headers["content-type"]}
        content = damaged(form.read(), "the form")
        answer = ask(service, "POST", UPLOAD, headers=headers, content=content)
        assert answer.status_code in (200, 201, 400, 422), answer.text

    asked()
