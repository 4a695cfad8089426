"""The predictions of one frame, sorted by what they are of."""

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from monitoring.ingest.columns import Columns, Vectors
from monitoring.rows import HalfArray, Images, IntArray, Rows, TruthArray
from monitoring.watched import ROLES, Watched

_ONE = 0x3C00  # bits of 1.0 as float16; those of larger numbers, infinity and NaN are larger
_NORM_MAX = 1.1  # of an embedding; float16 makes of norm 1 at most 1.001
_TIME_MAX_US = 253_402_300_800_000_000  # the year 10,000
_NAMES = ("tenant", "adapter", "role", "digest", "backbone")
_NEEDED = ("version", "class_index", "prediction_id")
_OF_TEXTS = ("tokens", "unknown_tokens", "truncated")  # needed of a row that is not an image's


_Coded = tuple[IntArray, list[str | None]]  # texts as numbers into a list of those that differ


@dataclass(frozen=True, slots=True)
class Predicted:
    """Rows of one version in one role, in the log's order."""

    watched: Watched
    digest: str
    backbone: str
    sample: float  # the share of the predictions that is logged; NaN where it is not known
    rows: Rows
    names: Sequence[str | None]  # [n], of the predicted class
    first: int  # where its embeddings begin in `Predictions.embeddings` of their hidden size
    base_first: int


@dataclass(frozen=True, slots=True)
class Predictions:
    """All predictions of a frame; rows of one hidden size lie in one matrix, group by group."""

    groups: tuple[Predicted, ...]  # by their first row
    embeddings: Mapping[int, HalfArray]  # [rows, hidden] by hidden size
    base_embeddings: Mapping[int, HalfArray]
    malformed: Mapping[str, int]  # rows that were left out, by what was wrong


@dataclass(frozen=True, slots=True)
class _Sorted:
    """Vectors of sorted rows, those of one width in one matrix."""

    places: IntArray  # of sorted rows that have a vector, ascending
    before: list[int]  # [n + 1], how many of them come before each row,
    first: list[int]  # [places], and where in its matrix each one's vector is
    widths: list[int]  # [places]
    matrices: Mapping[int, HalfArray]

    def cut(self, start: int, stop: int) -> tuple[IntArray, HalfArray, int]:
        """Return which rows of a group have a vector, these, and where they begin."""
        low, high = self.before[start], self.before[stop]
        if low == high:
            return _NOWHERE, _NONE, 0
        first = self.first[low]
        vectors = self.matrices[self.widths[low]][first : first + high - low]
        return self.places[low:high] - start, vectors, first


def predictions_of(columns: Columns, writer: str) -> Predictions:
    """Return the predictions of a frame; rows that cannot be used are counted and left out."""
    probabilities = columns.vectors("probabilities")
    embeddings, bases = columns.vectors("embedding"), columns.vectors("base_embedding")
    images = images_of(columns)
    faults = _faults(columns, images, probabilities, embeddings, bases)
    malformed: Counter[str] = Counter()
    sound = np.ones(len(columns), np.bool_)
    for name, bad in faults.items():
        new = int(np.count_nonzero(bad & sound))
        if new:
            malformed[name] += new
        sound &= ~bad
    codes, named = _codes(columns, probabilities)
    while True:
        order, bounds = _grouped(codes, np.flatnonzero(sound))
        odd = _odd(order, bounds, embeddings) | _odd(order, bounds, bases)
        if not odd.any():
            break
        malformed["hidden size"] += int(np.count_nonzero(odd))
        sound[order[odd]] = False
    groups = _Grouping(columns, images, order, bounds, named, writer)
    main, base = _sorted(order, embeddings), _sorted(order, bases)
    return Predictions(
        groups.made(probabilities, main, base), main.matrices, base.matrices, malformed
    )


def orders_of(writer: str, sequence: IntArray) -> IntArray:
    """Return a hash of writer and sequence number, [n], at least 0 (Steele et al., SplitMix64)."""
    with np.errstate(over="ignore"):
        mixed = sequence.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15) + _start_of(writer)
        mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return ((mixed ^ (mixed >> np.uint64(31))) >> np.uint64(1)).astype(np.int64)


@lru_cache(maxsize=256)
def _start_of(name: str) -> np.uint64:
    return np.uint64(int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "little"))


def is_unit(vectors: Vectors) -> TruthArray:
    """Return for each row whether its vector can be an embedding; true where it has none, [n]."""
    if not len(vectors.values):
        none: TruthArray = vectors.lengths != 0
        return none
    with np.errstate(all="ignore"):
        squares = vectors.values.astype(np.float32) ** 2
    starts = np.flatnonzero(vectors.lengths > 0)
    sums = np.zeros(len(vectors), np.float32)
    ends = np.cumsum(np.maximum(vectors.lengths, 0))
    sums[starts] = np.add.reduceat(squares, (ends - vectors.lengths)[starts])
    sound: TruthArray = (sums <= _NORM_MAX**2) & (vectors.lengths != 0)
    return sound


def are_probabilities(vectors: Vectors) -> TruthArray:
    """Return for each row whether it is there and all of it lies in [0, 1], [n]."""
    bits = np.ascontiguousarray(vectors.values).view(np.uint16)
    sound: TruthArray = vectors.all_of(bits <= _ONE) & (vectors.lengths > 0)
    return sound


def _faults(
    columns: Columns,
    images: Images | None,
    probabilities: Vectors,
    embeddings: Vectors,
    bases: Vectors,
) -> dict[str, TruthArray]:
    known = np.ones(len(columns), np.bool_)
    for name in _NEEDED:
        known &= columns.known(name)
    pictured = columns.known("width")
    for name in _OF_TEXTS:
        known &= columns.known(name) | pictured
    tops = columns.integers("class_index", -1)
    confidence = columns.numbers("confidence")
    times = columns.integers("time", -1)
    lengths = np.minimum(columns.integers("tokens", -1), columns.integers("unknown_tokens", -1))
    roles, names = columns.coded("role")
    watched = np.array([name in ROLES for name in [*names, None]], np.bool_)
    with np.errstate(invalid="ignore"):
        sure = (confidence >= 0) & (confidence <= 1)
    return {
        "missing value": ~known,
        "role": ~watched[roles],
        "time": (times <= 0) | (times >= _TIME_MAX_US),
        "probabilities": ~are_probabilities(probabilities),
        "class": (tops < 0) | (tops >= probabilities.lengths),
        "confidence": ~sure,
        "tokens": (lengths < 0) & ~pictured,
        "image": pictured if images is None else pictured & ~are_images(images),
        "embedding": ~(is_unit(embeddings) & is_unit(bases)),
    }


def images_of(columns: Columns) -> Images | None:
    """Return what is known of the images of a frame's rows; None where there is none."""
    if not columns.known("width").any():
        return None
    return Images(
        width=columns.integers("width", -1),
        height=columns.integers("height", -1),
        bytes=columns.integers("image_bytes", -1),
        brightness=columns.numbers("brightness"),
        sharpness=columns.numbers("sharpness"),
    )


def are_images(images: Images) -> TruthArray:
    """Return for each row whether its figures can be those of an image, [n]."""
    whole = (images.width > 0) & (images.height > 0) & (images.bytes >= 0)
    with np.errstate(invalid="ignore"):
        lit = (images.brightness >= 0) & (images.brightness <= 1)
        sharp = np.isnan(images.sharpness) | ((images.sharpness >= 0) & (images.sharpness < np.inf))
    sound: TruthArray = whole & lit & sharp
    return sound


def _codes(columns: Columns, probabilities: Vectors) -> tuple[IntArray, Mapping[str, _Coded]]:
    """Return a number a row that tells what it is of, and how many classes it has."""
    codes = np.zeros(len(columns), np.int64)
    named = {name: columns.coded(name) for name in _NAMES}
    for values, _ in named.values():
        codes = _combined(codes, values)
    codes = _combined(codes, columns.integers("version", -1))
    return _combined(codes, probabilities.lengths), named


def _combined(codes: IntArray, values: IntArray) -> IntArray:
    if not len(values) or (values == values[0]).all():
        return codes
    distinct, dense = np.unique(values, return_inverse=True)
    mixed = codes * len(distinct) + dense
    if len(mixed) and int(mixed.max()) > 1 << 31:
        mixed = np.unique(mixed, return_inverse=True)[1]
    return mixed.astype(np.int64, copy=False)


def _grouped(codes: IntArray, rows: IntArray) -> tuple[IntArray, list[tuple[int, int]]]:
    """Return rows sorted by group, each group in the log's order, and where the groups are."""
    order = rows[np.argsort(codes[rows], kind="stable")]
    changes = np.flatnonzero(np.diff(codes[order])) + 1
    edges = [0, *changes.tolist(), len(order)] if len(order) else [0]
    return order, [(edges[i], edges[i + 1]) for i in range(len(edges) - 1)]


def _odd(order: IntArray, bounds: Sequence[tuple[int, int]], vectors: Vectors) -> TruthArray:
    """Return which sorted rows have a vector of another width than their group's first."""
    odd = np.zeros(len(order), np.bool_)
    lengths = vectors.lengths[order]
    if not len(vectors.values) or (lengths == lengths[:1]).all():
        return odd
    for start, stop in bounds:
        widths = lengths[start:stop]
        there = widths[widths > 0]
        if len(there) and (there != there[0]).any():
            odd[start:stop] = (widths > 0) & (widths != there[0])
    return odd


def _sorted(order: IntArray, vectors: Vectors) -> _Sorted:
    lengths = vectors.lengths[order]
    places = np.flatnonzero(lengths > 0)
    before = np.concatenate([[0], np.cumsum(lengths > 0)])
    widths = lengths[places]
    first = np.zeros(len(places), np.int64)
    matrices = {}
    for width in np.unique(widths).tolist():
        here = widths == width
        first[here] = np.arange(np.count_nonzero(here))
        matrices[width] = vectors.matrix(order[places[here]], width)
    return _Sorted(places, before.tolist(), first.tolist(), widths.tolist(), matrices)


class _Grouping:
    """Cuts sorted columns into groups."""

    def __init__(
        self,
        columns: Columns,
        images: Images | None,
        order: IntArray,
        bounds: Sequence[tuple[int, int]],
        named: Mapping[str, _Coded],
        writer: str,
    ) -> None:
        self._columns = columns
        self._images = images
        self._order = order
        self._bounds = bounds
        self._named = named
        self._sequence = orders_of(writer, columns.integers("sequence", 0))

    def made(self, probabilities: Vectors, main: _Sorted, base: _Sorted) -> tuple[Predicted, ...]:
        order, columns = self._order, self._columns
        ints = {
            name: columns.integers(name, missing)[order]
            for name, missing in (
                *(("time", 0), ("class_index", 0), ("tokens", -1), ("unknown_tokens", -1)),
                *(("characters", -1), ("text_bytes", -1), ("replaced", -1), ("fingerprint", 0)),
                ("version", 0),
            )
        }
        numbers = {name: columns.numbers(name)[order] for name in ("confidence", "sample")}
        truths = {name: columns.truths(name)[order] for name in ("truncated", "audit")}
        texts = {
            name: self._texts(name) for name in ("prediction_id", "group", "text", "class_name")
        }
        shares = _sorted(order, probabilities)
        images = None if self._images is None else self._images.rows(order)
        orders = self._sequence[order]
        groups = []
        for start, stop in self._bounds:
            part = slice(start, stop)
            embedded, vectors, first = main.cut(start, stop)
            based, base_vectors, base_first = base.cut(start, stop)
            rows = Rows(
                time_us=ints["time"][part],
                order=orders[part],
                prediction_ids=texts["prediction_id"][part],  # type: ignore[arg-type]
                class_index=ints["class_index"][part],
                confidence=numbers["confidence"][part],
                probabilities=shares.cut(start, stop)[1],
                embedded=embedded,
                embeddings=vectors,
                based=based,
                base_embeddings=base_vectors,
                tokens=ints["tokens"][part],
                unknown=ints["unknown_tokens"][part],
                truncated=truths["truncated"][part],
                characters=ints["characters"][part],
                text_bytes=ints["text_bytes"][part],
                replaced=ints["replaced"][part],
                fingerprint=ints["fingerprint"][part],
                groups=texts["group"][part],
                audit=truths["audit"][part],
                texts=texts["text"][part],
                images=_own(images, part),
            )
            tenant, adapter, role, digest, backbone = self._names_at(int(order[start]))
            watched = Watched(
                tenant,
                adapter,
                int(ints["version"][start]),
                role,  # type: ignore[arg-type] # one of ROLES, or it is malformed
            )
            groups.append(
                Predicted(
                    watched,
                    digest,
                    backbone,
                    float(numbers["sample"][stop - 1]),
                    rows,
                    texts["class_name"][part],
                    first,
                    base_first,
                )
            )
        firsts = [int(order[start]) for start, _ in self._bounds]
        return tuple(groups[i] for i in sorted(range(len(groups)), key=firsts.__getitem__))

    def _names_at(self, row: int) -> list[str]:
        coded = ((int(codes[row]), names) for codes, names in self._named.values())
        return [(names[code] if code >= 0 else None) or "" for code, names in coded]

    def _texts(self, name: str) -> list[str | None]:
        texts = self._columns.texts(name)
        return [texts[row] for row in self._order.tolist()]


def _own(images: Images | None, part: slice) -> Images | None:
    """Return the images of a group; None where it is one of texts beside others of images."""
    own = None if images is None else images.rows(part)
    return own if own is not None and bool((own.width > 0).any()) else None


_NONE: npt.NDArray[np.float16] = np.zeros((0, 0), np.float16)
_NOWHERE: IntArray = np.zeros(0, np.int64)
