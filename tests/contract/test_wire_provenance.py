"""Every answer says which version made it, whatever the wire."""

from typing import Any

import httpx
import pytest

from tests.contract.test_wire_native import PREDICT
from tests.fakes.service import FakeService

pytestmark = pytest.mark.anyio

IN_HEADERS: dict[str, dict[str, Any]] = {
    "/tei/acme.support/predict": {"inputs": "a text"},
    "/tei/acme.support/embed": {"inputs": "a text"},
    "/hf/acme.support": {"inputs": "a text"},
    "/classify": {"model": "acme.support", "input": "a text"},
}
INFER = "/v2/models/acme.support/infer"
TENSOR = {"name": "text", "shape": [1], "datatype": "BYTES", "data": ["a text"]}


def named(answer: httpx.Response) -> tuple[int, str]:
    """Return the version and the digest that an answer names."""
    assert answer.status_code == 200, answer.text
    path = answer.request.url.path
    if path in IN_HEADERS:
        return int(answer.headers["x-tenantry-version"]), answer.headers["x-tenantry-digest"]
    assert "x-tenantry-version" not in answer.headers, "where the body says it, it is said once"
    told = answer.json()
    if path == PREDICT:
        return told["model"]["version"], told["model"]["digest"]
    return int(told["model_version"]), told["parameters"]["digest"]


@pytest.mark.parametrize("path", [PREDICT, INFER, *IN_HEADERS])
async def test_an_answer_names_its_version_and_digest(service: FakeService, path: str) -> None:
    service.publish("acme", "support", seed=1)
    live = service.publish("acme", "support", seed=2)
    asked = {PREDICT: {"inputs": ["a text"]}, INFER: {"inputs": [TENSOR]}, **IN_HEADERS}[path]
    async with service.client() as client:
        assert named(await client.post(path, json=asked)) == (2, live.digest)
        shown = (await client.get("/openapi.json")).json()["paths"]
    template = path.replace("acme.support", "{model}")
    if path in IN_HEADERS:
        headers = shown[template]["post"]["responses"]["200"]["headers"]
        assert headers.keys() == {"X-Tenantry-Version", "X-Tenantry-Digest"}


async def test_an_error_names_no_version(service: FakeService) -> None:
    service.publish("acme", "support", live=False)
    async with service.client() as client:
        for path, asked in IN_HEADERS.items():
            answer = await client.post(path, json=asked)
            assert answer.status_code == 404
            assert not [name for name in answer.headers if name.startswith("x-tenantry")]
