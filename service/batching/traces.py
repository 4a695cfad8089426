"""What the batcher tells of jobs that are traced. It knows no tracing library.

A traced job carries an object that its asker knows and the batcher does not look into; what is
told of a pass or a load is plain data with times of the monotonic clock.
"""

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from service.batching.jobs import BACKBONE, Entry, Ticket
from service.engine.packing import Plan
from service.engine.runtime import Runtime


@dataclass(frozen=True, slots=True)
class TracedPart:
    """The part of a pass that one traced job has."""

    trace: object
    queued_s: float | None  # since when it waited; None where an earlier pass took texts of it
    texts: int


@dataclass(frozen=True, slots=True)
class TracedPass:
    """A pass that held texts of traced jobs."""

    parts: Sequence[TracedPart]
    started_s: float
    ended_s: float
    texts: int  # of all jobs
    tokens: int  # padding not counted
    capacity: int  # its places for tokens
    adapters: int
    provider: str
    precision: str
    failed: str | None = None  # the type of error that ended it


@dataclass(frozen=True, slots=True)
class TracedLoad:
    """An adapter's way from the store to host memory, which traced jobs waited for."""

    digest: str
    waiting: Sequence[tuple[object, float]]  # their traces, and since when each waited
    started_s: float
    ended_s: float
    failed: str | None


class PassTracing(Protocol):
    """Takes down what the batcher tells; neither blocks nor raises."""

    def pass_ran(self, ran: TracedPass) -> str:
        """Take down a pass; return the id of the trace that tells of it."""
        ...

    def adapter_loaded(self, load: TracedLoad) -> None:
        """Take down a load."""
        ...


class TracedJobs:
    """Tells of the jobs that are traced. For the engine's thread alone, but for `timed`."""

    def __init__(self, tracing: PassTracing | None) -> None:
        self._tracing = tracing
        self._load_times: dict[str, tuple[float, float]] = {}  # of arrivals; monotonic

    def timed(self, digest: str, started_s: float, ended_s: float) -> None:
        """Keep when an adapter was read; from any thread, before its arrival is told."""
        if self._tracing is not None:
            self._load_times[digest] = (started_s, ended_s)

    def loaded(self, digest: str, waited: Iterable[Entry], error: Exception | None) -> None:
        """Tell of a load that is over, if texts of traced jobs `waited` for it."""
        times = self._load_times.pop(digest, None)
        if self._tracing is None or times is None:
            return
        waiting = [(ticket.job.trace, ticket.queued_at) for ticket in _by_ticket(waited)]
        if waiting:
            failed = None if error is None else type(error).__name__
            self._tracing.adapter_loaded(TracedLoad(digest, waiting, *times, failed))

    def ran(
        self,
        entries: Sequence[Entry],
        planned: Plan,
        runtime: Runtime,
        started_s: float,
        error: Exception | None = None,
    ) -> str | None:
        """Tell of a pass that has just ended, if it carried texts of traced jobs.

        Returns the id of the trace that tells of it, if one does.
        """
        if self._tracing is None:
            return None
        texts = _by_ticket(entries)
        if not texts:
            return None
        ran = TracedPass(
            parts=[
                TracedPart(
                    ticket.job.trace,
                    ticket.queued_at if ticket.started_at == started_s else None,
                    count,
                )
                for ticket, count in texts.items()
            ],
            started_s=started_s,
            ended_s=time.monotonic(),
            texts=len(entries),
            tokens=sum(entry.cost for entry in entries),
            capacity=planned.shape.capacity,
            adapters=len({entry.digest for entry in entries} - {BACKBONE}),
            provider=runtime.provider,
            precision=runtime.precision,
            failed=None if error is None else type(error).__name__,
        )
        return self._tracing.pass_ran(ran)


def _by_ticket(entries: Iterable[Entry]) -> dict[Ticket, int]:
    """Return how many texts each traced job has among the entries."""
    found: dict[Ticket, int] = {}
    for entry in entries:
        if entry.ticket.job.trace is not None:
            found[entry.ticket] = found.get(entry.ticket, 0) + 1
    return found
