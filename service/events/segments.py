"""Segments: written frame by frame, cut back to the last good frame, read past damage."""

import contextlib
import logging
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from service.events.disk import Disk, write_all
from service.events.folder import OPEN, SEALED, segment_path
from service.events.frames import (
    EVENTS_FRAME,
    HEADER_BYTES,
    MAGIC,
    SCHEMA_FRAME,
    SEGMENT_HEADER_BYTES,
    DamagedFrame,
    Header,
    checksum,
    decode,
    has_known_schema,
    pack,
    read_schema,
    schema_payload,
    segment_header,
    unpack,
)
from service.events.schema import SCHEMA

log = logging.getLogger(__name__)

_PIECE = 1 << 20  # bytes that the search for the next good frame looks at together


@dataclass(frozen=True, slots=True)
class Draft:
    """Events that are about to become a frame."""

    events: int
    first: int
    payload: Any  # bytes or an Arrow buffer


class SegmentWriter:
    """An open segment. After a failed write it is as before, or `broken`."""

    def __init__(self, disk: Disk, path: Path, handle: int) -> None:
        self.path = path
        self.size = 0  # up to the last frame that is on the disk
        self.broken = False
        self._disk = disk
        self._handle = handle
        self._frames = 0

    @classmethod
    def create(cls, disk: Disk, place: tuple[Path, str], number: int) -> Self:
        """Make a segment that holds its schema. Raises `OSError`; then there is none."""
        path = segment_path(*place, number, OPEN)
        segment = cls(disk, path, disk.create(path))
        try:
            segment._write([segment_head(schema_payload())])
            disk.sync_folder(path.parent)
        except OSError:
            segment.close()
            path.unlink(missing_ok=True)
            raise
        return segment

    def append(self, drafts: Sequence[Draft], stamp: int, written_us: int) -> None:
        """Write frames and sync them: all of them or, with an `OSError`, none."""
        numbers = range(self._frames, self._frames + len(drafts))
        self._write(
            [
                frame(
                    Header(
                        EVENTS_FRAME,
                        0,
                        number,
                        draft.events,
                        draft.first,
                        stamp,
                        written_us,
                        len(draft.payload),
                        checksum(draft.payload),
                    ),
                    draft.payload,
                )
                for number, draft in zip(numbers, drafts, strict=True)
            ]
        )

    def _write(self, frames: Sequence[bytes]) -> None:
        try:
            end = self.size
            for data in frames:
                end = write_all(self._disk, self._handle, data, end)
        except OSError:
            self._cut()
            raise
        try:
            self._disk.sync(self._handle)
        except OSError:
            # What a failed sync leaves in the page cache is not known: this file is over.
            self.broken = True
            self._cut()
            raise
        self.size = end
        self._frames += len(frames)

    def _cut(self) -> None:
        try:
            self._disk.truncate(self._handle, self.size)
        except OSError:
            self.broken = True

    def seal(self) -> None:
        """Give the segment its final name. Raises `OSError`; then the janitor does it later."""
        self.close()
        self._disk.rename(self.path, self.path.with_suffix(SEALED))
        self._disk.sync_folder(self.path.parent)

    def close(self) -> None:
        """Give the file back."""
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1


def segment_head(schema: bytes) -> bytes:
    """Return what begins a segment: its header and frame 0, whose payload is given."""
    header = Header(SCHEMA_FRAME, 0, 0, 0, 0, 0, 0, len(schema), checksum(schema))
    return segment_header(schema) + frame(header, schema)


def frame(header: Header, payload: Any) -> bytes:
    """Return a frame's bytes."""
    return pack(header) + bytes(payload)


class SegmentReader:
    """A segment's frames from a place on; whoever uses it says when the file is final.

    While it is not, the first frame that is not whole is waited for. In a final one damage is
    skipped, up to the next good frame, and counted; but what a dead writer left at the very end
    is no damage.
    """

    def __init__(
        self,
        path: Path,
        *,
        frame: int = 1,
        offset: int = 0,
        on_damage: Callable[[], object] | None = None,
    ) -> None:
        """Begin at a frame; `offset` is where it was, which an erasure may have changed."""
        self.path = path
        self.frame = frame  # number of the frame that comes next,
        self.offset = offset  # and where it is expected
        self._on_damage = on_damage
        self._file = path.open("rb", buffering=0)
        self.schema: Any = None  # known once `peek` gave a header
        self._unreadable = False

    @property
    def size(self) -> int:
        """Return the file's size."""
        return os.fstat(self._file.fileno()).st_size

    @property
    def replaced(self) -> bool:
        """Return whether the path means another file by now, or none."""
        try:
            return self.path.stat().st_ino != os.fstat(self._file.fileno()).st_ino
        except FileNotFoundError:
            return True

    def close(self) -> None:
        """Give the file back."""
        self._file.close()

    def peek(self, *, final: bool) -> Header | None:
        """Return the next frame's header; None: there is no more, or none yet.

        Raises `UnknownSchema`.
        """
        if self.schema is None and not self._begin(final=final):
            return None
        size = self.size
        while True:
            header = self._header_at(self.offset, size)
            if header is not None and header.number < self.frame:
                self.offset += header.bytes  # read before, at another place
                continue
            if header is not None or not final:
                return header
            found = self._search(self.offset + 1, size)
            if found is None and (self.path.suffix != SEALED or self.offset >= size):
                return None
            self._damage(self.offset)
            if found is None:
                self.offset = size
                return None
            self.offset = found

    def load(self, header: Header, *, final: bool) -> Any:
        """Return the batch of the frame that `peek` gave, and go on behind it.

        None: it is damaged; in a final segment it is counted and skipped.
        """
        try:
            batch = decode(header, self.payload(header), self.schema)
        except DamagedFrame:
            if not final:
                return None
            self._damage(self.offset)
            batch = None
        self.skip(header)
        return batch

    def payload(self, header: Header) -> bytes:
        """Return the bytes of the frame that `peek` gave."""
        return self._read(self.offset + HEADER_BYTES, header.length)

    def is_whole(self, header: Header) -> bool:
        """Return whether the frame that `peek` gave has the bytes that were written."""
        return checksum(self.payload(header)) == header.crc

    def skip(self, header: Header) -> None:
        """Go on behind the frame that `peek` gave."""
        self.offset += header.bytes
        self.frame = header.number + 1

    def _begin(self, *, final: bool) -> bool:
        """Read the schema and find the wanted frame."""
        if self._unreadable:
            return False
        start = SEGMENT_HEADER_BYTES
        header = self._header_at(start, self.size)
        if header is not None and header.kind == SCHEMA_FRAME:
            with contextlib.suppress(DamagedFrame):
                self.schema = read_schema(header, self._read(start + HEADER_BYTES, header.length))
                start += header.bytes
        if self.schema is None:
            if not final:
                return False
            if self.size > start:
                self._damage(0)
            if not has_known_schema(self._read(0, SEGMENT_HEADER_BYTES)):
                self._unreadable = True
                return False
            self.schema = SCHEMA
        at = self._header_at(self.offset, self.size)
        if at is None or at.number != self.frame:
            self.offset = start
        return True

    def _header_at(self, offset: int, size: int) -> Header | None:
        header = unpack(self._read(offset, HEADER_BYTES))
        return header if header is not None and offset + header.bytes <= size else None

    def _search(self, offset: int, size: int) -> int | None:
        """Return where the next frame begins that is not older than the one that is wanted."""
        while offset < size:
            piece = self._read(offset, _PIECE + len(MAGIC) - 1)
            at = piece.find(MAGIC)
            while at >= 0:
                header = self._header_at(offset + at, size)
                if header is not None and header.number >= self.frame:
                    return offset + at
                at = piece.find(MAGIC, at + 1)
            offset += _PIECE
        return None

    def _damage(self, offset: int) -> None:
        if self._on_damage is not None:
            self._on_damage()
        log.warning("event log: %s is damaged at byte %d; it was skipped", self.path, offset)

    def _read(self, offset: int, length: int) -> bytes:
        return os.pread(self._file.fileno(), length, offset)
