"""Reading the event log for trials: from where they begin, and on as it grows.

The reader has a cursor of its own that nobody else knows of: it holds no segment back.
"""

import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path

from service.events.cursor import Cursor, Place
from service.events.folder import segments, writers
from service.events.reader import LogBatch, LogReader

_NAME = "canary-trials"  # never committed
_EARLIER_S = 30.0  # clocks of processes and files differ, and frames are written late
_MARKS = 64
_MARK_S = 5.0


class Following:
    """One reader that is at the log's end, and others that catch up with it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._reader: LogReader | None = None
        self._marks: deque[tuple[float, Cursor]] = deque(maxlen=_MARKS)  # when read that far

    def catch_up(self, since_s: float) -> Iterator[LogBatch]:
        """Yield what was written from a time on and was delivered by `news` already.

        Some from before that time comes too.
        """
        if self._reader is None:
            self._reader = self._open(self._begin(since_s - _EARLIER_S))
            return
        until = self._reader.cursor().places
        with self._open(self._begin(since_s - _EARLIER_S)) as reader:
            for batch in reader.batches():
                read = until.get(batch.writer)
                at = (batch.segment, batch.frame)
                if read is not None and at < (read.segment, read.frame):
                    yield batch

    def news(self) -> Iterator[LogBatch]:
        """Yield what came since the last time; nothing before the first `catch_up`."""
        if self._reader is None:
            return
        now_s = time.time()
        if not self._marks or now_s - self._marks[-1][0] >= _MARK_S:
            self._marks.append((now_s, self._reader.cursor()))
        yield from self._reader.batches()

    def stop(self) -> None:
        """Read no longer, until the next `catch_up`."""
        if self._reader is not None:
            self._reader.close()
        self._reader = None
        self._marks.clear()

    def _open(self, cursor: Cursor) -> LogReader:
        return LogReader(self._folder, _NAME, cursor=cursor)

    def _begin(self, since_s: float) -> Cursor:
        """Return a place before everything that was written from a time on."""
        for marked_s, cursor in reversed(self._marks):
            if marked_s <= since_s:
                return cursor
        return place_at(self._folder, since_s)


def place_at(folder: Path, since_s: float) -> Cursor:
    """Return a cursor behind the segments that were written for the last time before then."""
    places = {}
    for writer in writers(folder):
        after = 1
        for file in segments(folder, writer):
            try:
                if file.path.stat().st_mtime >= since_s:
                    break
            except FileNotFoundError:  # sealed or deleted since: what comes later decides
                break
            after = file.number + 1
        if after > 1:
            places[writer] = Place(segment=after)
    return Cursor(places)
