"""The batcher between tenants: who is in the next pass, the bare backbone, what is forgotten."""

import asyncio
import threading

import numpy as np
import pytest

from service.batching.jobs import BACKBONE, Job
from service.engine.errors import NonFiniteOutput
from service.engine.tokens import Tokens
from service.errors import AdapterUnreadable, TenantLimited
from tests.fakes.adapters import digest_of
from tests.fakes.rig import Rig, serve, until
from tests.fakes.runtime import answer_alone, poisonous_adapter, text_of

LONG = text_of(*range(1, 61))  # two of them fill a row, four a pass


@pytest.mark.parametrize("quiet", [text_of(90), text_of(*[90] * 60)])
def test_a_quiet_tenant_is_in_the_next_pass_while_another_floods(quiet: Tokens) -> None:
    rig = Rig()
    rig.put("flood", "quiet")

    async def work(r: Rig) -> None:
        await asyncio.gather(r.ask("flood"), r.ask("quiet"))
        with r.runtime.held():
            first = asyncio.ensure_future(r.ask("flood"))
            await r.passing()
            flood = [
                asyncio.ensure_future(r.ask("flood", LONG, tenant="flood")) for _ in range(200)
            ]
            await asyncio.sleep(0.05)
            passes = len(r.runtime.feeds)
            asking = asyncio.ensure_future(r.ask("quiet", quiet, tenant="quiet"))
            await asyncio.sleep(0.01)
        await asyncio.gather(first, asking, *flood)
        assert (r.runtime.feeds[passes].ids == 90).any()
        assert len(r.runtime.feeds) > passes + 40

    serve(rig, work)


def test_a_tenant_that_holds_its_part_is_told_when_to_come_again() -> None:
    rig = Rig(texts_max=10)
    rig.put("a")

    async def work(r: Rig) -> None:
        await r.ask("a", tenant="a")
        with r.runtime.held():
            first = asyncio.ensure_future(r.ask("a", tenant="a"))
            await r.passing()
            held = [asyncio.ensure_future(r.ask("a", tenant="a")) for _ in range(5)]
            await until(lambda: r.batcher.status().queue_texts == 5)
            with pytest.raises(TenantLimited, match="5 texts of 15 tokens of this tenant") as told:
                await r.ask("a", tenant="a")
            assert 0 < told.value.retry_after_s <= 60
            other = asyncio.ensure_future(r.ask("a", tenant="b"))
            await asyncio.sleep(0.01)
        await asyncio.gather(first, other, *held)

    serve(rig, work)


def test_the_bare_backbone_shares_passes_with_adapters() -> None:
    rig = Rig(slots=2)
    rig.put("a", "b")
    texts = [text_of(1, 2), text_of(3), text_of(4, 5, 6)]

    async def work(r: Rig) -> None:
        await asyncio.gather(r.ask("a"), r.ask("b"))
        with r.runtime.held():
            first = asyncio.ensure_future(r.ask("a"))
            await r.passing()
            jobs = [asyncio.ensure_future(r.ask(name, tenant=name)) for name in "ab"]
            bare = asyncio.ensure_future(r.batcher.embed(texts, tenant="gate", weight=0.1))
            await asyncio.sleep(0.02)
        await asyncio.gather(first, *jobs)
        found = await bare
        assert (found == np.stack([answer_alone(None, text)[1] for text in texts])).all()

    serve(rig, work)
    assert rig.metrics.passes[-1][0] == 5  # one pass of all
    assert rig.metrics.passes[-1][3] == 2  # adapters, and the backbone is none
    assert sorted(rig.loads) == [digest_of("a"), digest_of("b")]


def test_nothing_is_ever_written_where_the_bare_backbone_lies() -> None:
    rig = Rig(slots=2)
    names = [f"tenant {i}" for i in range(6)]
    rig.put(*names)

    async def work(r: Rig) -> None:
        for _ in range(3):
            await asyncio.gather(*(r.ask(name) for name in names), r.batcher.embed([text_of(1)]))

    serve(rig, work)
    assert {slot for slot, _ in rig.runtime.written} == {1, 2}
    assert not any(array[: rig.runtime.bank._stride].any() for array in rig.runtime.bank.arrays)


def test_a_neighbour_that_poisons_does_not_reach_the_bare_backbone() -> None:
    rig = Rig()
    poison = poisonous_adapter("poison")
    rig.put("a", poison)
    rig.batcher._cache.put(poison)
    text = text_of(1, 2, 3)

    async def work(r: Rig) -> None:
        await r.ask("a")
        with r.runtime.held():
            first = asyncio.ensure_future(r.ask("a"))
            await r.passing()
            bad = asyncio.ensure_future(r.ask("poison", text))
            bare = asyncio.ensure_future(r.batcher.embed([text]))
            await asyncio.sleep(0.02)
        done = await asyncio.gather(first, bad, bare, return_exceptions=True)
        assert isinstance(done[1], NonFiniteOutput)
        assert (np.asarray(done[2]) == answer_alone(None, text)[1]).all()
        assert r.batcher.status().quarantined == (poison.digest,)

    serve(rig, work)


def test_a_backbone_that_gives_no_number_is_told_and_nobody_is_quarantined() -> None:
    rig = Rig()

    def spoil(_: object) -> None:
        rig.runtime.spoilt = True

    rig.runtime.before_run = spoil

    async def work(r: Rig) -> None:
        with pytest.raises(NonFiniteOutput) as told:
            await r.batcher.embed([text_of(1)])
        assert told.value.digest == BACKBONE
        assert r.batcher.status().quarantined == ()

    serve(rig, work)


def test_an_adapter_that_is_forgotten_leaves_its_slot_and_host_memory() -> None:
    rig = Rig()
    rig.put("a", "b")

    async def work(r: Rig) -> None:
        await asyncio.gather(r.ask("a"), r.ask("b"))
        r.batcher.forget(digest_of("a"))
        await until(lambda: r.batcher.status().slots_used == 1)
        del r.store[digest_of("a")]
        with pytest.raises(AdapterUnreadable):
            await r.ask("a")
        await r.ask("b")

    serve(rig, work)


def test_whoever_asked_before_it_was_forgotten_is_still_answered() -> None:
    rig = Rig()
    rig.put("a", "b")

    async def work(r: Rig) -> None:
        await asyncio.gather(r.ask("a"), r.ask("b"))
        with r.runtime.held():
            running = asyncio.ensure_future(r.ask("a"))
            await r.passing()
            waiting = [asyncio.ensure_future(r.ask("a", LONG)) for _ in range(20)]
            await asyncio.sleep(0.02)
            r.batcher.forget(digest_of("a"))
        await asyncio.gather(running, *waiting)
        await until(lambda: r.batcher.status().slots_used == 1)

    serve(rig, work)
    assert sorted(rig.loads) == [digest_of("a"), digest_of("b")]


def test_forgetting_what_is_not_there_changes_nothing() -> None:
    rig = Rig()
    rig.put("a")

    async def work(r: Rig) -> None:
        await r.ask("a")
        r.batcher.forget(digest_of("never seen"))
        await until(lambda: not r.batcher._forgotten)
        assert r.batcher.status().slots_used == 1

    serve(rig, work)


def test_an_adapter_is_not_forgotten_from_under_its_load() -> None:
    rig = Rig()
    rig.put("cold")
    rig.slow[digest_of("cold")] = threading.Event()

    async def work(r: Rig) -> None:
        asking = asyncio.ensure_future(r.ask("cold"))
        await until(lambda: digest_of("cold") in r.loads)
        r.batcher.forget(digest_of("cold"))
        await asyncio.sleep(0.02)
        r.slow[digest_of("cold")].set()
        await asking
        await until(lambda: r.batcher.status().slots_used == 0)

    serve(rig, work)
    assert rig.loads == [digest_of("cold")]


def test_a_candidate_on_its_hold_out_shares_passes_and_is_not_quarantined() -> None:
    rig = Rig()
    rig.put("a")
    poison = poisonous_adapter("candidate")

    async def work(r: Rig) -> None:
        await r.ask("a")
        job = Job(poison.digest, [text_of(1)], brings=poison, tenant="gate", weight=0.1)
        done = await asyncio.gather(r.batcher.answer(job), r.ask("a"), return_exceptions=True)
        assert isinstance(done[0], NonFiniteOutput)
        assert r.batcher.status().quarantined == ()

    serve(rig, work)
    assert rig.quarantined == []


def test_a_tenant_is_not_charged_for_texts_that_never_ran() -> None:
    rig = Rig()
    rig.put("broken")
    rig.runtime.unwritable[digest_of("broken")] = OSError("the device refused")

    async def work(r: Rig) -> None:
        with pytest.raises(OSError, match="refused"):
            await r.ask("broken", tenant="t")

    serve(rig, work)
    order = rig.batcher._queue._order
    assert order.flow("t").finish == order.now


def test_it_tells_which_adapters_are_in_slots_and_which_are_waited_for() -> None:
    rig = Rig()
    rig.put("one", "two", "slow")
    there = rig.slow[digest_of("slow")] = threading.Event()

    async def work(r: Rig) -> None:
        await r.ask("one")
        await r.ask("two")
        assert r.batcher.loaded(8) == [digest_of("two"), digest_of("one")]
        assert r.batcher.loaded(1) == [digest_of("two")]
        assert r.batcher.awaited(8) == []
        waiting = asyncio.create_task(r.ask("slow"))
        await until(lambda: r.batcher.awaited(8) == [digest_of("slow")])
        there.set()
        await waiting
        assert r.batcher.awaited(8) == []

    serve(rig, work)
