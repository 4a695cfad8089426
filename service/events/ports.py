"""What the event log needs of the world around it: a clock, and someone who counts."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

EventKind = Literal[
    "reference", "prediction", "label", "rollout", "quarantine", "undecodable", "failure"
]
# `invalid`: a block whose parts do not fit together, a bug of the caller's.
DropReason = Literal["memory", "disk", "invalid"]

# Takes a text and gives it back without personal data.
Redactor = Callable[[str], str]


# Hears of a write that held rows of traced requests: their traces, when it began and ended by the
# monotonic clock, how many rows of all it held, and whether the disk took them. Must not raise.
TracedWrites = Callable[[Sequence[object], float, float, int, bool], None]


class LogUnwritable(OSError):
    """The log cannot take the events; nothing that was to be durable is promised."""


@dataclass(frozen=True, slots=True)
class Clock:
    """The wall clock, which may jump, and the monotonic one, which may not."""

    wall_s: Callable[[], float] = time.time
    monotonic_s: Callable[[], float] = time.monotonic


CLOCK = Clock()


class LogMetrics(Protocol):
    """What the log reports; `service/metrics.py` has the real one."""

    def events_written(self, kind: EventKind, count: int) -> None:
        """Count events that are on disk."""
        ...

    def events_dropped(self, reason: DropReason, count: int) -> None:
        """Count prediction events that are lost."""
        ...

    def log_state(self, *, failing: bool, size_bytes: int) -> None:
        """Say whether the log can be written, and how large it is."""
        ...

    def log_wrote(self, seconds: float) -> None:
        """Observe one write to the log and its sync, whether the disk took it or not."""
        ...

    def unread_deleted(self, segments: int) -> None:
        """Count segments that retention deleted before a reader had read them."""
        ...
