"""PNG: a file of chunks, W3C PNG (third edition), section 5."""

import struct
from collections.abc import Iterator

from service.engine.errors import InvalidImage
from service.engine.images.carved import Carved, check_frames, check_size, truncated
from service.engine.images.limits import Limits
from service.engine.images.orientation import (
    exif_orientation,
    inflated,
    upright,
    xmp_orientation,
)

KIND = "PNG"
MAGIC = b"\x89PNG\r\n\x1a\n"

_CHUNKS_MAX = 32_768
_KEPT = {b"IHDR", b"PLTE", b"IDAT", b"IEND"}
_TEXTS = {b"iTXt", b"tEXt", b"zTXt"}
_XMP = b"XML:com.adobe.xmp"
_RAW_EXIF = b"Raw profile type exif"  # ImageMagick's


def carve(data: bytes, limits: Limits) -> Carved:
    """Return the picture without text, profile or animation; its transparency is not looked at."""
    view = memoryview(data)
    kept: list[bytes | memoryview] = [view[:8]]
    size: tuple[int, int] | None = None
    about = _About()
    pixels_end = None  # of the last IDAT
    for kind, start, end in _chunks(data):
        if size is None:
            if kind != b"IHDR" or end - start != 25:
                raise InvalidImage("the PNG does not begin with its header")
            size = struct.unpack_from(">LL", data, start + 8)
            check_size(KIND, *size, limits)
        if kind == b"IDAT":
            if pixels_end not in (None, start):
                raise InvalidImage("the PNG has something between the parts of its picture")
            pixels_end = end
        if kind in _KEPT:
            kept.append(view[start:end])
        elif kind == b"acTL" and end - start >= 20:
            check_frames(KIND, struct.unpack_from(">L", data, start + 8)[0], limits)
        else:
            about.read(kind, data, start + 8, end - 4)
    if size is None or pixels_end is None:
        raise InvalidImage("the PNG holds no picture")
    return Carved(*size, kept, about.orientation())


class _About:
    """The chunks that may tell which way up the picture is; of several the last one counts.

    Only that one is inflated: a megabyte of text takes a kilobyte, and a file holds thousands.
    """

    def __init__(self) -> None:
        self._exif: bytes | None = None
        self._raw: tuple[bytes, bytes] | None = None  # the chunk's type, and its text
        self._xmp: bytes | None = None

    def read(self, kind: bytes, data: bytes, start: int, end: int) -> None:
        """Take a chunk's body, if it is one of those."""
        if kind == b"eXIf":
            self._exif = data[start:end]
        elif kind in _TEXTS:
            keyword, _, text = data[start:end].partition(b"\x00")
            if keyword == _XMP and kind == b"iTXt":
                self._xmp = text
            elif keyword == _RAW_EXIF:
                self._raw = kind, text

    def orientation(self) -> int:
        """Return what they tell: EXIF data before an XMP packet."""
        exif = self._exif
        if exif is None:
            exif = b"" if self._raw is None else _unhexed(_plain(*self._raw))
        found = exif_orientation(exif)
        if found is None and self._xmp is not None:
            found = xmp_orientation(_international(self._xmp))
        return upright(found)


def _chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Yield each chunk's type, where it begins and where the next one does, to the last one."""
    at = len(MAGIC)
    for _ in range(_CHUNKS_MAX):
        if at + 12 > len(data):
            raise truncated(KIND)
        length, kind = struct.unpack_from(">L4s", data, at)
        end = at + 12 + length
        if end > len(data):
            raise truncated(KIND)
        yield kind, at, end
        if kind == b"IEND":
            return
        at = end
    raise InvalidImage(f"the PNG has more than {_CHUNKS_MAX} chunks")


def _plain(kind: bytes, text: bytes) -> bytes:
    if kind == b"iTXt":
        return _international(text)
    return inflated(text[1:]) if kind == b"zTXt" else text


def _international(text: bytes) -> bytes:
    """Return the text of an iTXt chunk behind its keyword: flag, method, language, translation."""
    compressed, rest = text[:1] == b"\x01", text[2:]
    body = rest.split(b"\x00", 2)[-1]
    return inflated(body) if compressed else body


def _unhexed(raw: bytes) -> bytes:
    """Return a profile that is written in hexadecimal digits, behind three lines of heading."""
    try:
        return bytes.fromhex("".join(raw.decode("latin-1").split("\n")[3:]))
    except ValueError:
        return b""
