"""Arrays of whole numbers in few bytes, the same bytes every time.

Two forms. *Sums* are of one size: each is written with as many bytes as the largest needs.
*Counts* are mostly 0 or small: where they are not 0 (as gaps between them, a bit each, or not at
all when none is 0), their lowest bytes, and, while any is left, the same of what is above these.
"""

import math

import numpy as np
import numpy.typing as npt

from monitoring.rows import IntArray

ByteArray = npt.NDArray[np.uint8]

_GAPS, _BITS, _ALL = 0, 1, 2
_END, _MORE = b"\0", b"\1"
_GAP_WIDTH_MAX = 4


def pack_sums(sums: IntArray) -> bytes:
    """Return numbers of any shape and sign as bytes; the reader must know the shape."""
    flat = np.ascontiguousarray(sums, dtype="<i8").ravel()
    magnitude = int(np.bitwise_or.reduce(flat ^ (flat >> 63)))
    width = magnitude.bit_length() // 8 + 1  # one bit more, for the sign
    return bytes([width]) + _narrowed(flat, width)


def pack_counts(counts: IntArray | ByteArray) -> bytes:
    """Return numbers of at least 0 [n] as bytes; the reader must know n."""
    parts = []
    while True:
        places, form = _pack_places(counts)
        parts.append(form)
        rest = counts[places].astype(np.int64)
        parts.append(rest.astype(np.uint8).tobytes())
        counts = rest >> 8
        if not counts.any():
            return b"".join([*parts, _END])
        parts.append(_MORE)


def _pack_places(counts: IntArray | ByteArray) -> tuple[IntArray, bytes]:
    """Return the places of what is not 0, and how to tell them: the shortest of three forms."""
    cells = len(counts)
    places = np.flatnonzero(counts)
    bits = math.ceil(cells / 8)
    if len(places) + bits >= cells:
        return np.arange(cells), bytes([_ALL])
    gaps = np.diff(places, prepend=-1) - 1
    width = max(1, (int(gaps.max(initial=0)).bit_length() + 7) // 8)
    if len(places) * width + 5 >= bits:
        return places, bytes([_BITS]) + np.packbits(counts != 0).tobytes()
    head = bytes([_GAPS, width]) + len(places).to_bytes(4, "little")
    return places, head + _narrowed(gaps, width)


def _narrowed(numbers: IntArray, width: int) -> bytes:
    little = numbers.astype("<i8", copy=False)
    return little.view(np.uint8).reshape(-1, 8)[:, :width].tobytes()


class Unpacker:
    """Reads what was packed, in the same order; raises `ValueError` for other bytes."""

    __slots__ = ("_at", "_data")

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def sums(self, *shape: int) -> IntArray:
        """Return the next sums, int64 of the shape."""
        width = self._number(1, 8)
        part = self._bytes(math.prod(shape) * width).reshape(-1, width)
        whole = np.empty((len(part), 8), dtype=np.uint8)
        whole[:, :width] = part
        whole[:, width:] = np.where(part[:, -1:] > 127, 255, 0)  # the sign
        return whole.view("<i8").astype(np.int64).reshape(shape)

    def counts(self, size: int) -> IntArray:
        """Return the next counts, int64 [size]."""
        whole = np.zeros(size, dtype=np.int64)
        cells = np.arange(size)
        for shift in range(0, 64, 8):
            cells = cells[self._places(len(cells))]
            whole[cells] += self._bytes(len(cells)).astype(np.int64) << shift
            more = self.taken(1)
            if more == _END and whole.min(initial=0) >= 0:
                return whole
            if more != _MORE:
                break
        raise ValueError("counts without end, or beyond 64 bits")

    def taken(self, count: int) -> bytes:
        """Return the next bytes as they are."""
        end = self._at + count
        if end > len(self._data):
            raise ValueError("bytes are missing")
        part = self._data[self._at : end]
        self._at = end
        return part

    def finish(self) -> None:
        """Raise `ValueError` unless everything was read."""
        if self._at != len(self._data):
            raise ValueError("bytes are left over")

    def _places(self, cells: int) -> IntArray:
        form = self._number(_GAPS, _ALL)
        if form == _ALL:
            return np.arange(cells)
        if form == _BITS:
            bits = self._bytes(math.ceil(cells / 8))
            return np.flatnonzero(np.unpackbits(bits, count=cells))
        width = self._number(1, _GAP_WIDTH_MAX)
        count = int.from_bytes(self.taken(4), "little")
        if count > cells:
            raise ValueError(f"{count} places of {cells} cells")
        gaps = np.zeros((count, 8), dtype=np.uint8)
        gaps[:, :width] = self._bytes(count * width).reshape(-1, width)
        places: IntArray = np.cumsum(gaps.view("<i8").ravel() + 1) - 1
        if count and places[-1] >= cells:
            raise ValueError("a place beyond the last cell")
        return places

    def _number(self, low: int, high: int) -> int:
        number = self.taken(1)[0]
        if not low <= number <= high:
            raise ValueError(f"{number} where {low} to {high} was expected")
        return number

    def _bytes(self, count: int) -> ByteArray:
        return np.frombuffer(self.taken(count), dtype=np.uint8)
