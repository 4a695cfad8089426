"""The batcher from its start to its end, and what it tells of itself."""

import asyncio
import threading

import pytest

from service.batching.jobs import Entry, Job
from service.engine.forward import Forward
from service.errors import EngineFailed, Stopping
from tests.fakes.adapters import digest_of
from tests.fakes.rig import SOON_S, Rig, serve, started, until
from tests.fakes.runtime import (
    text_of,
)


def test_stopping_answers_what_was_accepted_and_takes_nothing_new() -> None:
    rig = Rig()
    rig.put("a", "cold")
    rig.slow[digest_of("cold")] = threading.Event()

    async def run() -> None:
        await rig.batcher.start()
        with rig.runtime.held():
            jobs = [asyncio.ensure_future(rig.ask(n)) for n in ("a", "cold", "a")]
            await rig.passing()
            stopping = asyncio.ensure_future(rig.batcher.stop(SOON_S))
            await asyncio.sleep(0.02)
            assert not rig.batcher.ready
            with pytest.raises(Stopping):
                await rig.ask("a")
            assert not stopping.done()
        rig.slow[digest_of("cold")].set()
        await asyncio.gather(*jobs, stopping)

    asyncio.run(run())


def test_what_is_not_answered_when_the_drain_ends_is_told_so() -> None:
    rig = Rig()
    rig.put("a", "cold")
    rig.slow[digest_of("cold")] = threading.Event()

    async def run() -> None:
        await rig.batcher.start()
        await rig.ask("a")
        cold = asyncio.ensure_future(rig.ask("cold"))
        await until(lambda: digest_of("cold") in rig.loads)
        await rig.batcher.stop(0.05)
        with pytest.raises(Stopping):
            await cold
        rig.slow[digest_of("cold")].set()

    asyncio.run(run())
    assert not rig.batcher._thread.is_alive()


def test_stopping_when_idle_is_quick_and_may_be_done_twice() -> None:
    rig = Rig()

    async def run() -> None:
        await rig.batcher.start()
        assert rig.batcher.ready
        await asyncio.wait_for(rig.batcher.stop(SOON_S), SOON_S / 2)
        await asyncio.wait_for(rig.batcher.stop(SOON_S), SOON_S / 2)
        assert not rig.batcher.ready

    asyncio.run(run())


def test_a_runtime_that_does_not_open_is_told_to_whoever_starts_it() -> None:
    rig = Rig()

    def fail() -> Forward:
        raise OSError("no such device")

    rig.batcher._open_forward = fail

    async def run() -> None:
        with pytest.raises(OSError, match="no such device"):
            await rig.batcher.start()
        assert not rig.batcher.ready
        await rig.batcher.stop(0.05)

    asyncio.run(run())


def test_callers_on_several_event_loops_get_their_own_answers() -> None:
    rig = Rig(slots=3)
    names = [f"tenant {i}" for i in range(6)]
    rig.put(*names)
    failures: list[BaseException] = []

    async def caller(start: int) -> None:
        for i in range(30):
            await rig.ask(names[(start + i) % 6], text_of(i + 1, start), text_of(start + 2))

    def thread(start: int) -> None:
        try:
            asyncio.run(caller(start))
        except BaseException as error:  # noqa: BLE001 - the test raises it
            failures.append(error)

    async def run() -> None:
        async with started(rig):
            threads = [threading.Thread(target=thread, args=(i,)) for i in range(4)]
            for t in threads:
                t.start()
            for t in threads:
                await asyncio.to_thread(t.join)

    asyncio.run(run())
    assert failures == []


def test_a_caller_whose_event_loop_died_does_not_end_the_engine() -> None:
    rig = Rig()
    rig.put("a")

    async def run() -> None:
        async with started(rig):
            await rig.ask("a")
            with rig.runtime.held():
                lost = asyncio.new_event_loop()
                task = lost.create_task(rig.batcher.answer(Job(digest_of("a"), [text_of(1)])))

                def begin() -> None:
                    lost.call_later(0.05, lost.stop)
                    lost.run_forever()
                    lost.close()

                await asyncio.to_thread(begin)
                await rig.passing()
            await rig.ask("a")
            task._log_destroy_pending = False  # type: ignore[attr-defined]
            assert not len(rig.batcher._callers)

    asyncio.run(run())


def test_the_status_tells_what_an_operator_asks() -> None:
    rig = Rig(slots=3)
    rig.put("a", "b")

    async def work(r: Rig) -> None:
        await asyncio.gather(r.ask("a"), r.ask("b"))
        with r.runtime.held():
            job = asyncio.ensure_future(r.ask("a", text_of(1), text_of(2)))
            await r.passing()
            waiting = asyncio.ensure_future(r.ask("a", text_of(1, 2, 3)))
            await asyncio.sleep(0.02)
            status = r.batcher.status()
        await asyncio.gather(job, waiting)
        assert (status.queue_texts, status.queue_tokens, status.running_texts) == (1, 3, 2)
        assert (status.slots, status.slots_used) == (3, 2)
        assert (status.provider, status.precision) == ("fake", "whole")
        assert status.reason == "there is no other"

    serve(rig, work)


def test_an_engine_that_dies_keeps_nobody_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    rig = Rig()
    rig.put("a")
    told = threading.Event()

    def broken(texts: int, tokens: int) -> list[Entry]:
        raise RuntimeError(f"a bug of ours, at {texts} texts of {tokens} tokens")

    async def run() -> None:
        await rig.batcher.start()
        await rig.ask("a")
        monkeypatch.setattr(rig.batcher, "_on_failure", told.set)
        monkeypatch.setattr(rig.batcher._queue, "take", broken)
        with pytest.raises(EngineFailed):
            await asyncio.wait_for(rig.ask("a"), SOON_S)
        with pytest.raises(EngineFailed):
            await rig.ask("a")
        await until(told.is_set)
        assert not rig.batcher.ready
        assert isinstance(rig.batcher.failure, RuntimeError)
        await rig.batcher.stop(SOON_S)

    asyncio.run(run())
