"""Which way up a picture is, by its EXIF data (CIPA DC-008, tag 0x0112) or its XMP.

Only that one number is read. A general reader would follow every entry's offset, and 64 KiB of
entries that all point at the same place come to gigabytes.
"""

import re
import struct
import zlib

UPRIGHT = 1

_PREFIX = b"Exif\x00\x00"
_TAG = 0x0112
_TEXT_MAX = 1 << 20  # bytes of an inflated text; Pillow's limit too
# The integer types of TIFF 6.0 by their number. Another type, and a list of no values, say nothing.
_INTEGERS = {3: "H", 4: "L", 6: "b", 8: "h", 9: "l", 13: "L"}
_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8}
_XMP = re.compile(rb'tiff:Orientation(?:="|>)([0-9])')


def exif_orientation(exif: bytes) -> int | None:
    """Return the orientation that EXIF data hold, or None; data that make no sense hold none.

    As in Pillow 10.4, what follows a damaged entry is not read, and of several the last one counts.
    """
    data = exif.removeprefix(_PREFIX)
    order = {b"II*\x00": "<", b"MM\x00*": ">"}.get(data[:4])
    if order is None or len(data) < 8:
        return None
    (start,) = struct.unpack_from(order + "L", data, 4)
    if start + 2 > len(data):
        return None
    (count,) = struct.unpack_from(order + "H", data, start)
    found = None
    for entry in range(start + 2, min(start + 2 + 12 * count, len(data) - 11), 12):
        tag, kind, values, at = struct.unpack_from(order + "HHLL", data, entry)
        size = values * _BYTES.get(kind, 0)
        if size <= 4:
            at = entry + 8
        elif at + size > len(data):
            break
        if tag == _TAG and size > 0:
            integer = _INTEGERS.get(kind)
            found = None if integer is None else struct.unpack_from(order + integer, data, at)[0]
    return found


def xmp_orientation(xmp: bytes) -> int | None:
    """Return the orientation that an XMP packet holds, or None."""
    found = _XMP.search(xmp)
    return int(found[1]) if found else None


def inflated(data: bytes) -> bytes:
    """Return a deflated text, or nothing where it is damaged or larger than any such text is."""
    inflater = zlib.decompressobj()
    try:
        text = inflater.decompress(data, _TEXT_MAX)
    except zlib.error:
        return b""
    return b"" if inflater.unconsumed_tail else text


def upright(*found: int | None) -> int:
    """Return the first orientation that says something, from 1 to 8."""
    said = next((value for value in found if value is not None), UPRIGHT)
    return said if 1 <= said <= 8 else UPRIGHT
