"""What keeps the log in bounds: seals what the dead left open, and deletes the oldest segments."""

import logging
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from service.events.cursor import Cursor, InvalidCursor
from service.events.disk import LocalDisk
from service.events.folder import (
    LOCK,
    READERS,
    SEAL,
    SEALED,
    SegmentFile,
    held_as_dead,
    is_alive,
    janitor,
    segments,
    writers,
)
from service.events.ports import Clock, LogMetrics
from service.events.schema import UnknownSchema
from service.events.segments import SegmentReader

log = logging.getLogger(__name__)

_DRAFT_S = 86_400.0  # a reader's draft that is older was left by a death


@dataclass(frozen=True, slots=True)
class Kept:
    """How much of the log is kept."""

    age_s: float
    bytes: int
    reader_gone_s: float


@dataclass(frozen=True, slots=True)
class _Sealed:
    modified_s: float
    size: int
    file: SegmentFile


class Janitor:
    """Keeps the log's folder in bounds; of several processes one does it at a time."""

    def __init__(self, folder: Path, kept: Kept, *, metrics: LogMetrics, clock: Clock) -> None:
        self._folder = folder
        self._kept = kept
        self._metrics = metrics
        self._clock = clock

    def tick(self) -> int:
        """Do what is to be done, unless another process does it; return the log's size in bytes.

        Raises `OSError`.
        """
        with janitor(self._folder, wait=False) as mine:
            if mine:
                recover(self._folder)
                self._retire()
                self._tidy()
        return log_bytes(self._folder)

    def _retire(self) -> None:
        now_s = self._clock.wall_s()
        total = log_bytes(self._folder)
        readers = self._readers(now_s)
        for sealed in sorted(self._sealed(), key=lambda s: (s.modified_s, s.file.path)):
            old = now_s - sealed.modified_s > self._kept.age_s
            if not old and total <= self._kept.bytes:
                continue
            unread_by = [name for name, cursor in readers.items() if _unread(sealed.file, cursor)]
            sealed.file.path.unlink()
            total -= sealed.size
            if unread_by:
                self._metrics.unread_deleted(1)
                names = ", ".join(unread_by)
                log.warning("event log: deleted %s, not read by %s", sealed.file.path, names)

    def _sealed(self) -> Iterator[_Sealed]:
        for writer in writers(self._folder):
            for file in segments(self._folder, writer):
                if file.sealed:
                    status = file.path.stat()
                    yield _Sealed(status.st_mtime, status.st_size, file)

    def _readers(self, now_s: float) -> Mapping[str, Cursor]:
        """Return the cursors of all readers but those that are gone."""
        found: dict[str, Cursor] = {}
        for path in sorted((self._folder / READERS).glob("*.json")):
            try:
                if now_s - path.stat().st_mtime <= self._kept.reader_gone_s:
                    found[path.stem] = Cursor.from_bytes(path.read_bytes())
            except InvalidCursor as error:
                log.warning("event log: %s: %s; it counts as having read nothing", path, error)
                found[path.stem] = Cursor()
        return found

    def _tidy(self) -> None:
        """Remove the folders of dead writers without segments, and what deaths left half made."""
        for writer in writers(self._folder):
            folder = self._folder / writer
            for draft in folder.glob(".*"):
                draft.unlink()
            if segments(self._folder, writer):
                continue
            with held_as_dead(self._folder, writer) as dead:  # one may be beginning just now
                if dead:
                    _remove(folder)
        for draft in (self._folder / READERS).glob(".*"):
            if self._clock.wall_s() - draft.stat().st_mtime > _DRAFT_S:
                draft.unlink(missing_ok=True)


def _remove(folder: Path) -> None:
    for name in (SEAL, LOCK):
        (folder / name).unlink(missing_ok=True)
    try:
        folder.rmdir()
    except OSError as error:  # somebody put a file there
        log.debug("event log: %s stays: %s", folder, error)


def log_bytes(folder: Path) -> int:
    """Return the size of all segments."""
    total = 0
    for writer in writers(folder):
        for file in segments(folder, writer):
            try:
                total += file.path.stat().st_size
            except FileNotFoundError:  # sealed between the two calls
                continue
    return total


def recover(folder: Path) -> None:
    """Seal what nobody writes any more, cut to its last good frame; be the janitor before.

    That is the open segments of the dead, and those that a writer gave up for a later one.
    Raises `OSError`.
    """
    for writer in writers(folder):
        alive = is_alive(folder, writer)
        found = segments(folder, writer)
        for file in found:
            if not file.sealed and (not alive or file.number < found[-1].number):
                _seal(file)


def _seal(file: SegmentFile) -> None:
    try:
        end = _good_end(file.path)
    except UnknownSchema as error:
        log.warning("event log: %s is sealed as it is: %s", file.path, error)
        end = file.path.stat().st_size
    disk = LocalDisk()
    if end == 0:
        file.path.unlink()
    else:
        handle = os.open(file.path, os.O_RDWR | os.O_CLOEXEC)
        try:
            if end < os.fstat(handle).st_size:
                log.warning("event log: %s was cut to its last good frame", file.path)
                os.ftruncate(handle, end)
            os.fsync(handle)
        finally:
            os.close(handle)
        file.path.rename(file.path.with_suffix(SEALED))
    disk.sync_folder(file.path.parent)


def _good_end(path: Path) -> int:
    """Return where the last good frame of events ends, 0 where there is none."""
    end = 0
    reader = SegmentReader(path)
    try:
        while (header := reader.peek(final=True)) is not None:
            whole = reader.is_whole(header)
            reader.skip(header)
            if whole:
                end = reader.offset
    finally:
        reader.close()
    return end


def _unread(file: SegmentFile, cursor: Cursor) -> bool:
    place = cursor.places.get(file.writer)
    if place is None or place.segment < file.number:
        return True
    if place.segment > file.number:
        return False
    reader = SegmentReader(file.path, frame=place.frame, offset=place.offset)
    try:
        return reader.peek(final=True) is not None
    except UnknownSchema:
        return True
    finally:
        reader.close()
