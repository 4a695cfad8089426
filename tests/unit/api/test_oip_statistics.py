from collections.abc import Awaitable

import numpy as np
import pytest

from service.api.call import ClientLeft
from service.api.callers import OPERATOR, Caller
from service.api.oip_statistics import Statistics
from service.api.prediction import Backbone, Predicted
from service.batching.answers import Answer
from service.errors import QueueFull, UnknownAdapter
from service.registry.records import Route
from tests.fakes.asgi import call_with

pytestmark = pytest.mark.anyio


class Known:
    """A router that knows every adapter of `acme` and `globex`, at version 1."""

    def route(
        self, tenant: str, adapter: str, version: int | None, _key: str | None = None
    ) -> Route:
        if tenant not in ("acme", "globex"):
            raise UnknownAdapter("there is no such adapter")
        return Route(tenant, adapter, version or 1, "d", ("x",), calibrated=False)


async def answer(tenant: str, adapter: str, texts: int = 2) -> Predicted:
    probabilities = np.ones((texts, 1), dtype=np.float32)
    return Predicted(
        Backbone("b", "fp32", "cpu"),
        Route(tenant, adapter, 1, "d", ("x",), calibrated=False),
        Answer("d", ("x",), probabilities, probabilities, 0.001, 0.002),
        [0] * texts,
        [False] * texts,
        ["i"] * texts,
        [False] * texts,
        7,
        1_743_413_400.0,
    )


async def fail(error: Exception) -> Predicted:
    raise error


async def ask(statistics: Statistics, adapter: str, tenant: str = "acme") -> None:
    model = (tenant, adapter, None)
    await statistics.count(call_with(), model, answer(tenant, adapter))


async def test_answers_are_added_up() -> None:
    statistics = Statistics(Known())
    for _ in range(3):
        await ask(statistics, "support")
    [line] = statistics.lines(OPERATOR)
    assert (line["name"], line["version"]) == ("acme.support", "1")
    assert (line["inference_count"], line["execution_count"]) == (6, 3)
    sums = line["inference_stats"]
    assert isinstance(sums, dict)
    assert sums["queue"] == {"count": 3, "ns": 3_000_000}
    assert sums["compute_infer"] == {"count": 3, "ns": 6_000_000}
    assert sums["compute_input"] == {"count": 0, "ns": 0}, "what is not measured has no count"


@pytest.mark.parametrize(
    ("tenant", "error", "failures"),
    [
        ("acme", QueueFull("full"), 1),
        ("acme", RuntimeError("bug"), 1),
        ("acme", ClientLeft(), 0),
        ("nobody", UnknownAdapter("no"), None),
    ],
)
async def test_failures_count_for_what_is_there_and_whoever_left_does_not(
    tenant: str, error: Exception, failures: int | None
) -> None:
    statistics = Statistics(Known())
    await ask(statistics, "support")
    work: Awaitable[Predicted] = fail(error)
    with pytest.raises(type(error)):
        await statistics.count(call_with(), (tenant, "support", None), work)
    [line] = statistics.lines(OPERATOR)
    sums = line["inference_stats"]
    assert isinstance(sums, dict)
    assert sums["fail"]["count"] == (failures or 0)


async def test_it_shows_a_caller_its_own_tenant() -> None:
    statistics = Statistics(Known())
    await ask(statistics, "support", "acme")
    await ask(statistics, "support", "globex")
    seen = statistics.lines(Caller("k", "globex", frozenset({"predict"})))
    assert [line["name"] for line in seen] == ["globex.support"]


async def test_its_memory_is_bounded() -> None:
    statistics = Statistics(Known(), versions_max=2)
    for adapter in ("a", "b", "a", "c"):
        await ask(statistics, adapter)
    assert [line["name"] for line in statistics.lines(OPERATOR)] == ["acme.b", "acme.c"]
