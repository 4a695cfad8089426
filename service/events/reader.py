"""Reading the log: all writers' frames in one order, from where the reader was.

The order is by the frames' stamps, then by the writers' names (`service/events/order.py`). It is
the same whenever one reads, with one exception, which is counted (`late`): a writer that lives and
says nothing for `silent_s` is not waited for, and what it writes after that comes late.
"""

import heapq
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from service.events.cursor import Cursor, Place, load_cursor, store_cursor
from service.events.folder import (
    OPEN,
    SEALED,
    SegmentFile,
    segment_path,
    segments,
    writers,
)
from service.events.frames import Header
from service.events.order import promise_of
from service.events.ports import CLOCK, Clock
from service.events.schema import UnknownSchema, column_of
from service.events.segments import SegmentReader

_FILES = 64  # that are kept open
_SURVEYS = 4
_FOREVER = 1 << 62


@dataclass(frozen=True, slots=True)
class LogBatch:
    """The events of one frame."""

    writer: str
    segment: int
    frame: int
    first: int  # sequence number of the first event
    events: int  # that were written; fewer rows are left where some were erased
    written_s: float  # by the writer's wall clock
    records: Any  # a pyarrow.RecordBatch, with the columns of the version that wrote it

    def column(self, name: str) -> Any:
        """Return a column as a pyarrow array: nulls where its writer did not know it yet.

        Raises `KeyError` for a name that is not in `service.events.schema.COLUMNS`.
        """
        return column_of(self.records, name)


@dataclass(frozen=True, slots=True)
class Backlog:
    """What a reader has not read yet."""

    bytes: int
    segments: int
    lag_s: float  # since the oldest of it was written; 0 where there is none


@dataclass(slots=True)
class _Track:
    """One writer, as a reader sees it."""

    writer: str
    place: Place
    new: bool  # nothing of it was read yet
    alive: bool = True
    promise: int = 0
    promised_s: float = 0.0  # when the promise last changed, monotonic
    files: Mapping[int, SegmentFile] = field(default_factory=dict)
    last: int = 0  # number of its last segment


class LogReader:
    """Reads the log under a name; retention knows how far, once `commit` was called.

    Not for several threads at once. Two readers of one name would overwrite each other's cursor.
    """

    def __init__(
        self,
        folder: Path,
        name: str,
        *,
        cursor: Cursor | None = None,
        silent_s: float = 30.0,
        clock: Clock = CLOCK,
    ) -> None:
        """Begin at a cursor, or where the last `commit` of this name was. Raises `InvalidCursor`.

        Whoever keeps its state in a database stores the cursor with it, in one transaction, gives
        it here, and calls `commit` for retention alone.
        """
        self.damaged = 0  # places in segments that could not be read, and were skipped
        self.missing = 0  # events that were never seen: damaged, or deleted before they were read
        self.late = 0  # batches that came after their turn
        self._folder = folder
        self._name = name
        self._silent_s = silent_s
        self._clock = clock
        begun = load_cursor(folder, name) if cursor is None else cursor
        self._tracks = {
            writer: _Track(writer, place, new=False) for writer, place in begun.places.items()
        }
        self._open: OrderedDict[str, tuple[int, SegmentReader]] = OrderedDict()
        self._latest = (0, "")

    def batches(self) -> Iterator[LogBatch]:
        """Yield what can be delivered now, in the log's order, and end.

        `cursor` counts a batch as read as soon as it was yielded. Raises `UnknownSchema`.
        """
        limit = self._survey()
        heads: list[tuple[int, str]] = []
        for track in self._tracks.values():
            self._push(track, heads, limit)
        while heads:
            stamp, writer = heapq.heappop(heads)
            track = self._tracks[writer]
            batch = self._next(track)
            if batch is not None:
                self.late += (stamp, writer) < self._latest
                self._latest = max(self._latest, (stamp, writer))
                yield batch
            self._push(track, heads, limit)

    def cursor(self) -> Cursor:
        """Return the place behind the last batch that was yielded."""
        return Cursor({t.writer: t.place for t in self._tracks.values() if not t.new})

    def commit(self, cursor: Cursor | None = None) -> None:
        """Write the cursor, or an earlier one, to where retention looks. Raises `OSError`."""
        store_cursor(self._folder, self._name, self.cursor() if cursor is None else cursor)

    def backlog(self) -> Backlog:
        """Return how much is unread, also of what a later version of this software wrote."""
        self._survey()
        size = count = 0
        oldest_us: int | None = None
        for track in self._tracks.values():
            for number, file in track.files.items():
                if number < track.place.segment:
                    continue
                read = track.place.offset if number == track.place.segment else 0
                left = max(0, _size(file) - read)
                size, count = size + left, count + (left > 0)
            written_us = self._oldest_us(track)
            if written_us is not None and (oldest_us is None or written_us < oldest_us):
                oldest_us = written_us
        lag_s = 0.0 if oldest_us is None else self._clock.wall_s() - oldest_us / 1e6
        return Backlog(size, count, max(0.0, lag_s))

    def _oldest_us(self, track: _Track) -> int | None:
        """Return when the next frame was written; of a segment that cannot be read, the file."""
        try:
            head = self._peek(track)
        except UnknownSchema:
            file = track.files.get(track.place.segment)
            return None if file is None else _written_us(file)
        return None if head is None else head.written_us

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give the files back."""
        while self._open:
            self._open.popitem()[1][1].close()

    # --- which frame comes next ----------------------------------------------------------

    def _survey(self) -> int:
        """Look at all writers and return the stamp up to which the order is settled."""
        promises: dict[str, int | None] = {}
        settled = False
        for _ in range(_SURVEYS):
            names = writers(self._folder)
            promises = {name: promise_of(self._folder, name) for name in names}
            settled = writers(self._folder) == names
            if settled:  # whoever begins later begins above these promises
                break
        for gone in self._tracks.keys() - promises.keys():
            self._close(gone)
            del self._tracks[gone]
        now_s = self._clock.monotonic_s()
        limit = _FOREVER if settled else 0
        for name, promise in promises.items():
            track = self._tracks.get(name)
            if track is None:
                track = self._tracks[name] = _Track(name, Place(), new=True, promised_s=now_s)
            track.alive = promise is not None
            track.files = {file.number: file for file in segments(self._folder, name)}
            track.last = max(track.files, default=0)
            if promise is None:
                track.promise = _FOREVER
                continue
            if promise != track.promise or not track.promised_s:
                track.promise, track.promised_s = promise, now_s
            if now_s - track.promised_s <= self._silent_s:
                limit = min(limit, promise)
        return limit

    def _push(self, track: _Track, heads: list[tuple[int, str]], limit: int) -> None:
        header = self._peek(track)
        if header is not None and header.stamp <= min(limit, track.promise):
            heapq.heappush(heads, (header.stamp, track.writer))

    def _peek(self, track: _Track) -> Header | None:
        """Return the header of a writer's next frame, going on to later segments."""
        while True:
            reader = self._reader(track)
            if reader is None:
                return None
            header = reader.peek(final=self._is_final(track))
            if header is not None:
                return header
            if reader.schema is not None:
                track.place = _moved(track.place, reader)
            if not self._is_final(track) or track.place.segment >= track.last:
                return None
            self._close(track.writer)
            following = min(n for n in track.files if n > track.place.segment)
            track.place = Place(following, sequence=track.place.sequence)

    def _next(self, track: _Track) -> LogBatch | None:
        """Return the next frame's batch; None where it is damaged, or was replaced just now."""
        reader = self._reader(track)
        header = None if reader is None else reader.peek(final=self._is_final(track))
        if reader is None or header is None:
            return None
        records = reader.load(header, final=self._is_final(track))
        if reader.frame == header.number:  # not whole yet
            track.promise = 0
            return None
        place = _moved(track.place, reader)
        if records is None:
            track.place = place
            return None
        if not track.new:
            self.missing += max(0, header.first - place.sequence)
        track.place = Place(place.segment, place.frame, place.offset, header.first + header.events)
        track.new = False
        return LogBatch(
            writer=track.writer,
            segment=place.segment,
            frame=header.number,
            first=header.first,
            events=header.events,
            written_s=header.written_us / 1e6,
            records=records,
        )

    def _is_final(self, track: _Track) -> bool:
        file = track.files.get(track.place.segment)
        return (
            not track.alive
            or track.place.segment < track.last
            or (file is not None and file.sealed)
        )

    def _reader(self, track: _Track) -> SegmentReader | None:
        """Return what reads the segment of a track's place; None: there is none, or none yet."""
        opened = self._open.get(track.writer)
        if opened is not None:
            number, reader = opened
            if number == track.place.segment and not reader.replaced:
                self._open.move_to_end(track.writer)
                return reader
            self._close(track.writer)
        while True:
            place = track.place
            for ending in (SEALED, OPEN, SEALED):  # it may get its final name in between
                try:
                    reader = SegmentReader(
                        segment_path(self._folder, track.writer, place.segment, ending),
                        frame=place.frame,
                        offset=place.offset,
                        on_damage=self._on_damage,
                    )
                except FileNotFoundError:
                    continue
                self._open[track.writer] = (place.segment, reader)
                if len(self._open) > _FILES:
                    self._open.popitem(last=False)[1][1].close()
                return reader
            later = [number for number in track.files if number > place.segment]
            if not later:
                return None
            track.place = Place(min(later), sequence=place.sequence)  # retention took it

    def _on_damage(self) -> None:
        self.damaged += 1

    def _close(self, writer: str) -> None:
        opened = self._open.pop(writer, None)
        if opened is not None:
            opened[1].close()


def _moved(place: Place, reader: SegmentReader) -> Place:
    return Place(place.segment, reader.frame, reader.offset, place.sequence)


def _written_us(file: SegmentFile) -> int | None:
    try:
        return file.path.stat().st_mtime_ns // 1000
    except FileNotFoundError:  # sealed or deleted since
        return None


def _size(file: SegmentFile) -> int:
    try:
        return file.path.stat().st_size
    except FileNotFoundError:  # sealed or deleted since
        sealed = file.path.with_suffix(SEALED)
        return sealed.stat().st_size if sealed.exists() else 0
