"""Shadows: they answer the same texts, and nobody who asked feels them."""

import asyncio
import threading
import time

import pytest

from service.batching.answers import Answer
from service.batching.jobs import Job, Shadow
from service.errors import AdapterQuarantined, DeadlinePassed, Stopping, TenantLimited
from tests.fakes.adapters import digest_of
from tests.fakes.rig import SOON_S, Rig, serve, until
from tests.fakes.runtime import poisonous_adapter, text_of


class Seen(list[Answer]):
    """What was observed, and of which adapter it should have been."""

    def of(self, name: str) -> Shadow:
        return Shadow(digest_of(name), self.append)


async def warm(rig: Rig, *names: str) -> None:
    await asyncio.gather(*(rig.ask(name) for name in names))


def test_a_shadow_answers_the_same_texts_in_the_same_pass() -> None:
    rig, seen = Rig(), Seen()
    rig.put("live", "new", "newer")
    texts = [text_of(1, 2), text_of(3)]

    async def work(r: Rig) -> None:
        await warm(r, "live", "new", "newer")
        r.metrics.passes.clear()
        answer = await r.ask("live", *texts, shadows=[seen.of("new"), seen.of("newer")])
        assert answer.digest == digest_of("live")
        await until(lambda: len(seen) == 2)

    serve(rig, work)
    assert [answer.digest for answer in seen] == [digest_of("new"), digest_of("newer")]
    for answer in seen:
        rig.check(answer, texts)
    assert [(texts, adapters) for texts, _, _, adapters in rig.metrics.passes] == [(6, 3)]
    assert rig.metrics.shadows == {"answered": 4}


def test_the_caller_has_its_answer_before_a_shadow_is_shown() -> None:
    rig = Rig()
    rig.put("live", "new")
    order: list[str] = []

    async def work(r: Rig) -> None:
        await warm(r, "live", "new")
        shadow = Shadow(digest_of("new"), lambda _: order.append("shadow"))
        await r.batcher.answer(_job(shadow))
        order.append("caller")
        await until(lambda: len(order) == 2)

    serve(rig, work)
    assert order == ["caller", "shadow"]


def _job(shadow: Shadow) -> Job:
    return Job(digest_of("live"), [text_of(1)], shadows=(shadow,))


def test_a_shadow_that_must_be_loaded_holds_nobody_up() -> None:
    rig, seen = Rig(), Seen()
    rig.put("live", "cold")
    rig.slow[digest_of("cold")] = threading.Event()

    async def work(r: Rig) -> None:
        await warm(r, "live")
        for _ in range(3):
            await r.ask("live", shadows=[seen.of("cold")])
        assert not seen
        r.slow[digest_of("cold")].set()
        await until(lambda: len(seen) == 3)

    serve(rig, work)
    assert rig.metrics.shadows == {"answered": 3}


def test_a_shadow_is_not_shown_before_its_caller_whose_adapter_loads() -> None:
    rig, seen = Rig(), Seen()
    rig.put("cold", "new")
    rig.slow[digest_of("cold")] = threading.Event()

    async def work(r: Rig) -> None:
        await warm(r, "new")
        passes = len(r.metrics.passes)
        asking = asyncio.ensure_future(r.ask("cold", shadows=[seen.of("new")]))
        await until(lambda: len(r.metrics.passes) > passes)
        await asyncio.sleep(0.02)
        assert not seen
        r.slow[digest_of("cold")].set()
        await asking
        await until(lambda: len(seen) == 1)

    serve(rig, work)


def test_a_caller_that_leaves_takes_its_shadows_along() -> None:
    rig, seen = Rig(), Seen()
    rig.put("cold", "new")
    rig.slow[digest_of("cold")] = threading.Event()

    async def work(r: Rig) -> None:
        await warm(r, "new")
        late = time.monotonic() + 0.05
        with pytest.raises(DeadlinePassed):  # after the shadow was answered
            await r.ask("cold", deadline_s=late, shadows=[seen.of("new")])
        with r.runtime.held():
            running = asyncio.ensure_future(r.ask("new"))
            await r.passing()
            leaving = asyncio.ensure_future(r.ask("new", shadows=[seen.of("cold")]))
            await until(lambda: r.batcher.status().queue_texts == 2)
            leaving.cancel()
            with pytest.raises(asyncio.CancelledError):
                await leaving
            assert r.batcher.status().queue_texts == 0
        await running
        r.slow[digest_of("cold")].set()

    serve(rig, work)
    assert not seen
    assert rig.metrics.shadows == {"dropped": 2}


def test_a_shadow_that_cannot_be_read_fails_alone() -> None:
    rig, seen = Rig(), Seen()
    rig.put("live")

    async def work(r: Rig) -> None:
        for _ in range(2):
            await r.ask("live", shadows=[seen.of("missing")])
        await until(lambda: r.metrics.shadows["failed"] == 2)

    serve(rig, work)
    assert not seen


def test_a_poisonous_shadow_is_quarantined_and_its_caller_answered() -> None:
    rig, seen = Rig(), Seen()
    poison = poisonous_adapter("poison")
    rig.put("live", poison)

    async def work(r: Rig) -> None:
        await warm(r, "live")
        r.batcher._cache.put(poison)
        await r.ask("live", text_of(1), text_of(2), shadows=[seen.of("poison")])
        await until(lambda: r.metrics.shadows["failed"] == 2)
        await r.ask("live", shadows=[seen.of("poison")])
        assert r.metrics.shadows["failed"] == 3
        with pytest.raises(AdapterQuarantined):
            await r.ask("poison")

    serve(rig, work)
    assert not seen
    assert rig.quarantined == [poison.digest]


def test_a_pass_that_fails_is_felt_by_its_callers_and_counted_for_shadows() -> None:
    rig, seen = Rig(), Seen()
    rig.put("live", "new")

    async def work(r: Rig) -> None:
        await warm(r, "live", "new")
        r.runtime.failures += [RuntimeError("out of memory")]
        with pytest.raises(RuntimeError):
            await r.ask("live", shadows=[seen.of("new")])
        await r.ask("live", shadows=[seen.of("new")])
        await until(lambda: len(seen) == 1)

    serve(rig, work)
    assert rig.metrics.shadows == {"failed": 1, "answered": 1}


def test_an_observer_that_raises_hurts_nobody(caplog: pytest.LogCaptureFixture) -> None:
    rig = Rig()
    rig.put("live", "new")

    def fail(answer: Answer) -> None:
        raise ValueError(f"an observer's mood at {answer.digest}")

    async def work(r: Rig) -> None:
        await r.ask("live", shadows=[Shadow(digest_of("new"), fail)])
        await until(lambda: r.metrics.shadows["answered"] == 1)
        await r.ask("live")

    serve(rig, work)
    assert "an observer's mood" in caplog.text


def test_a_draining_server_drops_shadows_and_answers_callers() -> None:
    rig, seen = Rig(), Seen()
    rig.put("live", "cold")
    rig.slow[digest_of("cold")] = threading.Event()

    async def run() -> None:
        await rig.batcher.start()
        await rig.ask("live", shadows=[seen.of("cold")])
        await asyncio.wait_for(rig.batcher.stop(SOON_S), SOON_S / 2)
        with pytest.raises(Stopping):
            await rig.ask("live", shadows=[seen.of("cold")])
        rig.slow[digest_of("cold")].set()

    asyncio.run(run())
    assert not seen
    assert rig.metrics.shadows == {"dropped": 1}


def test_shadows_fill_what_callers_leave_and_go_when_callers_need_it() -> None:
    rig, seen = Rig(texts_max=4, tenant_ratio=100.0), Seen()
    rig.put("live", "new")

    async def work(r: Rig) -> None:
        await warm(r, "live", "new")
        with r.runtime.held():
            running = asyncio.ensure_future(r.ask("live"))
            await r.passing()
            first = [
                asyncio.ensure_future(r.ask("live", shadows=[seen.of("new")])) for _ in range(2)
            ]
            await until(lambda: r.batcher.status().queue_texts == 4)
            second = [asyncio.ensure_future(r.ask("live")) for _ in range(2)]
            await until(lambda: r.metrics.shadows["dropped"] == 2)
            assert r.batcher.status().queue_texts == 4
        await asyncio.gather(running, *first, *second)

    serve(rig, work)
    assert not seen


def test_a_tenants_shadows_do_not_keep_its_callers_out() -> None:
    rig, seen = Rig(texts_max=20), Seen()
    rig.put("live", "new")

    async def work(r: Rig) -> None:
        await warm(r, "live", "new")
        with r.runtime.held():
            running = asyncio.ensure_future(r.ask("live"))
            await r.passing()
            asked = [
                asyncio.ensure_future(r.ask("live", tenant="a", shadows=[seen.of("new")]))
                for _ in range(10)
            ]
            await asyncio.sleep(0.02)
            with pytest.raises(TenantLimited):
                await r.ask("live", tenant="a")
        await asyncio.gather(running, *asked)
        await until(lambda: sum(r.metrics.shadows.values()) == 10)

    serve(rig, work)
    assert 0 < rig.metrics.shadows["dropped"] < 10


def test_with_every_slot_taken_by_callers_a_shadow_waits_for_its_turn() -> None:
    rig, seen = Rig(slots=2), Seen()
    rig.put("a", "b", "new")

    async def work(r: Rig) -> None:
        await warm(r, "a", "b")
        with r.runtime.held():
            running = asyncio.ensure_future(r.ask("a"))
            await r.passing()
            asked = [
                asyncio.ensure_future(r.ask("ab"[i % 2], shadows=[seen.of("new")] * (i == 0)))
                for i in range(6)
            ]
            await asyncio.sleep(0.02)
        await asyncio.gather(running, *asked)
        await until(lambda: len(seen) == 1)

    serve(rig, work)
