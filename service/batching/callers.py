"""Callers: who waits for which ticket, and who observes which shadow.

The engine's thread says what came of a ticket; futures are resolved, and shadows shown, on the
event loop of whoever asked. Places in the queue are freed here too, since a caller that leaves and
an answer that is ready may meet.
"""

import asyncio
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from threading import Condition

from service.batching.answers import Answer, BatchMetrics, ShadowOutcome
from service.batching.jobs import BACKBONE, Job, Shadow, Ticket
from service.batching.queue import Queue


@dataclass(slots=True, eq=False)
class Waiter:
    """A caller."""

    loop: asyncio.AbstractEventLoop
    future: "asyncio.Future[Answer]"
    shadows: list[Ticket] = field(default_factory=list)
    early: list[Ticket] = field(default_factory=list)  # shadows that were answered before it


@dataclass(frozen=True, slots=True)
class _Observer:
    loop: asyncio.AbstractEventLoop
    shadow: Shadow


class Callers:
    """Everybody who waits for an answer."""

    def __init__(self, queue: Queue, lock: Condition, metrics: BatchMetrics) -> None:
        """`lock` guards the queue and is notified when something is added to it."""
        self._queue = queue
        self._lock = lock
        self._metrics = metrics
        self._waiters: dict[Ticket, Waiter] = {}
        self._observers: dict[Ticket, _Observer] = {}  # of shadows that have not ended
        self._when_idle: Callable[[], object] | None = None

    def __len__(self) -> int:
        return len(self._waiters)

    def __contains__(self, ticket: Ticket) -> bool:
        return ticket in self._waiters

    def asks(self, digest: str) -> bool:
        """Return whether a text still waits for the adapter, a shadow's too."""
        known = (*list(self._waiters), *list(self._observers))
        return any(ticket.job.digest == digest and ticket.missing for ticket in known)

    def awaited(self) -> list[str]:
        """Return the digests that texts wait for, those that waited longest first."""
        waiting = (ticket for ticket in list(self._waiters) if ticket.waiting)
        return list(dict.fromkeys(ticket.job.digest for ticket in waiting))

    def enter(
        self, ticket: Ticket, waiter: Waiter, quarantined: Collection[str] = frozenset()
    ) -> None:
        """Put a ticket and its shadows into the queue; under the lock.

        Shadows whose adapters are quarantined fail at once. Raises what `Queue.add` raises.
        """
        copies = {_copy(ticket, shadow): shadow for shadow in ticket.job.shadows}
        riding = [copy for copy in copies if copy.job.digest not in quarantined]
        dropped = self._queue.add(ticket, riding)
        self._waiters[ticket] = waiter
        for copy, shadow in copies.items():
            self._observers[copy] = _Observer(waiter.loop, shadow)
        waiter.shadows += riding
        self._lock.notify()
        for copy in copies.keys() - riding:
            self._end_shadow(copy, "failed")
        for copy in dropped:
            self._end_shadow(copy, "dropped")

    def leave(self, ticket: Ticket) -> None:
        """Let a caller go without an answer: its texts and its shadows' free their places."""
        with self._lock:
            self._queue.drop(ticket)
            waiter = self._pop(ticket)
        if waiter is not None:
            self._drop_shadows(waiter)

    def fail(self, ticket: Ticket, error: Exception) -> None:
        """End a ticket with an error; on the caller's event loop."""
        waiter = self._waiters.get(ticket)
        self.leave(ticket)
        if waiter is not None and not waiter.future.done():
            waiter.future.set_exception(error)

    def tell_failed(self, tickets: Iterable[Ticket], error: Exception) -> None:
        """Fail tickets from the engine's thread."""
        all_ = set(tickets)
        shadows = {ticket for ticket in all_ if ticket.shadow_of is not None}
        for ticket in shadows:  # before a caller that fails too takes them along
            self._end_shadow(ticket, "failed")
        for ticket in all_ - shadows:
            waiter = self._waiters.get(ticket)
            if waiter is not None and not _tell(waiter.loop, self.fail, ticket, error):
                self.leave(ticket)

    def tell_all_failed(self, error: Exception) -> None:
        """Fail everybody from the engine's thread."""
        self.tell_failed(list(self._waiters), error)
        self.drop_shadows()

    def fail_all(self, error: Exception) -> None:
        """Fail everybody, on their event loop."""
        for ticket in list(self._waiters):
            self.fail(ticket, error)

    def drop_shadows(self) -> None:
        """Give up all shadows that have not ended."""
        for ticket in list(self._observers):
            self._end_shadow(ticket, "dropped")

    def tell_answered(self, tickets: Iterable[Ticket]) -> None:
        """Hand out answers from the engine's thread; each event loop is woken once."""
        by_loop: dict[asyncio.AbstractEventLoop, list[Ticket]] = {}
        for ticket in tickets:
            asker = self._asker(ticket)
            if asker is not None:
                by_loop.setdefault(asker.loop, []).append(ticket)
        for loop, answered in by_loop.items():
            if not _tell(loop, self._answer, answered):
                for ticket in answered:
                    self._lose(ticket)

    def expects(self, ticket: Ticket) -> bool:
        """Return whether somebody still wants the ticket's answer."""
        return not ticket.dropped and self._asker(ticket) is not None

    def when_idle(self, call: Callable[[], object]) -> None:
        """Call once nobody waits any more; at once where nobody does. Under the lock."""
        self._when_idle = call
        if not self._waiters:
            call()

    def _asker(self, ticket: Ticket) -> Waiter | _Observer | None:
        if ticket.shadow_of is None:
            return self._waiters.get(ticket)
        return self._observers.get(ticket)

    def _pop(self, ticket: Ticket) -> Waiter | None:
        """Take the ticket's caller off the list; under the lock."""
        waiter = self._waiters.pop(ticket, None)
        if self._when_idle is not None and not self._waiters:
            self._when_idle()
        return waiter

    def _answer(self, tickets: Sequence[Ticket]) -> None:
        """Resolve callers' futures, and show shadows; on their event loop."""
        for ticket in tickets:
            if ticket.shadow_of is not None:
                self._show(ticket)
                continue
            with self._lock:
                waiter = self._pop(ticket)
            if waiter is None:
                continue
            if waiter.future.done():  # the caller left at this very moment
                self._drop_shadows(waiter)
                continue
            waiter.future.set_result(ticket.answer())
            for shadow in waiter.early:
                self._show(shadow)

    def _lose(self, ticket: Ticket) -> None:
        """Give up a ticket whose event loop was closed."""
        if ticket.shadow_of is None:
            self.leave(ticket)
        else:
            self._end_shadow(ticket, "dropped")

    def _drop_shadows(self, waiter: Waiter) -> None:
        for shadow in waiter.shadows:
            self._end_shadow(shadow, "dropped")

    def _show(self, shadow: Ticket) -> None:
        """Show a shadow's answer, once its caller has its own."""
        assert shadow.shadow_of is not None
        waiter = self._waiters.get(shadow.shadow_of)
        if waiter is not None:
            waiter.early.append(shadow)
            return
        observer = self._end_shadow(shadow, "answered")
        if observer is not None:
            # Behind the caller's own turn, which comes first, and in nobody's way if it raises.
            observer.loop.call_soon(observer.shadow.observe, shadow.answer())

    def _end_shadow(self, ticket: Ticket, outcome: ShadowOutcome) -> _Observer | None:
        """Count what came of a shadow, and tell who will not see it; None where it ended before."""
        observer = self._observers.pop(ticket, None)
        if observer is None:
            return None
        with self._lock:
            self._queue.drop(ticket)
        bare = ticket.job.digest == BACKBONE
        count = self._metrics.base_embedded if bare else self._metrics.shadowed
        count(len(ticket.job.texts), outcome)
        if outcome != "answered" and observer.shadow.missed is not None:
            _tell(observer.loop, observer.shadow.missed)
        return observer


def _copy(ticket: Ticket, shadow: Shadow) -> Ticket:
    """Return the ticket of a shadow: the same texts, or some of them, for another adapter."""
    job, rows = ticket.job, shadow.rows
    whole = job.texts if shadow.texts is None else shadow.texts
    texts = whole if rows is None else [whole[row] for row in rows]
    copied = Job(shadow.digest, texts, tenant=job.tenant, weight=job.weight)
    return Ticket(copied, ticket.queued_at, shadow_of=ticket, rows=rows)


def _tell(loop: asyncio.AbstractEventLoop, what: Callable[..., object], *of: object) -> bool:
    """Call on the event loop of callers; False where it was closed, and they left with it."""
    try:
        loop.call_soon_threadsafe(what, *of)
    except RuntimeError:
        return False
    return True
