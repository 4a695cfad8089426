"""BMP: a bitmap as Windows and OS/2 hold it in memory."""

import struct

from service.engine.errors import InvalidImage
from service.engine.images.carved import Carved, check_size, truncated
from service.engine.images.limits import Limits

KIND = "BMP"
MAGIC = b"BM"

_FILE_HEADER = 14
_CORE = 12  # bytes of the oldest header
_HEADERS = {_CORE, 40, 52, 56, 64, 108, 124}
_PLAIN = {0, 3}  # no compression, and none but with masks


def is_bmp(data: bytes) -> bool:
    """Return whether a file begins as a BMP does."""
    return data[:2] == MAGIC and int.from_bytes(data[14:18], "little") in _HEADERS


def carve(data: bytes, limits: Limits) -> Carved:
    """Return the picture; run-length codes, which few write and which are slow to read, are not."""
    offset, header = struct.unpack_from("<LL", data, 10)
    if len(data) < _FILE_HEADER + header:
        raise truncated(KIND)
    if header == _CORE:
        width, height, _, bits = struct.unpack_from("<HHHH", data, 18)
        compression = 0
    else:
        width, height, _, bits, compression = struct.unpack_from("<llHHL", data, 18)
        height = abs(height)
    check_size(KIND, width, height, limits)
    if compression not in _PLAIN:
        raise InvalidImage("the BMP is compressed, which is not read; save it as PNG")
    row = (width * bits + 31) // 32 * 4  # bytes, padding included, which the last one may lack
    if max(offset, _FILE_HEADER + header) + row * (height - 1) + (width * bits + 7) // 8 > len(
        data
    ):
        raise truncated(KIND)
    return Carved(width, height, [data])
