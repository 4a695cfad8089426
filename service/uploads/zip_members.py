"""The members of a zip archive, read by hand (PKWARE APPNOTE 6.3.10).

`zipfile` builds objects for every entry, and walks their extra fields, before one can be counted:
a few hundred MB of hostile directory keep it busy for minutes. Here the directory is bounded
first. Archives of 4 GiB and more (ZIP64) and methods other than stored and deflate are not read.
"""

import io
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from service.uploads.member import CHUNK_BYTES, Kind, Member, UnreadableArchive

MAGIC = (b"PK\x03\x04", b"PK\x05\x06")

_END = struct.Struct("<4s4H2LH")
_ENTRY = struct.Struct("<4s6H3L5H2L")
_LOCAL = struct.Struct("<4s5H3L2H")
_COMMENT_BYTES_MAX = (1 << 16) - 1
_DIRECTORY_BYTES_MAX = 4 << 20
_IS_ZIP64 = (1 << 16) - 1, (1 << 32) - 1
_ENCRYPTED, _UTF8 = 0x0001, 0x0800
_STORED, _DEFLATED = 0, 8
_KINDS: dict[int, Kind] = {
    0o01: "device or pipe",
    0o02: "device or pipe",
    0o06: "device or pipe",
    0o12: "link",
    0o14: "device or pipe",
}


@dataclass(frozen=True, slots=True)
class _Entry:
    name: bytes
    flags: int
    method: int
    checksum: int
    packed: int
    size: int
    attributes: int
    offset: int


def zip_members(file: BinaryIO, members_max: int) -> Iterator[Member]:
    """Yield the members that the archive's directory names.

    Raises `UnreadableArchive` where the directory cannot be read.
    """
    count, start, directory = _directory(file)
    if count > members_max:
        raise UnreadableArchive(f"it has {count:,} members, the limit is {members_max:,}")
    at = 0
    for _ in range(count):
        entry, at = _entry(directory, at)
        try:
            name = entry.name.decode("utf-8" if entry.flags & _UTF8 else "cp437")
        except UnicodeDecodeError as error:
            raise UnreadableArchive("a member's name is not UTF-8") from error
        kind = _KINDS.get(entry.attributes >> 28)  # the upper bits of Unix' mode
        if kind is None:
            kind = "folder" if name.endswith("/") else "file"
        yield Member(name, kind, entry.size, _Content(file, entry, start))
    if at != len(directory):
        raise UnreadableArchive(f"its directory does not end behind its {count:,} members")


def _directory(file: BinaryIO) -> tuple[int, int, bytes]:
    """Return how many entries there are, where the directory begins, and its bytes."""
    length = file.seek(0, io.SEEK_END)
    tail_start = max(0, length - _END.size - _COMMENT_BYTES_MAX)
    file.seek(tail_start)
    tail = file.read(length - tail_start)
    at = tail.rfind(b"PK\x05\x06")
    if at < 0 or len(tail) - at < _END.size:
        raise UnreadableArchive("it has no directory, as if it were cut off")
    _, disk, first_disk, here, count, size, start, _ = _END.unpack_from(tail, at)
    if _IS_ZIP64[0] in (here, count) or _IS_ZIP64[1] in (size, start):
        raise UnreadableArchive("it is in the ZIP64 format, which is not read")
    if disk or first_disk or here != count:
        raise UnreadableArchive("it is one of several volumes")
    if size > _DIRECTORY_BYTES_MAX:
        raise UnreadableArchive(
            f"its directory has {size:,} bytes, the limit is {_DIRECTORY_BYTES_MAX:,}"
        )
    if start + size > tail_start + at:
        raise UnreadableArchive("its directory lies outside of it")
    file.seek(start)
    return count, start, file.read(size)


def _entry(directory: bytes, at: int) -> tuple[_Entry, int]:
    if len(directory) - at < _ENTRY.size or not directory.startswith(b"PK\x01\x02", at):
        raise UnreadableArchive("its directory is broken")
    (
        _, _, _, flags, method, _, _, checksum, packed, size,
        name_bytes, extra_bytes, comment_bytes, _, _, attributes, offset,
    ) = _ENTRY.unpack_from(directory, at)  # fmt: skip
    at += _ENTRY.size
    name = directory[at : at + name_bytes]
    at += name_bytes + extra_bytes + comment_bytes
    if at > len(directory):
        raise UnreadableArchive("its directory is broken")
    return _Entry(name, flags, method, checksum, packed, size, attributes, offset), at


@dataclass(frozen=True, slots=True)
class _Content:
    """The way to one member's bytes."""

    file: BinaryIO
    entry: _Entry
    directory_start: int

    def __call__(self) -> Iterator[bytes]:
        entry = self.entry
        if entry.flags & _ENCRYPTED:
            raise UnreadableArchive("it is encrypted")
        if entry.method not in (_STORED, _DEFLATED):
            raise UnreadableArchive("it is packed in another way than by deflate")
        if _IS_ZIP64[1] in (entry.packed, entry.size, entry.offset):
            raise UnreadableArchive("it is in the ZIP64 format, which is not read")
        self._enter()
        chunks = self._stored() if entry.method == _STORED else self._inflated()
        checksum = 0
        for chunk in chunks:
            checksum = zlib.crc32(chunk, checksum)
            yield chunk
        if checksum != entry.checksum:
            raise UnreadableArchive("its checksum is wrong")

    def _enter(self) -> None:
        """Move to the first packed byte."""
        entry = self.entry
        self.file.seek(entry.offset)
        local = self.file.read(_LOCAL.size)
        if len(local) < _LOCAL.size or not local.startswith(b"PK\x03\x04"):
            raise UnreadableArchive("the directory points at no member")
        *_, name_bytes, extra_bytes = _LOCAL.unpack(local)
        if self.file.read(name_bytes) != entry.name:
            raise UnreadableArchive("it has another name in the directory than at its place")
        begin = self.file.seek(extra_bytes, io.SEEK_CUR)
        if begin + entry.packed > self.directory_start:
            raise UnreadableArchive("it reaches beyond the archive")

    def _packed(self) -> Iterator[bytes]:
        left = self.entry.packed
        while left:
            chunk = self.file.read(min(left, CHUNK_BYTES))
            if not chunk:
                raise UnreadableArchive("it is cut off")
            left -= len(chunk)
            yield chunk

    def _stored(self) -> Iterator[bytes]:
        return self._packed()

    def _inflated(self) -> Iterator[bytes]:
        stream = zlib.decompressobj(wbits=-zlib.MAX_WBITS)
        try:
            for packed in self._packed():
                pending = packed
                while pending and not stream.eof:
                    chunk = stream.decompress(pending, CHUNK_BYTES)
                    pending = stream.unconsumed_tail
                    if chunk:
                        yield chunk
                if stream.eof:
                    break
            while not stream.eof and (chunk := stream.decompress(b"", CHUNK_BYTES)):
                yield chunk
        except zlib.error as error:
            raise UnreadableArchive(f"it cannot be unpacked: {error}") from error
        if not stream.eof:
            raise UnreadableArchive("it is cut off")
