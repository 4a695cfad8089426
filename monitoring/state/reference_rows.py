"""Rows of references on their way to detectors: put together frame by frame, and pooled."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from monitoring.references.rows import ReferenceRows
from monitoring.rows import HalfArray, Images, IntArray, TruthArray

_NO_CLASS = -1


@dataclass(frozen=True, slots=True)
class ReferencePart:
    """Some rows of one reference, one after the other, as a frame of the log has them."""

    tenant: str
    adapter: str
    version: int
    digest: str
    backbone: str
    time_us: int
    row: int  # number of the first of them,
    rows: int  # and how many the whole reference has
    names: Mapping[int, str]  # of classes, as far as these rows tell
    class_index: IntArray  # [n], predicted
    label_index: IntArray  # [n], true; -1 where it is not known
    probabilities: HalfArray  # [n, classes]
    embeddings: HalfArray | None  # [n, hidden], L2 norm 1
    base_embeddings: HalfArray | None  # [n, hidden], L2 norm 1
    tokens: IntArray  # [n]
    unknown: IntArray  # [n]
    truncated: TruthArray  # [n]
    images: Images | None = None

    def __len__(self) -> int:
        return len(self.class_index)

    @property
    def key(self) -> tuple[str, str, int, str]:
        """Return what it is of."""
        return self.tenant, self.adapter, self.version, self.digest


@dataclass(slots=True)
class Partial:
    """Rows of a reference that came so far: those of them that are kept."""

    names: dict[int, str] = field(default_factory=dict)
    parts: list[ReferenceRows] = field(default_factory=list)

    def add(self, part: ReferencePart, kept: int) -> bool:
        """Take in rows; return whether they fit those before.

        Of more than `kept` rows in all, those are kept whose numbers have the smallest hashes.
        """
        rows = np.arange(part.row, part.row + len(part))
        if part.rows > kept:
            chosen = np.argsort(_hashed(np.arange(part.rows), 0), kind="stable")[:kept]
            rows = np.intersect1d(rows, chosen)
        here = rows - part.row
        some = ReferenceRows(
            labels=(),
            class_index=part.class_index[here],
            label_index=part.label_index[here],
            probabilities=part.probabilities[here],
            embeddings=_some(part.embeddings, here),
            base_embeddings=_some(part.base_embeddings, here),
            tokens=part.tokens[here],
            unknown=part.unknown[here],
            truncated=part.truncated[here],
            images=None if part.images is None else part.images.rows(here),
        )
        if self.parts and _shape(self.parts[0]) != _shape(some):
            return False
        self.parts.append(some)
        self.names |= part.names
        return True

    def whole(self) -> ReferenceRows:
        """Return all rows; classes that no row names are called by their numbers."""
        first = self.parts[0]
        classes = first.probabilities.shape[1]
        return ReferenceRows(
            labels=tuple(self.names.get(number, str(number)) for number in range(classes)),
            class_index=_joined([p.class_index for p in self.parts]),
            label_index=_joined([p.label_index for p in self.parts]),
            probabilities=_joined([p.probabilities for p in self.parts]),
            embeddings=_joined_or_none([p.embeddings for p in self.parts]),
            base_embeddings=_joined_or_none([p.base_embeddings for p in self.parts]),
            tokens=_joined([p.tokens for p in self.parts]),
            unknown=_joined([p.unknown for p in self.parts]),
            truncated=_joined([p.truncated for p in self.parts]),
            images=_joined_images([p.images for p in self.parts]),
        )


@dataclass(slots=True)
class Pool:
    """A sample of the rows of all references on a backbone: those of the smallest hashes."""

    hashes: npt.NDArray[np.uint64]  # [k], ascending
    tenants: list[str]  # [k]
    embeddings: HalfArray  # [k, hidden]
    base_embeddings: HalfArray  # [k, hidden], zeros where there is none
    based: TruthArray  # [k]
    tokens: IntArray  # [k]
    unknown: IntArray  # [k]
    truncated: TruthArray  # [k]

    def __len__(self) -> int:
        return len(self.hashes)

    def with_rows(self, origin: str, tenant: str, rows: ReferenceRows, most: int) -> "Pool":
        """Return the pool with the rows of one more reference, of which `origin` is the name."""
        if rows.embeddings is None or rows.embeddings.shape[1] != self.embeddings.shape[1]:
            return self
        digest = hashlib.sha256(origin.encode()).digest()
        hashes = _hashed(np.arange(len(rows)), int.from_bytes(digest[:8], "little"))
        based = rows.base_embeddings is not None and rows.base_embeddings.shape == (
            rows.embeddings.shape
        )
        every = Pool(
            hashes=_joined([self.hashes, hashes]),
            tenants=self.tenants + [tenant] * len(rows),
            embeddings=_joined([self.embeddings, rows.embeddings]),
            base_embeddings=_joined(
                [
                    self.base_embeddings,
                    rows.base_embeddings
                    if based and rows.base_embeddings is not None
                    else np.zeros_like(rows.embeddings),
                ]
            ),
            based=_joined([self.based, np.full(len(rows), based)]),
            tokens=_joined([self.tokens, rows.tokens]),
            unknown=_joined([self.unknown, rows.unknown]),
            truncated=_joined([self.truncated, rows.truncated]),
        )
        return every.taken(np.argsort(every.hashes, kind="stable")[:most])

    def without(self, tenant: str) -> "Pool":
        """Return the pool without the rows of a tenant."""
        return self.taken(
            np.array([row for row, name in enumerate(self.tenants) if name != tenant], np.int64)
        )

    def taken(self, rows: IntArray) -> "Pool":
        """Return some rows."""
        return Pool(
            self.hashes[rows],
            [self.tenants[row] for row in rows.tolist()],
            self.embeddings[rows],
            self.base_embeddings[rows],
            self.based[rows],
            self.tokens[rows],
            self.unknown[rows],
            self.truncated[rows],
        )

    def reference(self) -> ReferenceRows:
        """Return the rows as a reference without classes: adapters have different ones."""
        return ReferenceRows(
            labels=(),
            class_index=np.full(len(self), _NO_CLASS, np.int64),
            label_index=np.full(len(self), _NO_CLASS, np.int64),
            probabilities=np.zeros((len(self), 0), np.float16),
            embeddings=self.embeddings,
            base_embeddings=self.base_embeddings if bool(self.based.all()) else None,
            tokens=self.tokens,
            unknown=self.unknown,
            truncated=self.truncated,
        )


def empty_pool(hidden: int) -> Pool:
    """Return the pool of no rows."""
    none = np.zeros((0, hidden), np.float16)
    whole, truths = np.zeros(0, np.int64), np.zeros(0, np.bool_)
    return Pool(np.zeros(0, np.uint64), [], none, none, truths, whole, whole, truths)


def _hashed(numbers: IntArray, start: int) -> npt.NDArray[np.uint64]:
    """Return a hash of each number (Steele et al., SplitMix64), [n]."""
    with np.errstate(over="ignore"):
        mixed = numbers.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(start)
        mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        hashed: npt.NDArray[np.uint64] = mixed ^ (mixed >> np.uint64(31))
    return hashed


def _shape(rows: ReferenceRows) -> tuple[int, int, int]:
    widths = (
        -1 if part is None else part.shape[1] for part in (rows.embeddings, rows.base_embeddings)
    )
    return (rows.probabilities.shape[1], *widths)  # type: ignore[return-value] # two widths


def _some(array: HalfArray | None, rows: IntArray) -> HalfArray | None:
    return None if array is None else array[rows]


def _joined(parts: Sequence[npt.NDArray[Any]]) -> npt.NDArray[Any]:
    return np.concatenate(parts)


def _joined_images(parts: Sequence[Images | None]) -> Images | None:
    there = [part for part in parts if part is not None]
    if len(there) < len(parts):
        return None
    return Images(
        _joined([part.width for part in there]),
        _joined([part.height for part in there]),
        _joined([part.bytes for part in there]),
        _joined([part.brightness for part in there]),
        _joined([part.sharpness for part in there]),
    )


def _joined_or_none(parts: Sequence[HalfArray | None]) -> HalfArray | None:
    there = [part for part in parts if part is not None]
    return np.concatenate(there) if there else None
