"""GIF: blocks of sub-blocks, CompuServe GIF89a."""

import struct

from service.engine.errors import InvalidImage
from service.engine.images.carved import Carved, check_frames, check_size, truncated
from service.engine.images.limits import Limits

KIND = "GIF"
MAGICS = (b"GIF87a", b"GIF89a")

_BLOCKS_MAX = 1 << 18  # sub-blocks of up to 255 bytes
_EXTENSION, _IMAGE, _TRAILER = 0x21, 0x2C, 0x3B
_CONTROL = 0xF9
_DISPOSAL = 0b00011100  # what becomes of a frame before the next one
_HEADER = 13


def carve(data: bytes, limits: Limits) -> Carved:
    """Return the first frame of the animation, or the only one."""
    if len(data) < _HEADER:
        raise truncated(KIND)
    width, height, flags = struct.unpack_from("<HHB", data, 6)
    view = memoryview(data)
    at = _HEADER + _colours(flags)
    kept: list[bytes | memoryview] = [view[:at]]
    frames = 0
    walk = _Walk(data)
    while True:
        if at >= len(data):
            raise truncated(KIND)
        block = data[at]
        if block == _TRAILER:
            break
        if block == _EXTENSION:
            end = walk.skip(at + 2)
            if frames == 0 and data[at + 1] == _CONTROL and end == at + 8:
                flags = data[at + 3] & ~_DISPOSAL
                kept.append(data[at : at + 3] + bytes([flags]) + data[at + 4 : end])
        elif block == _IMAGE:
            if at + 10 > len(data):
                raise truncated(KIND)
            left, top, wide, high, flags = struct.unpack_from("<HHHHB", data, at + 1)
            end = walk.skip(at + 11 + _colours(flags))
            frames += 1
            check_frames(KIND, frames, limits)
            if frames == 1:
                # Decoders make room for a frame that is larger than the screen.
                width, height = max(width, left + wide), max(height, top + high)
                check_size(KIND, width, height, limits)
                kept.append(view[at:end])
        elif block == 0:
            end = walk.skip(at)  # one terminator too many, which some programs write
        else:
            raise InvalidImage("the GIF has a block of an unknown kind")
        at = end
    if frames == 0:
        raise InvalidImage("the GIF holds no picture")
    kept.append(bytes([_TRAILER]))
    return Carved(width, height, kept)


def _colours(flags: int) -> int:
    """Return how many bytes a colour table has, by the flags before it."""
    return 3 << ((flags & 7) + 1) if flags & 0x80 else 0


class _Walk:
    """Steps over sub-blocks, and counts them."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._left = _BLOCKS_MAX

    def skip(self, at: int) -> int:
        """Return where the sub-blocks that begin at `at` end."""
        data, size = self._data, len(self._data)
        while at < size:
            self._left -= 1
            length = data[at]
            at += 1 + length
            if length == 0:
                return at
            if self._left < 0:
                raise InvalidImage(f"the GIF has more than {_BLOCKS_MAX} blocks")
        raise truncated(KIND)
