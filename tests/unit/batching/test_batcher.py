"""The batcher with real threads over a runtime whose answers are exact."""

import asyncio

from tests.fakes.adapters import digest_of
from tests.fakes.rig import Rig, serve
from tests.fakes.runtime import (
    text_of,
    whole_adapter,
)


def test_a_job_is_answered_text_by_text_in_its_order() -> None:
    rig = Rig()
    rig.put("a")
    answer = serve(rig, lambda r: r.ask("a", text_of(1, 2), text_of(3), text_of(4, 5, 6)))
    assert answer.digest == digest_of("a")
    assert answer.probabilities.shape == (3, 3)
    assert answer.queue_s >= 0
    assert answer.compute_s > 0


def test_jobs_of_many_adapters_share_passes_and_get_their_own_answers() -> None:
    rig = Rig(slots=8)
    names = [f"tenant {i}" for i in range(8)]
    rig.put(*names)

    async def work(r: Rig) -> None:
        await asyncio.gather(*(r.ask(name) for name in names))  # brings all of them in
        with r.runtime.held():
            first = asyncio.ensure_future(r.ask("tenant 0"))
            await r.passing()
            jobs = [
                asyncio.ensure_future(r.ask(n, text_of(i, 7), text_of(2, i)))
                for i, n in enumerate(names)
            ]
            await asyncio.sleep(0.02)
        await asyncio.gather(first, *jobs)

    serve(rig, work)
    assert max(adapters for *_, adapters in rig.metrics.passes) == 8


def test_more_adapters_than_slots_take_turns() -> None:
    rig = Rig(slots=2)
    names = [f"tenant {i}" for i in range(12)]
    rig.put(*names)

    async def work(r: Rig) -> None:
        for _ in range(3):
            await asyncio.gather(*(r.ask(name, text_of(5), text_of(6, 7)) for name in names))

    serve(rig, work)
    assert rig.metrics.loads == 12
    assert rig.metrics.evictions >= 10
    assert len(rig.runtime.written) == rig.metrics.evictions + 2


def test_a_job_larger_than_a_pass_is_answered_by_several() -> None:
    rig = Rig()
    rig.put("a")
    texts = [text_of(*range(1, 30)) for _ in range(40)]
    answer = serve(rig, lambda r: r.ask("a", *texts))
    assert len(answer.probabilities) == 40
    assert len(rig.metrics.passes) >= 10


def test_a_pass_holds_what_arrived_while_the_last_one_ran() -> None:
    rig = Rig()
    rig.put("a")

    async def work(r: Rig) -> None:
        await r.ask("a")
        with r.runtime.held():
            first = asyncio.ensure_future(r.ask("a"))
            await r.passing()
            others = [asyncio.ensure_future(r.ask("a")) for _ in range(9)]
            await asyncio.sleep(0.02)
        await asyncio.gather(first, *others)

    serve(rig, work)
    assert [texts for texts, *_ in rig.metrics.passes] == [1, 1, 9]


def test_an_adapter_without_lora_shares_a_pass_with_one_that_has_it() -> None:
    rig = Rig()
    rig.put("a", whole_adapter("head alone", rank=0))

    async def work(r: Rig) -> None:
        await asyncio.gather(*(r.ask(n, text_of(9, 9)) for n in ("a", "head alone") * 3))

    serve(rig, work)
