"""The members of a tar.gz archive, read by hand (POSIX.1-2017, pax; and GNU's long names).

`tarfile` reads extended headers of any length into memory, and skips a stated 8 EiB block by
block. Here every length is bounded before it is followed.
"""

import zlib
from collections.abc import Iterator
from typing import BinaryIO

from service.uploads.member import CHUNK_BYTES, Kind, Member, UnreadableArchive

MAGIC = b"\x1f\x8b"

_BLOCK_BYTES = 512
_EXTENDED_BYTES_MAX = 1 << 16
_ALL_EXTENDED_BYTES_MAX = 1 << 22
_DIGITS_MAX = 20
_KINDS: dict[bytes, Kind] = {
    b"0": "file",
    b"\0": "file",
    b"1": "link",
    b"2": "link",
    b"3": "device or pipe",
    b"4": "device or pipe",
    b"5": "folder",
    b"6": "device or pipe",
    b"S": "sparse file",
}


def tar_members(file: BinaryIO, bytes_max: int) -> Iterator[Member]:
    """Yield the members of a gzipped tar archive of at most `bytes_max` bytes, in their order.

    Raises `UnreadableArchive` where the archive is broken or unpacks to more.
    """
    stream = _Gunzipped(file, bytes_max)
    name: str | None = None
    attributes: dict[str, str] = {}
    extended_left = _ALL_EXTENDED_BYTES_MAX
    while (header := _header(stream)) is not None:
        kind = header[156:157]
        size = _number(header[124:136])
        if kind in (b"x", b"g", b"L", b"K"):
            extended = _extended(stream, size)
            extended_left -= _BLOCK_BYTES + size
            if extended_left < 0:
                raise UnreadableArchive("its extended headers are too long together")
            if kind == b"L":
                name = _text(extended.rstrip(b"\0"))
            elif kind == b"x":
                attributes = _attributes(extended)
            continue
        if "size" in attributes:
            size = _decimal(attributes["size"])
        shown = attributes.get("path") or name or _ustar_name(header)
        what = _KINDS.get(kind, "member of unknown type")
        if any(key.startswith("GNU.sparse.") for key in attributes):
            what = "sparse file"
        if what == "file" and shown.endswith("/"):  # how tar wrote folders before 1988
            what = "folder"
        has_bytes = what in ("file", "sparse file", "member of unknown type")
        content = _Content(stream, size if has_bytes else 0)
        yield Member(shown, what, size, content.chunks)
        content.skip()
        name, attributes = None, {}
    stream.finish()


def _header(stream: "_Gunzipped") -> bytes | None:
    """Return the next member's header; None at the end."""
    header = stream.read(_BLOCK_BYTES)
    if not header.strip(b"\0"):
        return None  # the end is marked by zeros, and may be missing
    if len(header) < _BLOCK_BYTES:
        raise UnreadableArchive("it is cut off")
    blank = sum(header) - sum(header[148:156]) + 8 * ord(" ")
    stated = header[148:156].split(b"\0", 1)[0].strip(b" ")
    if not stated.isdigit() or stated.lstrip(b"0") != b"%o" % blank:
        raise UnreadableArchive("it is no tar archive, or a broken one: a checksum is wrong")
    return header


def _number(field: bytes) -> int:
    if field[0] & 0x80:  # GNU: binary, big endian, for what octal digits cannot hold
        raise UnreadableArchive("a member states a size of more than 8 GiB, or a negative one")
    digits = field.split(b"\0", 1)[0].strip(b" ")
    if not digits:
        return 0
    if not digits.isdigit() or set(digits) & set(b"89"):
        raise UnreadableArchive("a header has a number that is none")
    return int(digits, 8)


def _decimal(text: str) -> int:
    if not (text.isascii() and text.isdigit()) or len(text) > _DIGITS_MAX:
        raise UnreadableArchive("a header has a number that is none")
    return int(text)


def _text(data: bytes) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise UnreadableArchive("a member's name is not UTF-8") from error


def _ustar_name(header: bytes) -> str:
    name = _text(header[:100].split(b"\0", 1)[0])
    is_posix = header[257:263] == b"ustar\0"
    prefix = _text(header[345:500].split(b"\0", 1)[0]) if is_posix else ""
    return f"{prefix}/{name}" if prefix else name


def _extended(stream: "_Gunzipped", size: int) -> bytes:
    if size > _EXTENDED_BYTES_MAX:
        raise UnreadableArchive(
            f"an extended header has {size:,} bytes, the limit is {_EXTENDED_BYTES_MAX:,}"
        )
    padded = stream.read(size + -size % _BLOCK_BYTES)
    if len(padded) < size:
        raise UnreadableArchive("it is cut off")
    return padded[:size]


def _attributes(data: bytes) -> dict[str, str]:
    """Return the records `<length> <key>=<value>` and line feed of a pax header."""
    attributes = {}
    at = 0
    while at < len(data):
        space = data.find(b" ", at, at + _DIGITS_MAX)
        length = _decimal(_text(data[at:space])) if space > at else 0
        record = data[space + 1 : at + length]
        key, equals, value = record.partition(b"=")
        if at + length > len(data) or not record.endswith(b"\n") or not equals:
            raise UnreadableArchive("an extended header is broken")
        if key in (b"path", b"size") or key.startswith(b"GNU.sparse."):
            attributes[_text(key)] = _text(value[:-1])
        at += length
    return attributes


class _Content:
    """One member's bytes, which lie in the stream until the next header."""

    def __init__(self, stream: "_Gunzipped", size: int) -> None:
        self._stream = stream
        self._left = size
        self._padding = -size % _BLOCK_BYTES

    def chunks(self) -> Iterator[bytes]:
        """Yield the bytes that were not yet taken."""
        while self._left:
            chunk = self._stream.read(min(self._left, CHUNK_BYTES))
            if not chunk:
                raise UnreadableArchive("it is cut off")
            self._left -= len(chunk)
            yield chunk

    def skip(self) -> None:
        """Move to the next header."""
        for _ in self.chunks():
            pass
        self._stream.read(self._padding)


class _Gunzipped:
    """One gzip stream (RFC 1952), bounded; what follows it is not read."""

    def __init__(self, file: BinaryIO, bytes_max: int) -> None:
        self._file = file
        self._bytes_max = bytes_max
        self._left = bytes_max
        self._stream = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)

    def read(self, size: int) -> bytes:
        """Return `size` bytes, fewer at the end."""
        pieces = []
        while size > 0 and not self._stream.eof:
            packed = self._stream.unconsumed_tail or self._file.read(CHUNK_BYTES)
            try:
                piece = self._stream.decompress(packed, size)
            except zlib.error as error:
                raise UnreadableArchive(f"it cannot be unpacked: {error}") from error
            if not packed and not piece:
                raise UnreadableArchive("it is cut off")
            self._left -= len(piece)
            if self._left < 0:
                raise UnreadableArchive(f"it unpacks to more than {self._bytes_max:,} bytes")
            size -= len(piece)
            pieces.append(piece)
        return b"".join(pieces)

    def finish(self) -> None:
        """Read to the end, where the checksum is."""
        while self.read(CHUNK_BYTES):
            pass
