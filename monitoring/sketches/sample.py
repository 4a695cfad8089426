"""A sample of rows that merges: the k rows of the smallest `order`, a hash of their place."""

import zlib
from bisect import insort
from dataclasses import dataclass

import numpy as np

from monitoring.codec import decode, encode
from monitoring.rows import HalfArray, Rows

_MAGIC = b"TSS1"


@dataclass(frozen=True, slots=True, eq=False)
class SampledRow:
    """One row that was kept."""

    order: int
    prediction_id: str
    time_us: int
    class_index: int
    confidence: float
    probabilities: HalfArray  # [classes]
    embedding: HalfArray | None  # [hidden], L2 norm 1
    text: str | None

    @property
    def key(self) -> tuple[int, int, str]:
        """Return what rows are ordered by; the first number decides but for a chance in 2**64."""
        return self.order, self.time_us, self.prediction_id


@dataclass(frozen=True, slots=True)
class _Kept:
    size: int
    offered: int
    rows: list[SampledRow]


class RowSample:
    """The `size` rows of the smallest order among all that were offered, smallest first."""

    __slots__ = ("offered", "rows", "size")
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, size: int) -> None:
        if size < 0:
            raise ValueError(f"a sample of {size} rows")
        self.size = size
        self.offered = 0
        self.rows: list[SampledRow] = []

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def weight(self) -> float:
        """Return how many rows each kept one stands for; NaN without any."""
        return self.offered / len(self.rows) if self.rows else float("nan")

    def add(self, rows: Rows) -> None:
        """Offer rows."""
        self.offered += len(rows)
        if not self.size:
            return
        order = rows.order
        places = np.arange(len(rows))
        if len(self.rows) == self.size:
            places = np.flatnonzero(order <= self.rows[-1].order)
        elif len(rows) > self.size:
            places = np.flatnonzero(order <= np.partition(order, self.size - 1)[self.size - 1])
        if not len(places):
            return
        at = {int(row): i for i, row in enumerate(rows.embedded)}
        for i in places.tolist():
            insort(self.rows, _row(rows, i, at.get(i)), key=_key)
        del self.rows[self.size :]

    def merge(self, other: "RowSample") -> "RowSample":
        """Return the sample of both; of the smaller size, where sizes differ."""
        both = RowSample(min(self.size, other.size))
        both.offered = self.offered + other.offered
        both.rows = sorted([*self.rows, *other.rows], key=_key)[: both.size]
        return both

    def to_bytes(self) -> bytes:
        """Return the sample as bytes: the same for equal samples."""
        data = encode(_Kept(self.size, self.offered, self.rows))
        return _MAGIC + zlib.crc32(data).to_bytes(4, "little") + data

    @staticmethod
    def from_bytes(data: bytes) -> "RowSample":
        """Return what `to_bytes` wrote; raise `ValueError` for damaged or foreign bytes."""
        if data[:4] != _MAGIC:
            raise ValueError("these bytes are no sample")
        if zlib.crc32(data[8:]).to_bytes(4, "little") != data[4:8]:
            raise ValueError("the bytes of a sample are damaged")
        kept = decode(data[8:], _Kept)
        sample = RowSample(kept.size)
        sample.offered, sample.rows = kept.offered, kept.rows
        return sample

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, RowSample):
            return NotImplemented
        return self.to_bytes() == other.to_bytes()


def _key(row: SampledRow) -> tuple[int, int, str]:
    return row.key


def _row(rows: Rows, i: int, embedded: int | None) -> SampledRow:
    return SampledRow(
        order=int(rows.order[i]),
        prediction_id=rows.prediction_ids[i],
        time_us=int(rows.time_us[i]),
        class_index=int(rows.class_index[i]),
        confidence=float(rows.confidence[i]),
        probabilities=rows.probabilities[i].copy(),
        embedding=None if embedded is None else rows.embeddings[embedded].copy(),
        text=rows.texts[i],
    )
