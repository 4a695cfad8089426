"""The batcher with real threads over a runtime whose answers are exact."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import TypeVar

import numpy as np
import pytest

from service.batching.answers import Answer
from service.batching.batcher import Batcher
from service.batching.queue import Job
from service.engine.adapter import Adapter
from service.engine.errors import InvalidAdapter, NonFiniteOutput
from service.engine.forward import Forward
from service.engine.heads import softmax
from service.engine.tokens import Tokens
from service.errors import (
    AdapterQuarantined,
    AdapterUnreadable,
    DeadlinePassed,
    QueueFull,
    Stopping,
)
from tests.fakes.adapters import digest_of
from tests.fakes.metrics import FakeBatchMetrics
from tests.fakes.runtime import (
    FakeRuntime,
    answer_alone,
    poisonous_adapter,
    text_of,
    whole_adapter,
    whole_bundle,
)

T = TypeVar("T")
SOON_S = 10.0  # how long a test waits for what must happen


class Rig:
    """A batcher, and everything around it that a test may look at or bend."""

    def __init__(self, slots: int = 4, *, texts_max: int = 1000, tokens_max: int = 100_000) -> None:
        bundle = whole_bundle()
        self.runtime = FakeRuntime(bundle, slots)
        self.metrics = FakeBatchMetrics()
        self.store: dict[str, Adapter] = {}
        self.loads: list[str] = []
        self.slow: dict[str, threading.Event] = {}  # loads that wait for their event
        self.quarantined: list[str] = []
        self.batcher = Batcher(
            lambda: Forward(bundle, self.runtime),
            self.load,
            self.metrics,
            queue_texts_max=texts_max,
            queue_tokens_max=tokens_max,
            host_cache_bytes_max=1 << 20,
            reason="there is no other",
            on_quarantine=self.quarantined.append,
        )

    def put(self, *found: str | Adapter) -> None:
        for adapter in found:
            made = whole_adapter(adapter) if isinstance(adapter, str) else adapter
            self.store[made.digest] = made

    def load(self, digest: str) -> Adapter:
        self.loads.append(digest)
        if digest in self.slow:
            assert self.slow[digest].wait(SOON_S)
        if digest not in self.store:
            raise AdapterUnreadable(f"{digest} is not on the shelf")
        return self.store[digest]

    async def ask(self, name: str, *texts: Tokens, deadline_s: float | None = None) -> Answer:
        asked = texts or (text_of(3, 1, 4),)
        answer = await asyncio.wait_for(
            self.batcher.answer(Job(digest_of(name), asked, deadline_s)), SOON_S
        )
        self.check(answer, asked)
        return answer

    def check(self, answer: Answer, texts: Sequence[Tokens]) -> None:
        """Compare an answer with the loop, for the digest that it says."""
        adapter = self.store[answer.digest]
        assert answer.labels == adapter.labels
        for text, row, embedding in zip(
            texts, answer.probabilities, answer.embeddings, strict=True
        ):
            pooled, mean = answer_alone(adapter, text)
            assert (embedding == mean).all()
            logits = pooled @ adapter.head["classifier.weight"].T + adapter.head["classifier.bias"]
            assert row == pytest.approx(softmax(logits), abs=1e-6)

    async def passing(self) -> None:
        """Wait until a pass is held at its beginning."""
        await until(self.runtime.inside.is_set)


async def until(true: Callable[[], bool]) -> None:
    ends = time.monotonic() + SOON_S
    while not true():
        assert time.monotonic() < ends, "it did not happen"
        await asyncio.sleep(0.002)


@asynccontextmanager
async def started(rig: Rig) -> AsyncIterator[Rig]:
    await rig.batcher.start()
    try:
        yield rig
    finally:
        await rig.batcher.stop(SOON_S)


def serve(rig: Rig, work: Callable[[Rig], Awaitable[T]]) -> T:
    """Run `work` on a started batcher, stop it, and see that nothing is left over."""

    async def run() -> T:
        async with started(rig):
            result = await work(rig)
        status = rig.batcher.status()
        assert (status.queue_texts, status.queue_tokens, status.running_texts) == (0, 0, 0)
        assert not rig.batcher._waiters
        assert not rig.batcher._thread.is_alive()
        return result

    return asyncio.run(run())


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


# --- deadlines, and callers that leave ---------------------------------------------------


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
    rig = Rig(texts_max=3)
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


# --- the bound ---------------------------------------------------------------------------


def test_beyond_its_bound_the_queue_refuses_and_says_what_waits() -> None:
    rig = Rig(texts_max=4)
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
    rig = Rig(texts_max=4)
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


# --- loading -----------------------------------------------------------------------------


def test_the_load_of_one_adapter_stalls_no_other() -> None:
    rig = Rig()
    rig.put("warm", "cold")
    rig.slow[digest_of("cold")] = threading.Event()

    async def work(r: Rig) -> None:
        await r.ask("warm")
        cold = asyncio.ensure_future(r.ask("cold"))
        await until(lambda: digest_of("cold") in r.loads)
        for _ in range(5):
            await r.ask("warm")
        assert not cold.done()
        r.slow[digest_of("cold")].set()
        await cold

    serve(rig, work)


def test_a_failed_load_reaches_those_who_wait_for_it_and_nobody_else() -> None:
    rig = Rig()
    rig.put("a")

    async def work(r: Rig) -> None:
        jobs = [r.ask("a"), r.ask("missing"), r.ask("missing", text_of(1), text_of(2)), r.ask("a")]
        done = await asyncio.gather(*jobs, return_exceptions=True)
        assert [type(x) for x in done] == [Answer, AdapterUnreadable, AdapterUnreadable, Answer]
        r.put("missing")
        await r.ask("missing")

    serve(rig, work)


def test_an_adapter_that_cannot_be_written_fails_its_own_callers_only() -> None:
    rig = Rig()
    rig.put("a", "broken")
    rig.runtime.unwritable[digest_of("broken")] = OSError("the device refused")

    async def work(r: Rig) -> None:
        jobs = [r.ask("a"), r.ask("broken"), r.ask("a")]
        done = await asyncio.gather(*jobs, return_exceptions=True)
        assert [type(x) for x in done] == [Answer, OSError, Answer]
        assert r.batcher.ready
        del r.runtime.unwritable[digest_of("broken")]
        await r.ask("broken")

    serve(rig, work)


def test_whoever_came_first_is_not_passed_by_those_whose_load_just_ended() -> None:
    rig = Rig(slots=1)
    rig.put("first", "cold", "last")
    cold = digest_of("cold")
    rig.slow[cold] = threading.Event()
    order: list[str] = []

    async def ask(name: str) -> None:
        await rig.ask(name)
        order.append(name)

    async def work(r: Rig) -> None:
        await r.ask("last")
        await r.ask("first")
        with r.runtime.held():
            running = asyncio.ensure_future(r.ask("first"))
            await r.passing()
            jobs = [asyncio.ensure_future(ask(name)) for name in ("cold", "last", "cold")]
            await asyncio.sleep(0.02)
        await running
        await jobs[1]  # runs while the others load
        with r.runtime.held():
            running = asyncio.ensure_future(r.ask("first"))
            await r.passing()
            jobs += [asyncio.ensure_future(ask("first"))]
            r.slow[cold].set()
            await until(lambda: len(r.batcher._arrivals) == 1)
        await asyncio.gather(running, *jobs)

    serve(rig, work)
    assert order == ["last", "cold", "cold", "first"]


# --- passes that fail, adapters that poison ----------------------------------------------


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
            r.runtime.before_run = lambda feed: fail_once(r, feed.count)
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


# --- beginning and end -------------------------------------------------------------------


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
            rig.batcher._waiters.clear()

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
        assert (status.slots, status.slots_used, status.host_adapters) == (3, 2, 2)
        assert status.host_bytes == sum(adapter.nbytes for adapter in r.store.values())
        assert (status.provider, status.precision) == ("fake", "whole")
        assert status.reason == "there is no other"
        assert r.batcher.warm_steps == (1, 1)

    serve(rig, work)
