"""Series of the event log."""

from typing import get_args

from service.events.ports import DropReason, EventKind
from service.series.families import Families

_WRITE_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0)


class EventSeries:
    """What was written to the log and what was lost, and how the log is."""

    def __init__(self, families: Families) -> None:
        self._events_written = families.counter(
            "events_written", "Events that are in the log and on disk.", ("kind",)
        )
        self._events_dropped = families.counter(
            "events_dropped",
            "Events that are not in the log: no room, or a mistake of ours (`invalid`).",
            ("reason",),
        )
        for kind in get_args(EventKind):
            self._events_written.labels(kind)
        for reason in get_args(DropReason):
            self._events_dropped.labels(reason)
        self._log_failing = families.gauge(
            "event_log_failing", "1 while the log cannot be written, the disk being full, say."
        )
        self._log_bytes = families.gauge("event_log_bytes", "Size of the log.")
        self._log_write_seconds = families.histogram(
            "event_log_write_seconds",
            "Time of one write to the log and its sync, failed ones too.",
            _WRITE_SECONDS,
        )
        self._log_unread = families.counter(
            "event_log_unread_segments_deleted",
            "Segments that retention deleted before a reader had read them.",
        )

    def events_written(self, kind: EventKind, count: int) -> None:
        """Count events that are on disk."""
        self._events_written.labels(kind).inc(count)

    def events_dropped(self, reason: DropReason, count: int) -> None:
        """Count events that are lost."""
        self._events_dropped.labels(reason).inc(count)

    def log_state(self, *, failing: bool, size_bytes: int) -> None:
        """Say how the log is."""
        self._log_failing.set(failing)
        self._log_bytes.set(size_bytes)

    def log_wrote(self, seconds: float) -> None:
        """Observe one write to the log and its sync."""
        self._log_write_seconds.observe(seconds)

    def unread_deleted(self, segments: int) -> None:
        """Count segments that retention deleted before they were read."""
        self._log_unread.inc(segments)
