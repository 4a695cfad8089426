"""WebP: a RIFF file, RFC 9649."""

import struct
from collections.abc import Iterator

from service.engine.errors import InvalidImage
from service.engine.images.carved import Carved, check_frames, check_size, truncated
from service.engine.images.limits import Limits
from service.engine.images.orientation import exif_orientation, upright

KIND = "WebP"

_CHUNKS_MAX = 4096
# Flags of VP8X.
_ALPHA_AND_ANIMATION = 0x12  # which stay true of what is kept
_HAS_EXIF = 0x08  # without it decoders overlook the chunk
_KEPT = {b"ANIM", b"ALPH", b"VP8 ", b"VP8L"}
_FRAME_HEADER = 16  # bytes of an ANMF before its chunks


def is_webp(data: bytes) -> bool:
    """Return whether a file begins as a WebP does."""
    return data[:4] == b"RIFF" and data[8:12] == b"WEBP"


def carve(data: bytes, limits: Limits) -> Carved:
    """Return the picture, or the first frame, without profile and metadata."""
    view = memoryview(data)
    kept: list[bytes | memoryview] = []
    canvas: tuple[int, int] | None = None
    pictures = frames = flags = 0
    exif = b""
    for kind, start, end in _chunks(data, 12, _riff_end(data)):
        if kind == b"VP8X":
            if canvas is not None or end - start != 18:
                raise InvalidImage("the WebP has a header out of place")
            canvas = _canvas(data, start + 8)
            check_size(KIND, *canvas, limits)
            flags = data[start + 8]
            still = bytes([flags & _ALPHA_AND_ANIMATION])
            kept += [view[start : start + 8], still, view[start + 9 : end]]
            continue
        if kind in {b"VP8 ", b"VP8L"}:
            pictures += 1
            canvas = _checked(data, start, kind, canvas, limits)
        if kind == b"ANMF":
            frames += 1
            check_frames(KIND, frames, limits)
            if frames == 1:
                _check_frame(data, start, end, canvas, limits)
                kept.append(view[start:end])
        if kind in _KEPT:
            kept.append(view[start:end])
        elif kind == b"EXIF" and flags & _HAS_EXIF:
            exif = data[start + 8 : end]
    if canvas is None or pictures + min(frames, 1) != 1:
        raise InvalidImage("the WebP holds no picture, or several that are no animation")
    size = 4 + sum(map(len, kept))
    header = b"RIFF" + struct.pack("<L", size) + b"WEBP"
    return Carved(*canvas, [header, *kept], upright(exif_orientation(exif)))


def _riff_end(data: bytes) -> int:
    (size,) = struct.unpack_from("<L", data, 4)
    if 8 + size > len(data):
        raise truncated(KIND)
    return 8 + int(size)


def _chunks(data: bytes, at: int, limit: int) -> Iterator[tuple[bytes, int, int]]:
    """Yield each chunk's type, where it begins and where it ends, padding included."""
    for _ in range(_CHUNKS_MAX):
        if at + 8 > limit:
            return
        kind, length = struct.unpack_from("<4sL", data, at)
        end = at + 8 + length + (length & 1)
        if end > limit:
            raise truncated(KIND)
        yield kind, at, end
        at = end
    raise InvalidImage(f"the WebP has more than {_CHUNKS_MAX} chunks")


def _canvas(data: bytes, at: int) -> tuple[int, int]:
    width, height = data[at + 4 : at + 7], data[at + 7 : at + 10]
    return 1 + int.from_bytes(width, "little"), 1 + int.from_bytes(height, "little")


def _check_frame(
    data: bytes, start: int, end: int, canvas: tuple[int, int] | None, limits: Limits
) -> None:
    if canvas is None:
        raise InvalidImage("the WebP has a frame before its header")
    for kind, at, _ in _chunks(data, start + 8 + _FRAME_HEADER, end):
        if kind in {b"VP8 ", b"VP8L"}:
            _checked(data, at, kind, canvas, limits)


def _checked(
    data: bytes, start: int, kind: bytes, canvas: tuple[int, int] | None, limits: Limits
) -> tuple[int, int]:
    """Return the canvas, which is the picture's own size where no header says it."""
    body = data[start + 8 : start + 18]
    if kind == b"VP8 ":
        if len(body) < 10 or body[3:6] != b"\x9d\x01\x2a":
            raise InvalidImage("the WebP has a picture without its header")
        width, height = (side & 0x3FFF for side in struct.unpack_from("<HH", body, 6))
    else:
        if len(body) < 5 or body[0] != 0x2F:
            raise InvalidImage("the WebP has a picture without its header")
        (bits,) = struct.unpack_from("<L", body, 1)
        width, height = 1 + (bits & 0x3FFF), 1 + ((bits >> 14) & 0x3FFF)
    if canvas is None:
        check_size(KIND, width, height, limits)
        return width, height
    if width > canvas[0] or height > canvas[1]:
        raise InvalidImage("the WebP has a picture that is larger than its header says")
    return canvas
