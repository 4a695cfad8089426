"""What the batcher tells of traced jobs: passes, waits and loads, and nothing of other jobs."""

import asyncio

import pytest

from service.batching.jobs import Shadow
from tests.fakes.adapters import digest_of
from tests.fakes.rig import Rig, serve
from tests.fakes.runtime import text_of


def test_a_pass_tells_of_its_traced_jobs_alone_and_of_all_its_texts() -> None:
    rig = Rig()
    rig.put("a", "b")

    async def work(r: Rig) -> None:
        await asyncio.gather(r.ask("a"), r.ask("b"))  # brings both in
        with r.runtime.held():
            first = asyncio.ensure_future(r.ask("a"))
            await r.passing()
            traced = asyncio.ensure_future(r.ask("a", text_of(1, 2), text_of(3), trace="mine"))
            other = asyncio.ensure_future(r.ask("b", text_of(4)))
            await asyncio.sleep(0.02)
        await asyncio.gather(first, traced, other)

    serve(rig, work)
    [told] = rig.tracing.passes
    [part] = told.parts
    assert (part.trace, part.texts) == ("mine", 2)
    assert part.queued_s is not None
    assert part.queued_s <= told.started_s <= told.ended_s
    assert (told.texts, told.tokens, told.adapters) == (3, 4, 2)
    assert told.tokens <= told.capacity
    assert told.provider
    assert told.failed is None
    assert rig.metrics.trace_ids[-1] == f"{1:032x}"
    assert set(rig.metrics.trace_ids[:-1]) == {None}


def test_a_job_waits_once_however_many_passes_answer_it() -> None:
    rig = Rig()
    rig.put("a")
    texts = [text_of(*range(1, 9)) for _ in range(60)]
    serve(rig, lambda r: r.ask("a", *texts, trace="mine"))
    parts = [part for told in rig.tracing.passes for part in told.parts]
    assert len(parts) > 1
    assert sum(part.texts for part in parts) == 60
    assert [part.queued_s is None for part in parts] == [False] + [True] * (len(parts) - 1)


def test_a_load_is_told_to_the_traced_jobs_that_waited_for_it() -> None:
    rig = Rig()
    rig.put("cold", "other")

    async def work(r: Rig) -> None:
        await asyncio.gather(
            r.ask("cold", text_of(1), text_of(2), trace="mine"), r.ask("cold"), r.ask("other")
        )
        await r.ask("cold", trace="later")

    serve(rig, work)
    [load] = rig.tracing.loads
    assert load.digest == digest_of("cold")
    [(trace, queued_s)] = load.waiting
    assert trace == "mine"
    assert max(queued_s, load.started_s) <= load.ended_s
    assert load.failed is None


def test_a_load_that_failed_is_told_with_its_error() -> None:
    rig = Rig()

    async def work(r: Rig) -> None:
        with pytest.raises(Exception, match="not on the shelf"):
            await r.ask("missing", trace="mine")

    serve(rig, work)
    assert [load.failed for load in rig.tracing.loads] == ["AdapterUnreadable"]


def test_a_pass_that_failed_is_told_with_its_error() -> None:
    rig = Rig()
    rig.put("a")

    async def work(r: Rig) -> None:
        await r.ask("a")
        r.runtime.failures.append(RuntimeError("the device is gone"))
        with pytest.raises(RuntimeError, match="the device is gone"):
            await r.ask("a", trace="mine")

    serve(rig, work)
    [told] = rig.tracing.passes
    assert told.failed == "RuntimeError"
    assert [part.trace for part in told.parts] == ["mine"]


def test_the_shadows_of_a_traced_job_are_no_part_of_its_trace() -> None:
    rig = Rig()
    rig.put("a", "shadow")

    async def work(r: Rig) -> None:
        await asyncio.gather(r.ask("a"), r.ask("shadow"))
        seen = asyncio.Event()
        shadow = Shadow(digest_of("shadow"), lambda _: seen.set())
        await r.ask("a", shadows=[shadow], trace="mine")
        await seen.wait()

    serve(rig, work)
    assert sum(len(told.parts) for told in rig.tracing.passes) == 1
