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
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from service.batching.answers import Answer, BatcherStatus, BatchMetrics
from service.batching.queue import Entry, Job, Queue, Ticket
from service.batching.residency import HostCache, Residency, Resident
from service.engine.adapter import Adapter
from service.engine.errors import InvalidAdapter, NonFiniteOutput, Problem
from service.engine.forward import Answered, Forward
from service.engine.packing import Plan, plan
from service.engine.tokens import Tokens
from service.errors import AdapterQuarantined, DeadlinePassed, EngineFailed, Stopping

log = logging.getLogger(__name__)

_LOOKED_AT = 512  # waiting texts that one plan looks at,
_LOOKED_AT_PASSES = 8  # and how many full passes they may fill
_WRITES = 32  # adapters written into slots between two passes, at most


@dataclass(slots=True)
class _Waiter:
    loop: asyncio.AbstractEventLoop
    future: "asyncio.Future[Answer]"


@dataclass(frozen=True, slots=True)
class _Ready:
    """Entries whose adapters lie in (pinned) slots; `numbers` index `residents`."""

    entries: list[Entry]
    residents: list[Resident]
    numbers: list[int]


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
        reason: str = "",
        on_quarantine: Callable[[str], object] | None = None,
        on_failure: Callable[[], object] | None = None,
    ) -> None:
        """`open_forward` is called on the runtime's thread; `load(digest)` reads the store."""
        self._open_forward = open_forward
        self._load = load
        self._metrics = metrics
        self._reason = reason
        self._on_quarantine = on_quarantine
        self._on_failure = on_failure
        self._queue = Queue(queue_texts_max, queue_tokens_max)
        self._cache = HostCache(host_cache_bytes_max)
        self._forward: Forward | None = None
        self._residency: Residency | None = None
        self._wake = threading.Condition()
        self._waiters: dict[Ticket, _Waiter] = {}
        self._arrivals: list[tuple[str, Exception | None]] = []
        self._quarantined: set[str] = set()
        self._draining = False
        self._when_idle: Callable[[], object] | None = None
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

        Raises `Stopping`, `QueueFull`, `AdapterQuarantined`, `DeadlinePassed`, `NonFiniteOutput`,
        or what loading the adapter raised. A cancelled caller frees its places at once.
        """
        assert job.texts, "a job without texts would never be answered"
        assert all(map(len, job.texts)), "a text has one token at least"
        loop = asyncio.get_running_loop()
        ticket = Ticket(job, time.monotonic())
        waiter = _Waiter(loop, loop.create_future())
        with self._wake:
            if self._draining:
                raise Stopping("the server is stopping and takes no new work; try another one")
            if self._failure is not None:
                raise _broken()
            if job.digest in self._quarantined:
                raise _quarantined(job.digest)
            self._queue.add(ticket)
            self._waiters[ticket] = waiter
            self._wake.notify()
        timer = None
        if job.deadline_s is not None:
            late = DeadlinePassed("the deadline passed before the answer was there")
            wait_s = job.deadline_s - time.monotonic()
            timer = loop.call_later(wait_s, self._fail, ticket, late)
        try:
            return await waiter.future
        finally:
            if timer is not None:
                timer.cancel()
            if ticket in self._waiters:  # the caller left
                self._drop(ticket)

    async def probe(self, adapter: Adapter, texts: Sequence[Tokens]) -> None:
        """Run an adapter that is not in the store yet on a few texts, in passes of its own.

        Raises `InvalidAdapter` where its numbers are not finite, and what `answer` raises.
        """
        try:
            await self.answer(Job(adapter.digest, texts, alone=True, brings=adapter))
        except NonFiniteOutput as error:
            self.forget(adapter.digest)
            what = "gives inf or NaN for ordinary texts; nothing would ever be answered with it"
            raise InvalidAdapter([Problem("adapter_model.safetensors", what)]) from error

    def forget(self, digest: str) -> None:
        """Drop an adapter from host memory; its slot goes when it is the least recently used."""
        self._cache.discard(digest)

    async def stop(self, drain_s: float) -> None:
        """Take nothing new, answer what was accepted within `drain_s` seconds, and end."""
        loop = asyncio.get_running_loop()
        answered = asyncio.Event()
        with self._wake:
            self._draining = True
            self._when_idle = lambda: loop.call_soon_threadsafe(answered.set)
            if not self._waiters:
                answered.set()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(answered.wait(), drain_s)
        with self._wake:
            self._closed = True
            self._wake.notify()
        for ticket in list(self._waiters):
            self._fail(ticket, Stopping("the server stopped before the answer was there"))
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
            host_adapters=len(self._cache),
            host_bytes=self._cache.bytes,
            quarantined=tuple(sorted(self._quarantined)),
            provider=runtime.provider if runtime else "",
            precision=runtime.precision if runtime else "",
            reason=self._reason,
        )

    def _drop(self, ticket: Ticket) -> None:
        with self._wake:
            self._queue.drop(ticket)
            self._leave(ticket)

    def _leave(self, ticket: Ticket) -> _Waiter | None:
        """Take the ticket's caller off the list; under the lock."""
        waiter = self._waiters.pop(ticket, None)
        if self._when_idle is not None and not self._waiters:
            self._when_idle()
        return waiter

    def _fail(self, ticket: Ticket, error: Exception) -> None:
        """End a ticket with an error; on the event loop."""
        waiter = self._waiters.get(ticket)
        self._drop(ticket)
        if waiter is not None and not waiter.future.done():
            waiter.future.set_exception(error)

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
            while (entries := self._next_entries()) is not None:
                ready = self._bring(entries)
                if ready.entries:
                    self._run(ready)
        except Exception as error:  # a bug of ours: nobody must wait for a thread that is gone
            log.exception("the engine's thread ended")
            self._end(error)
        self._residency.close()

    def _end(self, error: Exception) -> None:
        """Take nothing more, and tell everybody who waits."""
        with self._wake:
            self._failure = error
            tickets = list(self._waiters)
        for ticket in tickets:
            waiter = self._waiters.get(ticket)
            if waiter is not None:
                _tell(waiter.loop, self._fail, ticket, _broken())
        if self._on_failure is not None:
            self._on_failure()

    def _timed_load(self, digest: str) -> Adapter:
        start = time.monotonic()
        adapter = self._load(digest)
        self._metrics.adapter_loaded(time.monotonic() - start)
        return adapter

    def _on_arrival(self, digest: str, error: Exception | None) -> None:
        with self._wake:
            self._arrivals.append((digest, error))
            self._wake.notify()

    def _next_entries(self) -> list[Entry] | None:
        """Wait for work and take the oldest texts; None when it is time to end."""
        with self._wake:
            while not (self._queue.has_next or self._arrivals or self._closed):
                self._wake.wait()
            if self._closed:
                return None
            for digest, error in self._arrivals:
                self._unpark(digest, error)
            self._arrivals.clear()
            return self._queue.take(_LOOKED_AT, _LOOKED_AT_PASSES * self._capacity)

    def _unpark(self, digest: str, error: Exception | None) -> None:
        assert self._residency is not None
        self._residency.settled(digest)
        entries = self._queue.take_aside(digest)
        if error is None:
            self._queue.put_back(entries)
        else:
            self._settle_failed(entries, error)

    def _bring(self, entries: Sequence[Entry]) -> _Ready:
        """Find out who can run now; the others wait for a load or a slot, or have failed."""
        residency = self._residency
        assert residency is not None
        numbers: dict[str, int | None] = {}  # into ready.residents, by digest
        ready = _Ready([], [], [])
        later: list[Entry] = []
        aside: list[Entry] = []
        failed: dict[str, tuple[Exception, list[Entry]]] = {}
        evictions, writes = residency.evictions, residency.writes
        for entry in entries:
            digest = entry.digest
            if digest not in numbers:
                resident = None
                try:
                    resident = self._find(
                        entry.ticket.job, may_write=residency.writes - writes < _WRITES
                    )
                except Exception as error:  # noqa: BLE001 - its callers get it
                    failed[digest] = (error, [])
                numbers[digest] = None if resident is None else len(ready.residents)
                if resident is not None:
                    residency.slots.pin(resident.slot)
                    ready.residents.append(resident)
            number = numbers[digest]
            if number is not None:
                ready.entries.append(entry)
                ready.numbers.append(number)
            elif digest in failed:
                failed[digest][1].append(entry)
            elif residency.is_loading(digest):
                aside.append(entry)
            else:
                later.append(entry)
        for _ in range(residency.evictions - evictions):
            self._metrics.adapter_evicted()
        for cause, callers in failed.values():
            self._settle_failed(callers, cause)
        with self._wake:
            self._queue.set_aside(aside)
            self._queue.put_back(later)
        return ready

    def _find(self, job: Job, *, may_write: bool) -> Resident | None:
        """Return the adapter in its slot, or None where it has none yet.

        Raises `AdapterQuarantined`, or what writing it into a slot raised.
        """
        assert self._residency is not None
        if job.digest in self._quarantined:  # since its job was accepted
            raise _quarantined(job.digest)
        if job.brings is not None:
            self._cache.put(job.brings)
        find = self._residency.bring if may_write else self._residency.find
        return find(job.digest)

    def _run(self, ready: _Ready) -> None:
        """Run one pass over some of the entries; the rest go back to the queue.

        An error reaches the callers of the pass, and does not end the thread.
        """
        forward, residency = self._forward, self._residency
        assert forward is not None
        assert residency is not None
        entries, residents, numbers = ready.entries, ready.residents, ready.numbers
        running = entries
        try:
            texts = [entry.tokens for entry in entries]
            planned = plan(
                [len(t) for t in texts], numbers, forward.runtime.grid, forward.runtime.slots
            )
            placed = set(planned.placed)
            rest = [entry for index, entry in enumerate(entries) if index not in placed]
            running = [entries[index] for index in placed]
            with self._wake:
                self._queue.put_back(rest)
            self._running_texts = len(placed)
            start = time.monotonic()
            for index in placed:
                if entries[index].ticket.started_at is None:
                    entries[index].ticket.started_at = start
            members = [resident.member for resident in residents]
            answered = forward.run(planned, texts, numbers, members)
            seconds = time.monotonic() - start
            self._account(
                planned,
                answered,
                numbers,
                seconds,
                probing=entries[0].ticket.job.brings is not None,
            )
            self._settle(ready, answered, seconds)
        except Exception as error:
            log.exception("a forward pass failed")
            self._settle_failed(running, error)
        finally:
            self._running_texts = 0
            for resident in residents:
                residency.slots.unpin(resident.slot)

    def _account(
        self,
        planned: Plan,
        answered: Answered,
        numbers: Sequence[int],
        seconds: float,
        *,
        probing: bool,
    ) -> None:
        self._metrics.batch_ran(
            texts=len(answered.indices),
            tokens=answered.tokens,
            capacity=planned.shape.capacity,
            adapters=len({numbers[i] for i in answered.indices}),
            seconds=seconds,
        )
        for digest in answered.poisonous:
            if not probing and digest not in self._quarantined:
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

    def _settle(self, ready: _Ready, answered: Answered, seconds: float) -> None:
        """Hand out answers; callers whose job is complete are woken, once per event loop."""
        assert self._residency is not None
        done: dict[asyncio.AbstractEventLoop, list[tuple[Ticket, Exception | None]]] = {}
        for at, index in enumerate(answered.indices):
            entry = ready.entries[index]
            ticket = entry.ticket
            resident = ready.residents[ready.numbers[index]]
            row = answered.probabilities[at]
            waiter = self._waiters.get(ticket)
            if ticket.dropped or waiter is None:
                continue
            if row is None:
                error = NonFiniteOutput(resident.slot.digest)
                done.setdefault(waiter.loop, []).append((ticket, error))
                continue
            assert self._residency.slots.is_current(resident.slot), "a slot moved under a pass"
            ticket.digests.add(resident.slot.digest)
            ticket.labels = resident.member.adapter.labels
            ticket.probabilities[entry.position] = row
            ticket.embeddings[entry.position] = answered.embeddings[at]
            ticket.compute_s += seconds / len(answered.indices)
            ticket.missing -= 1
            if ticket.missing == 0:
                done.setdefault(waiter.loop, []).append((ticket, None))
        for loop, finished in done.items():
            _tell(loop, self._wake_callers, finished)

    def _settle_failed(self, entries: Sequence[Entry], error: Exception) -> None:
        for ticket in {entry.ticket for entry in entries}:
            waiter = self._waiters.get(ticket)
            if waiter is not None:
                _tell(waiter.loop, self._fail, ticket, error)

    def _wake_callers(self, finished: Sequence[tuple[Ticket, Exception | None]]) -> None:
        """Resolve the callers' futures; on their event loop."""
        for ticket, error in finished:
            if error is not None:
                self._fail(ticket, error)
                continue
            with self._wake:
                waiter = self._leave(ticket)
            if waiter is not None and not waiter.future.done():
                waiter.future.set_result(_answer_of(ticket))


def _tell(loop: asyncio.AbstractEventLoop, what: Callable[..., None], *of: object) -> None:
    """Call on the event loop of callers; where it was closed, they left with it."""
    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(what, *of)


def _broken() -> EngineFailed:
    return EngineFailed("the engine has failed and this process must be restarted; ask another")


def _quarantined(digest: str) -> AdapterQuarantined:
    return AdapterQuarantined(f"the adapter {digest} is quarantined")


def _answer_of(ticket: Ticket) -> Answer:
    assert len(ticket.digests) == 1, "one job is answered by one adapter"
    assert ticket.started_at is not None
    rows = [row for row in ticket.probabilities if row is not None]
    single = len(rows) == 1
    return Answer(
        digest=next(iter(ticket.digests)),
        labels=ticket.labels,
        probabilities=rows[0][np.newaxis] if single else np.stack(rows),
        embeddings=ticket.embeddings[0][np.newaxis] if single else np.stack(ticket.embeddings),
        queue_s=ticket.started_at - ticket.queued_at,
        compute_s=ticket.compute_s,
    )
