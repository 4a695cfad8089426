"""The batcher: takes what waits, runs it in one pass, settles the callers.

There is no waiting time: a pass holds what arrived while the last one ran. One thread owns the
runtime and the bank; callers are coroutines, and the lock is only ever held for queue work.
Nothing of HTTP comes here: token arrays, an adapter digest and a deadline go in, arrays come out.
"""

import asyncio
import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterable, Sequence

from service.batching.admission import Amount
from service.batching.answers import Answer, BatcherStatus, BatchMetrics
from service.batching.boarding import Boarded, board
from service.batching.callers import Callers, Waiter
from service.batching.jobs import BACKBONE, Entry, Job, Ticket
from service.batching.passes import next_pass
from service.batching.queue import Queue
from service.batching.residency import HostCache, Residency
from service.batching.settling import settle
from service.batching.traces import PassTracing, TracedJobs
from service.engine.adapter import Adapter, FloatArray
from service.engine.errors import InvalidAdapter, NonFiniteOutput, Problem
from service.engine.forward import Answered, Forward
from service.engine.packing import Plan
from service.engine.pixels import Whole
from service.errors import AdapterQuarantined, DeadlinePassed, EngineFailed, Stopping

log = logging.getLogger(__name__)

_LOOKED_AT = 512  # waiting texts that one plan looks at,
_LOOKED_AT_PASSES = 8  # and how many full passes they may fill


class Batcher:
    """Answers jobs with one runtime. Create, `start()`, `answer()` from coroutines, `stop()`."""

    def __init__(
        self,
        open_forward: Callable[[], Forward],
        load: Callable[[str], Adapter],
        metrics: BatchMetrics,
        *,
        queue_texts_max: int,
        queue_tokens_max: int,
        host_cache_bytes_max: int,
        tenant_queue_ratio: float = 1.0,
        reason: Callable[[], str] = str,
        on_quarantine: Callable[[str], object] | None = None,
        on_failure: Callable[[], object] | None = None,
        tracing: PassTracing | None = None,
    ) -> None:
        """`open_forward` is called on the runtime's thread; `load(digest)` reads the store.

        `reason` says why the runtime is the one that it is; `tracing` is told of traced jobs.
        """
        self._open_forward = open_forward
        self._load = load
        self._metrics = metrics
        self._reason = reason
        self._on_quarantine = on_quarantine
        self._on_failure = on_failure
        self._traced = TracedJobs(tracing)
        self._queue = Queue(queue_texts_max, queue_tokens_max, tenant_queue_ratio)
        self._cache = HostCache(host_cache_bytes_max)
        self._forward: Forward | None = None
        self._residency: Residency | None = None
        self._wake = threading.Condition()
        self._callers = Callers(self._queue, self._wake, metrics)
        self._arrivals: list[tuple[str, Exception | None]] = []
        self._forgotten: set[str] = set()  # digests that shall leave the bank
        self._quarantined: set[str] = set()
        self._draining = False
        self._closed = False
        self._running_texts = 0
        self._capacity = 0  # tokens of the largest pass
        self._thread = threading.Thread(target=self._work, name="tenantry-engine", daemon=True)
        self._ready = threading.Event()
        self._failure: Exception | None = None

    # --- callers' side -------------------------------------------------------------------

    async def start(self) -> None:
        """Open the runtime and run every shape once; return when it is ready.

        Raises what opening raised.
        """
        self._thread.start()
        await asyncio.to_thread(self._ready.wait)
        if self._failure is not None:
            raise self._failure

    @property
    def failure(self) -> Exception | None:
        """Return what ended the engine, if it has failed."""
        return self._failure

    @property
    def ready(self) -> bool:
        """Return whether jobs are taken."""
        return self._ready.is_set() and self._failure is None and not self._draining

    async def answer(self, job: Job) -> Answer:
        """Answer a job.

        Raises `Stopping`, `QueueFull`, `TenantLimited`, `AdapterQuarantined`, `DeadlinePassed`,
        `NonFiniteOutput`, or what loading the adapter raised. A cancelled caller frees its places
        at once. What becomes of the job's shadows is never felt here.
        """
        assert job.texts, "a job without texts would never be answered"
        assert all(map(len, job.texts)), "a text has one token at least"
        assert job.weight > 0, "a weight is a share"
        assert not (job.alone and job.shadows), "a job that is alone has no company"
        assert all(one.rows is None or one.rows for one in job.shadows), "a shadow has a text"
        loop = asyncio.get_running_loop()
        ticket = Ticket(job, time.monotonic())
        waiter = Waiter(loop, loop.create_future())
        with self._wake:
            if self._draining:
                raise Stopping("the server is stopping and takes no new work; try another one")
            if self._failure is not None:
                raise _broken()
            if job.digest in self._quarantined:
                raise AdapterQuarantined(f"the adapter {job.digest} is quarantined")
            self._callers.enter(ticket, waiter, self._quarantined)
        timer = None
        if job.deadline_s is not None:
            late = DeadlinePassed("the deadline passed before the answer was there")
            wait_s = job.deadline_s - time.monotonic()
            timer = loop.call_later(wait_s, self._callers.fail, ticket, late)
        try:
            return await waiter.future
        finally:
            if timer is not None:
                timer.cancel()
            if ticket in self._callers:  # the caller left
                self._callers.leave(ticket)

    async def embed(
        self,
        texts: Sequence[Whole],
        *,
        tenant: str = "",
        weight: float = 1.0,
        deadline_s: float | None = None,
    ) -> FloatArray:
        """Return the bare backbone's embeddings [texts, hidden], mean-pooled, not normalised.

        The texts share passes with everybody's. Raises what `answer` raises.
        """
        job = Job(BACKBONE, texts, deadline_s, tenant=tenant, weight=weight)
        answer = await self.answer(job)
        if answer.digest != BACKBONE:  # no assert, which -O would take away
            raise AssertionError("an adapter answered for the bare backbone")
        return answer.embeddings

    async def probe(
        self, adapter: Adapter, texts: Sequence[Whole], *, tenant: str = "", weight: float = 1.0
    ) -> None:
        """Run an adapter that is not in the store yet on a few texts, in passes of its own.

        Raises `InvalidAdapter` where its numbers are not finite, and what `answer` raises.
        """
        job = Job(adapter.digest, texts, alone=True, brings=adapter, tenant=tenant, weight=weight)
        try:
            await self.answer(job)
        except NonFiniteOutput as error:
            self.forget(adapter.digest)
            what = "gives inf or NaN for ordinary texts; nothing would ever be answered with it"
            raise InvalidAdapter([Problem("adapter_model.safetensors", what)]) from error

    def forget(self, digest: str) -> None:
        """Take an adapter out of the bank and of host memory, once nobody waits for it."""
        with self._wake:
            self._forgotten.add(digest)
            self._wake.notify()

    async def stop(self, drain_s: float) -> None:
        """Take nothing new, answer what was accepted within `drain_s` seconds, and end."""
        loop = asyncio.get_running_loop()
        answered = asyncio.Event()
        with self._wake:
            self._draining = True
            self._callers.drop_shadows()
            self._callers.when_idle(lambda: loop.call_soon_threadsafe(answered.set))
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(answered.wait(), drain_s)
        with self._wake:
            self._closed = True
            self._wake.notify()
        self._callers.fail_all(Stopping("the server stopped before the answer was there"))
        if self._thread.ident is not None:
            await asyncio.to_thread(self._thread.join, 30.0)

    def status(self) -> BatcherStatus:
        """Return what it is doing now."""
        forward, residency = self._forward, self._residency
        runtime = forward.runtime if forward else None
        return BatcherStatus(
            queue_texts=self._queue.texts,
            queue_tokens=self._queue.tokens,
            running_texts=self._running_texts,
            slots=runtime.slots if runtime else 0,
            slots_used=len(residency.slots) if residency else 0,
            quarantined=tuple(sorted(self._quarantined)),
            provider=runtime.provider if runtime else "",
            precision=runtime.precision if runtime else "",
            reason=self._reason(),
        )

    def loaded(self, most: int) -> list[str]:
        """Return adapters in slots, at most so many: those of the pass that runs come first."""
        return self._residency.slots.recent()[:most] if self._residency else []

    def awaited(self, most: int) -> list[str]:
        """Return adapters that texts wait for, at most so many, the longest wait first."""
        return self._callers.awaited()[:most]

    # --- the engine's thread -------------------------------------------------------------

    def _work(self) -> None:
        try:
            self._forward = self._open_forward()
            self._capacity = max(s.capacity for s in self._forward.runtime.grid.shapes)
            self._forward.runtime.warm(lambda n, of: log.debug("shape %d of %d is warm", n, of))
            self._residency = Residency(
                self._forward.runtime, self._cache, self._timed_load, self._on_arrival
            )
        except Exception as error:  # noqa: BLE001 - start() raises it
            self._failure = error
            self._ready.set()
            return
        self._ready.set()
        try:
            while (entries := self._next_entries(self._residency)) is not None:
                boarded = self._board(entries, self._residency)
                if boarded.entries:
                    self._run(boarded, self._forward, self._residency)
        except Exception as error:  # a bug of ours: nobody must wait for a thread that is gone
            log.exception("the engine's thread ended")
            with self._wake:
                self._failure = error
            self._callers.tell_all_failed(_broken())
            if self._on_failure is not None:
                self._on_failure()
        self._residency.close()

    def _timed_load(self, digest: str) -> Adapter:
        start = time.monotonic()
        try:
            adapter = self._load(digest)
        finally:
            end = time.monotonic()
            self._traced.timed(digest, start, end)
        self._metrics.adapter_loaded(end - start)
        return adapter

    def _on_arrival(self, digest: str, error: Exception | None) -> None:
        with self._wake:
            self._arrivals.append((digest, error))
            self._wake.notify()

    def _next_entries(self, residency: Residency) -> list[Entry] | None:
        """Wait for work and take the texts that are next; None when it is time to end."""
        with self._wake:
            while not (self._queue.has_next or self._arrivals or self._closed):
                self._release(residency)
                self._wake.wait()
            if self._closed:
                return None
            for digest, error in self._arrivals:
                residency.settled(digest)
                entries = self._queue.take_aside(digest)
                self._traced.loaded(digest, entries, error)
                if error is None:
                    self._queue.put_back(entries)
                else:
                    self._callers.tell_failed((e.ticket for e in entries), error)
            self._arrivals.clear()
            self._release(residency)
            return self._queue.take(_LOOKED_AT, _LOOKED_AT_PASSES * self._capacity)

    def _release(self, residency: Residency) -> None:
        """Let go of adapters that are to be forgotten; between passes, under the lock."""
        for digest in list(self._forgotten):
            if not self._callers.asks(digest) and not residency.is_loading(digest):
                residency.release(digest)
                self._forgotten.discard(digest)

    def _board(self, entries: Sequence[Entry], residency: Residency) -> Boarded:
        """Find out who can run now; the others wait for a load or a slot, or have failed."""
        boarded = board(entries, residency, self._quarantined)
        for _ in range(boarded.evictions):
            self._metrics.adapter_evicted()
        with self._wake:
            for _, failed in boarded.failed.values():
                self._queue.refund(failed)
            self._queue.set_aside(boarded.aside)
            self._queue.put_back(boarded.later)
        for cause, failed in boarded.failed.values():
            self._callers.tell_failed((entry.ticket for entry in failed), cause)
        return boarded

    def _run(self, boarded: Boarded, forward: Forward, residency: Residency) -> None:
        """Run one pass over some of the entries; the rest go back to the queue.

        An error reaches the callers of the pass, and does not end the thread.
        """
        entries, residents, numbers = boarded.entries, boarded.residents, boarded.numbers
        running = entries
        try:
            texts = [entry.tokens for entry in entries]
            planned = next_pass([entry.cost for entry in entries], numbers, forward.runtime.grid)
            placed = set(planned.placed)
            rest = [entry for index, entry in enumerate(entries) if index not in placed]
            running = [entries[index] for index in placed]
            with self._wake:
                self._queue.put_back(rest)
            self._running_texts = len(placed)
            start = time.monotonic()
            for entry in running:
                if entry.ticket.started_at is None:
                    entry.ticket.started_at = start
            members = [resident.member for resident in residents]
            try:
                answered = forward.run(planned, texts, numbers, members)
            except Exception as error:
                self._traced.ran(running, planned, forward.runtime, start, error)
                raise
            end = time.monotonic()
            trace_id = self._traced.ran(running, planned, forward.runtime, start)
            self._account(planned, answered, boarded, end - start, trace_id)
            self._settle(boarded, answered, end - start, forward, residency)
        except Exception as error:
            log.exception("a forward pass failed")
            self._callers.tell_failed((entry.ticket for entry in running), error)
        finally:
            self._running_texts = 0
            boarded.leave(residency)

    def _account(
        self,
        planned: Plan,
        answered: Answered,
        boarded: Boarded,
        seconds: float,
        trace_id: str | None,
    ) -> None:
        count = len(answered.indices)
        self._metrics.batch_ran(
            texts=count,
            tokens=answered.tokens,
            capacity=planned.shape.capacity,
            adapters=len({boarded.entries[i].digest for i in answered.indices} - {BACKBONE}),
            seconds=seconds,
            trace_id=trace_id,
        )
        with self._wake:
            self._queue.drain_rate.ran(Amount(count, answered.tokens), seconds)
        if answered.poisonous:
            self._quarantine(answered.poisonous - self._quarantined, boarded)

    def _quarantine(self, poisonous: Iterable[str], boarded: Boarded) -> None:
        tried_out = {e.digest for e in boarded.entries if e.ticket.job.brings is not None}
        for digest in set(poisonous) - tried_out:
            self._quarantined.add(digest)
            self._metrics.quarantined()
            log.error("quarantined adapter %s: it gave non-finite numbers", digest)
            self._report_quarantine(digest)

    def _report_quarantine(self, digest: str) -> None:
        if self._on_quarantine is None:
            return
        try:
            self._on_quarantine(digest)
        except Exception:  # the neighbours of a poisonous text still get their answers
            log.exception("the quarantine of adapter %s could not be reported", digest)

    def _settle(
        self,
        boarded: Boarded,
        answered: Answered,
        seconds: float,
        forward: Forward,
        residency: Residency,
    ) -> None:
        """Enter what a pass gave into its tickets, and hand out those that are complete."""
        settled = settle(
            boarded,
            answered,
            forward,
            seconds,
            expects=self._callers.expects,
            is_current=residency.slots.is_current,
        )
        self._quarantine(settled.poisonous - self._quarantined, boarded)
        for ticket, digest in settled.failed.items():
            self._callers.tell_failed([ticket], NonFiniteOutput(digest))
        self._callers.tell_answered(settled.complete)


def _broken() -> EngineFailed:
    return EngineFailed("the engine has failed and this process must be restarted; ask another")
