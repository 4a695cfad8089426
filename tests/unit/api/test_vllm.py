from typing import Any

import orjson
import pytest
from starlette.requests import Request

from service.api.call import begin_call
from service.api.callers import Caller
from service.api.vllm import VllmModels
from tests.fakes.service import FakeService

pytestmark = pytest.mark.anyio


async def listed(service: FakeService, caller: Caller) -> list[str]:
    scope: dict[str, Any] = {"type": "http", "headers": []}
    begin_call(scope).caller = caller
    answer = await VllmModels(service.registry, service.bundle).index(Request(scope))
    return [card["id"] for card in orjson.loads(answer.body)["data"]]


async def test_a_key_lists_its_own_tenant_s_models_alone(service: FakeService) -> None:
    for tenant in ("acme", "other"):
        service.publish(tenant, "support")
    assert await listed(service, Caller("key:1@acme", "acme", frozenset({"predict"}))) == [
        "tiny",
        "acme.support",
    ]
    assert await listed(service, Caller("key:2@none", "none", frozenset({"predict"}))) == ["tiny"]
    assert await listed(service, Caller("admin")) == ["tiny", "acme.support", "other.support"]
