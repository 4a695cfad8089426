"""The batcher in trouble: failing passes, adapters that poison, candidates that are probed."""

import asyncio

import numpy as np
import pytest

from service.batching.answers import Answer
from service.engine.errors import InvalidAdapter, NonFiniteOutput
from service.errors import (
    AdapterQuarantined,
)
from tests.fakes.rig import Rig, serve
from tests.fakes.runtime import (
    poisonous_adapter,
    text_of,
    whole_adapter,
)


def test_a_pass_that_fails_reaches_its_own_callers_only() -> None:
    rig = Rig()
    rig.put("a", "b")
    long = text_of(*range(1, 61))

    async def work(r: Rig) -> None:
        await asyncio.gather(r.ask("a"), r.ask("b"))
        with r.runtime.held():
            first = asyncio.ensure_future(r.ask("a"))
            await r.passing()
            jobs = [asyncio.ensure_future(r.ask("ab"[i % 2], long)) for i in range(6)]
            await asyncio.sleep(0.02)
            r.runtime.failures += [RuntimeError("out of memory")]
        done = await asyncio.gather(first, *jobs, return_exceptions=True)
        assert isinstance(done[0], RuntimeError)
        assert all(isinstance(x, Answer) for x in done[1:])
        with r.runtime.held():
            first = asyncio.ensure_future(r.ask("a"))
            await r.passing()
            jobs = [asyncio.ensure_future(r.ask("ab"[i % 2], long)) for i in range(6)]
            await asyncio.sleep(0.02)
            r.runtime.before_run = lambda feed: fail_once(r, len(feed.first))
        done = await asyncio.gather(first, *jobs, return_exceptions=True)
        assert [isinstance(x, RuntimeError) for x in done] == [False, True, True, *[False] * 4]

    def fail_once(r: Rig, texts: int) -> None:
        if texts == 2:
            r.runtime.before_run = lambda _: None
            raise RuntimeError("a driver's mood")

    serve(rig, work)


def test_an_adapter_that_poisons_is_named_and_its_neighbours_are_right() -> None:
    rig = Rig()
    poison = poisonous_adapter("poison")
    rig.put("a", "b", poison)
    digest = poison.digest
    rig.batcher._cache.put(poison)  # so that it runs in one pass with the others

    async def work(r: Rig) -> None:
        await asyncio.gather(r.ask("a"), r.ask("b"))
        with r.runtime.held():
            first = asyncio.ensure_future(r.ask("a"))
            await r.passing()
            names = ["a", "poison", "b", "a", "poison", "b"]
            jobs = [asyncio.ensure_future(r.ask(n, text_of(1, 2, 3))) for n in names]
            await asyncio.sleep(0.02)
        done = await asyncio.gather(first, *jobs, return_exceptions=True)
        poisoned = [x for x in done if not isinstance(x, Answer)]
        assert [type(x) for x in poisoned] == [NonFiniteOutput] * 2
        assert all(isinstance(x, NonFiniteOutput) and x.digest == digest for x in poisoned)
        with pytest.raises(AdapterQuarantined, match=digest):
            await r.ask("poison")
        await r.ask("a")
        assert r.batcher.status().quarantined == (digest,)

    serve(rig, work)
    assert rig.quarantined == [digest]
    assert rig.metrics.quarantines == 1


def test_what_a_quarantined_adapter_still_has_in_the_queue_is_not_run() -> None:
    rig = Rig()
    rig.put("a", poisonous_adapter("poison"))

    async def work(r: Rig) -> None:
        long = text_of(*range(1, 61))
        jobs = [r.ask("poison", long) for _ in range(20)]
        done = await asyncio.gather(*jobs, return_exceptions=True)
        assert {type(x) for x in done} == {NonFiniteOutput, AdapterQuarantined}

    serve(rig, work)
    assert len(rig.runtime.feeds) <= 3  # one pass of two texts, and each of them alone


def test_a_quarantine_that_cannot_be_reported_costs_the_neighbours_nothing() -> None:
    rig = Rig()
    rig.put("a", poisonous_adapter("poison"))

    def fail(digest: str) -> None:
        raise OSError(f"no room to note {digest}")

    rig.batcher._on_quarantine = fail

    async def work(r: Rig) -> None:
        await r.ask("a")
        with pytest.raises(NonFiniteOutput):
            await r.ask("poison")
        with pytest.raises(AdapterQuarantined):
            await r.ask("poison")
        await r.ask("a")

    serve(rig, work)


def test_a_candidate_is_probed_before_it_is_in_the_store() -> None:
    rig = Rig()
    candidate = whole_adapter("candidate")

    async def work(r: Rig) -> None:
        await r.batcher.probe(candidate, [text_of(1), text_of(2, 3)])
        r.put(candidate)
        await r.ask("candidate")

    serve(rig, work)
    assert rig.loads == []


def test_a_candidate_shares_its_passes_with_nobody() -> None:
    rig = Rig()
    rig.put("a")

    async def work(r: Rig) -> None:
        await r.ask("a")
        with r.runtime.held():
            first = asyncio.ensure_future(r.ask("a"))
            await r.passing()
            before = [asyncio.ensure_future(r.ask("a")) for _ in range(3)]
            await asyncio.sleep(0.01)
            texts = [text_of(1), text_of(2, 3)]
            probe = asyncio.ensure_future(r.batcher.probe(whole_adapter("candidate"), texts))
            await asyncio.sleep(0.01)
            after = [asyncio.ensure_future(r.ask("a")) for _ in range(4)]
            await asyncio.sleep(0.01)
        await asyncio.gather(first, *before, probe, *after)

    serve(rig, work)
    assert [texts for texts, *_ in rig.metrics.passes] == [1, 1, 3, 2, 4]


@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan])
def test_a_poisonous_candidate_is_refused_and_nobody_is_quarantined(value: float) -> None:
    rig = Rig()
    rig.put("a")

    async def work(r: Rig) -> None:
        poison = poisonous_adapter("candidate", value)
        probes = [r.batcher.probe(poison, [text_of(1), text_of(2, 3)]) for _ in range(2)]
        done = await asyncio.gather(*probes, r.ask("a"), return_exceptions=True)
        assert [type(x) for x in done] == [InvalidAdapter, InvalidAdapter, Answer]
        assert r.batcher.status().quarantined == ()

    serve(rig, work)
    assert rig.quarantined == []
