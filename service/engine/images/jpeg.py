"""JPEG: a file of marker segments, ITU-T T.81 annex B."""

import re

from service.engine.errors import ImageTooLarge, InvalidImage
from service.engine.images.carved import Carved, check_size, truncated
from service.engine.images.limits import Limits
from service.engine.images.orientation import exif_orientation, upright

KIND = "JPEG"
MAGIC = b"\xff\xd8\xff"

# A progressive picture has 10 scans or so, and each one goes over all its pixels, however few bytes
# it has: a megabyte of empty ones would hold a processor for minutes. The largest picture may have
# this many, a smaller one as many more.
_SCANS_MAX = 12
_SEGMENTS_MAX = 4096

_END, _SCAN = 0xD9, 0xDA
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_BARE = frozenset({0x01, *range(0xD0, 0xD9)})  # markers that no length follows
_APP0, _APP1, _APP14, _COMMENT = 0xE0, 0xE1, 0xEE, 0xFE
_OTHERS = frozenset({*range(_APP0, _APP0 + 16), _COMMENT})  # data of applications, and comments

# The next marker among entropy-coded bytes, in which FF 00 is a byte and FF D0 to D7 restart it.
_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]", re.DOTALL)


def carve(data: bytes, limits: Limits) -> Carved:
    """Return the picture without the data of applications, but for those that tell its colours."""
    view = memoryview(data)
    kept: list[bytes | memoryview] = [view[:2]]
    exif: list[bytes] = []
    size: tuple[int, int] | None = None
    at = 2
    for _ in range(_SEGMENTS_MAX):
        code, start, end = _segment(data, at)
        body = data[start + 4 : start + 16]
        if code == _SCAN:
            if size is None:
                raise InvalidImage("the JPEG has a scan before any frame")
            scans = _SCANS_MAX * limits.pixels // (size[0] * size[1])
            kept.append(view[start : _end(data, start, scans)])
            return Carved(*size, kept, upright(exif_orientation(b"".join(exif))))
        if code == _END:
            raise InvalidImage("the JPEG holds no picture")
        if code in _FRAMES:
            if size is not None or len(body) < 6:
                raise InvalidImage("the JPEG has more than one frame, or half of one")
            size = int.from_bytes(body[3:5], "big"), int.from_bytes(body[1:3], "big")
            check_size(KIND, *size, limits)
        if code == _APP1 and body.startswith(b"Exif\x00\x00"):
            exif.append(data[start + 4 + (6 if exif else 0) : end])
        if code not in _OTHERS or _tells_colours(code, body):
            kept.append(view[start:end])
        at = end
    raise InvalidImage(f"the JPEG has more than {_SEGMENTS_MAX} segments")


def _tells_colours(code: int, body: bytes) -> bool:
    """Return whether a decoder needs this to know YCbCr from RGB, or CMYK from its inverse."""
    return (code == _APP0 and body.startswith(b"JFIF")) or (
        code == _APP14 and body.startswith(b"Adobe")
    )


def _segment(data: bytes, at: int) -> tuple[int, int, int]:
    """Return the next segment's marker, where it begins, and where the one after it does."""
    found = _MARKER.search(data, at)
    if found is None:
        raise truncated(KIND)
    start = found.start()
    code = data[start + 1]
    if code in _BARE or code == _END:
        return code, start, start + 2
    if start + 4 > len(data):
        raise truncated(KIND)
    length = int.from_bytes(data[start + 2 : start + 4], "big")
    end = start + 2 + length
    if length < 2:
        raise InvalidImage("the JPEG has a segment of no length")
    if end > len(data):
        raise truncated(KIND)
    return code, start, end


def _end(data: bytes, at: int, scans: int) -> int:
    """Return where the picture ends whose first scan begins at `at`."""
    left = scans
    for _ in range(_SEGMENTS_MAX):
        code, _start, at = _segment(data, at)
        if code == _END:
            return at
        if code in _FRAMES:
            raise InvalidImage("the JPEG has more than one frame")
        left -= code == _SCAN
        if left < 0:
            raise ImageTooLarge(f"the JPEG has more than {scans} scans, the limit at its size")
    raise InvalidImage(f"the JPEG has more than {_SEGMENTS_MAX} segments")
