"""A writer's own segments: begun, filled, sealed by size and age, given up when they break."""

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from service.events.disk import Disk
from service.events.folder import SEAL
from service.events.order import Writership
from service.events.ports import Clock
from service.events.segments import Draft, SegmentWriter


@dataclass(frozen=True, slots=True)
class SegmentLimits:
    """When a segment is sealed."""

    bytes: int
    age_s: float


class Appender:
    """Appends frames to the log under a name of its own; used by one thread.

    Nothing is made on the disk before there is something to write.
    """

    def __init__(self, folder: Path, limits: SegmentLimits, disk: Disk, clock: Clock) -> None:
        self.sequence = 0  # of the next event
        self._folder = folder
        self._limits = limits
        self._disk = disk
        self._clock = clock
        self._writer: Writership | None = None
        self._segment: SegmentWriter | None = None
        self._number = 0  # of the last segment
        self._begun_s = 0.0

    @property
    def name(self) -> str | None:
        """Return the writer's name, once it has one."""
        return self._writer.name if self._writer else None

    def append(self, drafts: Sequence[Draft]) -> None:
        """Write frames and sync them: all of them or, with an `OSError`, none.

        The drafts continue `sequence` without a gap.
        """
        wall_s = self._clock.wall_s()
        if self._writer is None:
            self._writer = self._begun(wall_s)
        if self._segment is None:
            self._number += 1  # of one that could not be begun, something may be left
            place = (self._folder, self._writer.name)
            self._segment = SegmentWriter.create(self._disk, place, self._number)
            self._begun_s = self._clock.monotonic_s()
        events = sum(draft.events for draft in drafts)
        stamp = self._writer.stamp(wall_s)
        try:
            self._segment.append(drafts, stamp, int(wall_s * 1e6))
        except OSError:
            if self._segment.broken:
                # Some of it may be in the file and be read one day: its numbers are used up.
                self.sequence += events
                self._seal()
            raise
        self._writer.written()
        self.sequence += events
        if self._segment.size >= self._limits.bytes:
            self._seal()

    def _begun(self, wall_s: float) -> Writership:
        writer = Writership.begin(self._folder, wall_s)
        try:
            self._disk.sync_folder(self._folder)
        except OSError:
            writer.end()
            raise
        return writer

    def tick(self) -> None:
        """Seal what is old enough, and tell readers how far the order has come."""
        age_s = self._clock.monotonic_s() - self._begun_s
        if self._segment is not None and age_s >= self._limits.age_s:
            self._seal()
        if self._writer is not None:
            with contextlib.suppress(OSError):  # readers wait; the next beat tells them
                self._writer.beat(self._clock.wall_s())

    @property
    def asked_to_seal(self) -> bool:
        """Return whether somebody who erases waits for the open segment."""
        return self._writer is not None and self._marker(self._writer).exists()

    def obey(self) -> None:
        """Seal the open segment for somebody who waits for it."""
        self._seal()
        if self._writer is not None:
            self._marker(self._writer).unlink(missing_ok=True)

    def _marker(self, writer: Writership) -> Path:
        return self._folder / writer.name / SEAL

    def _seal(self) -> None:
        segment, self._segment = self._segment, None
        if segment is not None:
            with contextlib.suppress(OSError):  # a later segment or our end lets the janitor do it
                segment.seal()

    def close(self) -> None:
        """Seal the open segment and end."""
        self._seal()
        if self._writer is not None:
            self._writer.end()
            self._writer = None
