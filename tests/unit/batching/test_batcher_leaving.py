"""The batcher and its callers' patience: deadlines, cancellations, and places freed."""

import asyncio
import threading
import time

import pytest

from service.batching.jobs import Job
from service.errors import (
    DeadlinePassed,
    QueueFull,
)
from tests.fakes.adapters import digest_of
from tests.fakes.rig import Rig, serve, until
from tests.fakes.runtime import (
    text_of,
)


def test_a_caller_whose_deadline_passes_is_told_and_frees_its_place() -> None:
    rig = Rig()
    rig.put("a")

    async def work(r: Rig) -> None:
        with r.runtime.held():
            first = asyncio.ensure_future(r.ask("a"))
            await r.passing()
            with pytest.raises(DeadlinePassed):
                await r.ask("a", text_of(1), text_of(2), deadline_s=time.monotonic() + 0.05)
            assert r.batcher.status().queue_texts == 0
        await first

    serve(rig, work)
    assert [texts for texts, *_ in rig.metrics.passes] == [1]


def test_a_deadline_that_has_passed_already_is_not_waited_for() -> None:
    rig = Rig()
    rig.put("a")

    async def work(r: Rig) -> None:
        with r.runtime.held(), pytest.raises(DeadlinePassed):
            await r.ask("a", deadline_s=time.monotonic() - 1.0)

    serve(rig, work)


def test_a_deadline_also_ends_the_wait_for_a_load() -> None:
    rig = Rig()
    rig.put("cold")
    rig.slow[digest_of("cold")] = threading.Event()

    async def work(r: Rig) -> None:
        with pytest.raises(DeadlinePassed):
            await r.ask("cold", deadline_s=time.monotonic() + 0.05)
        assert r.batcher.status().queue_texts == 0
        r.slow[digest_of("cold")].set()
        await r.ask("cold")

    serve(rig, work)


@pytest.mark.parametrize("waits_for", ["a pass", "a load"])
def test_a_cancelled_caller_frees_its_places_at_once(waits_for: str) -> None:
    rig = Rig(texts_max=3, tenant_ratio=100.0)
    rig.put("a", "cold")
    rig.slow[digest_of("cold")] = threading.Event()

    async def work(r: Rig) -> None:
        await r.ask("a")
        with r.runtime.held():
            first = asyncio.ensure_future(r.ask("a"))
            await r.passing()
            if waits_for == "a load":
                r.runtime._gate.set()
                await first
            name = "cold" if waits_for == "a load" else "a"
            leaving = asyncio.ensure_future(r.ask(name, text_of(1), text_of(2), text_of(3)))
            await until(lambda: r.batcher.status().queue_texts == 3)
            if waits_for == "a load":
                await until(lambda: digest_of("cold") in r.loads)
            with pytest.raises(QueueFull):
                await r.ask("a")
            leaving.cancel()
            with pytest.raises(asyncio.CancelledError):
                await leaving
            assert r.batcher.status().queue_texts == 0
            staying = asyncio.ensure_future(r.ask("a"))
            await asyncio.sleep(0)
        await asyncio.gather(first, staying)
        r.slow[digest_of("cold")].set()

    serve(rig, work)
    assert sum(texts for texts, *_ in rig.metrics.passes) == 3


def test_a_caller_that_leaves_while_its_pass_runs_hurts_nobody() -> None:
    rig = Rig()
    rig.put("a", "b")

    async def work(r: Rig) -> None:
        await asyncio.gather(r.ask("a"), r.ask("b"))
        with r.runtime.held():
            jobs = [asyncio.ensure_future(r.ask(n)) for n in "abab"]
            await r.passing()
            jobs[1].cancel()
            await asyncio.sleep(0.01)
        done = await asyncio.gather(*jobs, return_exceptions=True)
        assert [isinstance(x, asyncio.CancelledError) for x in done] == [False, True, False, False]

    serve(rig, work)


def test_beyond_its_bound_the_queue_refuses_and_says_what_waits() -> None:
    rig = Rig(texts_max=4, tenant_ratio=100.0)
    rig.put("a")

    async def work(r: Rig) -> None:
        with r.runtime.held():
            first = asyncio.ensure_future(r.ask("a"))
            await r.passing()
            waiting = [asyncio.ensure_future(r.ask("a")) for _ in range(4)]
            await until(lambda: r.batcher.status().queue_texts == 4)
            with pytest.raises(QueueFull, match="at most 4"):
                await r.ask("a")
        await asyncio.gather(first, *waiting)

    serve(rig, work)


def test_texts_that_wait_for_a_load_count_against_the_bound() -> None:
    rig = Rig(texts_max=4, tenant_ratio=100.0)
    rig.put("a", "cold")
    rig.slow[digest_of("cold")] = threading.Event()

    async def work(r: Rig) -> None:
        waiting = [asyncio.ensure_future(r.ask("cold")) for _ in range(4)]
        await until(lambda: r.batcher._queue.texts == 4 and not r.batcher._queue.has_next)
        with pytest.raises(QueueFull):
            await r.ask("cold")
        r.slow[digest_of("cold")].set()
        await asyncio.gather(*waiting)

    serve(rig, work)


def test_a_job_without_texts_is_our_own_bug() -> None:
    rig = Rig()
    with pytest.raises(AssertionError, match="without texts"):
        serve(rig, lambda r: r.batcher.answer(Job(digest_of("a"), [])))


def test_a_text_without_tokens_is_our_own_bug() -> None:
    rig = Rig()
    with pytest.raises(AssertionError, match="one token"):
        serve(rig, lambda r: r.batcher.answer(Job(digest_of("a"), [text_of(1), text_of()])))
