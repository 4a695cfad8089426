"""Notes: what the parts of the service take down of recorded requests, before any span is made.

A note is plain data with times of the monotonic clock. It costs those who serve next to nothing;
spans are made of it on the tracing thread (`service/tracing/sender.py`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from service.batching.traces import TracedLoad, TracedPass

Attributes = Mapping[str, str | bool | int | float]

LINKS_MAX = 128  # of one batch, and requests that are told of one write


@dataclass(frozen=True, slots=True)
class Stage:
    """A part of a request's own work."""

    name: str
    started_s: float
    ended_s: float
    attributes: Attributes


@dataclass(slots=True, eq=False)
class Trace:
    """A recorded request. Other parts carry it along without looking into it."""

    trace_id: str  # 32 hexadecimal digits
    span_id: str  # 16; of the request's own span
    parent_id: str | None  # of the caller's span
    state: bytes  # `tracestate` as it came
    started_s: float
    attributes: dict[str, str | bool | int | float]
    stages: list[Stage] = field(default_factory=list)

    def stage(
        self, name: str, started_s: float, ended_s: float, attributes: Attributes | None = None
    ) -> None:
        """Take down a part of the request's work that has ended."""
        self.stages.append(Stage(name, started_s, ended_s, attributes or {}))


@dataclass(frozen=True, slots=True)
class RequestNote:
    """A recorded request that has been answered."""

    trace: Trace
    name: str
    ended_s: float
    failed: str | None  # the kind of error of ours, where it ended in one

    @property
    def spans(self) -> int:
        """Return how many spans it makes."""
        return 1 + len(self.trace.stages)


@dataclass(frozen=True, slots=True)
class PassNote:
    """A pass that carried recorded requests."""

    ran: TracedPass
    trace_id: str  # of a trace of its own

    @property
    def spans(self) -> int:
        """Return how many spans it makes: its own, and `compute` and `queue` of requests."""
        parts = self.ran.parts[:LINKS_MAX]
        return 1 + len(parts) + sum(part.queued_s is not None for part in parts)


@dataclass(frozen=True, slots=True)
class LoadNote:
    """An adapter's way from the store that recorded requests waited for."""

    load: TracedLoad

    @property
    def spans(self) -> int:
        """Return how many spans it makes."""
        return min(len(self.load.waiting), LINKS_MAX)


@dataclass(frozen=True, slots=True)
class WriteNote:
    """A write of the event log that held rows of recorded requests."""

    traces: Sequence[Trace]
    started_s: float
    ended_s: float
    rows: int  # of the whole write
    taken: bool  # whether the disk took them

    @property
    def spans(self) -> int:
        """Return how many spans it makes."""
        return min(len(self.traces), LINKS_MAX)


Note = RequestNote | PassNote | LoadNote | WriteNote
