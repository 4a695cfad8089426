"""The sketch: the additive state of one time bucket of one version in one role.

Every number is whole, so that addition is exact in any order: the sketch of a union is the sum of
the sketches, whatever the split. No sum overflows before 2**38 rows: of a row, a feature is at most
2**13, a projected one 2**15, a confidence 2**24, and a text has less than 2**25 characters. Pixels
of images add up without overflow for 2**34 images of 2**29 pixels.
"""

import zlib
from collections import Counter
from functools import lru_cache

import msgspec
import numpy as np

from monitoring.errors import Incompatible
from monitoring.rows import FloatArray, IntArray, Rows
from monitoring.sketches.directions import DIMENSIONS, PROJECTIONS, Fixed
from monitoring.sketches.duplicates import BITMAP_BYTES, Bitmap, duplicate_share, mark
from monitoring.sketches.features import FeatureMap
from monitoring.sketches.histogram import (
    CONFIDENCE_BINS,
    LENGTH_BINS,
    PROBABILITY_BINS,
    confidence_bins,
    length_bins,
    length_quantile,
    probability_bins,
)
from monitoring.sketches.images import (
    IMAGE_COUNTS,
    ImageCounts,
    count_images,
    undecodable_images,
)
from monitoring.sketches.inputs import INPUT_COUNTS, InputCounts, count_inputs
from monitoring.sketches.packing import Unpacker, pack_counts, pack_sums
from service.measures import Estimate

CONFIDENCE_SCALE = 2**24  # float32 has steps of 2**-24 from 1/2 to 1

Packed = bytes  # a name of its own, since `Sketch.bytes` hides the type's

_MAGIC = b"TSK1"
_CHUNK = 2**16  # rows whose features add up in int32: 2**16 * 2**13 < 2**31


class _Head(msgspec.Struct, frozen=True, array_like=True):
    classes: int
    map_id: str | None
    base_map_id: str | None
    predictions: int
    embedded: int
    based: int
    groups: dict[str, int]
    has_images: bool = False  # whether counts of images follow; older ones have none


class Sketch:
    """Counts and sums over rows. `add` changes it in place; nothing else does."""

    __slots__ = (
        "base_map_id",
        "base_sum",
        "based",
        "bitmap",
        "class_counts",
        "class_embedded",
        "class_histogram",
        "class_sums",
        "classes",
        "confidence_counts",
        "confidence_sums",
        "embedded",
        "groups",
        "images",
        "input_counts",
        "length_counts",
        "main_sum",
        "map_id",
        "predictions",
        "tally",
    )
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, classes: int, map_id: str | None, base_map_id: str | None) -> None:
        if classes < 1:
            raise ValueError(f"{classes} classes")
        self.classes = classes
        self.map_id = map_id
        self.base_map_id = base_map_id
        self.predictions = 0
        self.embedded = 0  # rows in `main_sum`
        self.based = 0  # rows in `base_sum`
        self.main_sum: IntArray | None = None  # [1024], of fixed-point features; None: of no rows
        self.base_sum: IntArray | None = None  # [1024], the same of the bare backbone
        self.class_sums: IntArray | None = None  # [classes, 32], of projected features
        self.bitmap: Bitmap = np.zeros(BITMAP_BYTES, dtype=np.uint8)  # of fingerprints
        self.groups: Counter[str] = Counter()
        self.images: IntArray | None = None  # [404], `ImageCounts` as an array; None: of texts
        self._set_tally(np.zeros(_bounds(classes)[-1], dtype=np.int64))

    def _set_tally(self, tally: IntArray) -> None:
        """Set the counts: views into one array, so that they add up in one addition."""
        a, b, c, d, e, f, g = _bounds(self.classes)
        self.tally = tally
        self.class_counts = tally[:a]  # [classes], as predicted
        self.confidence_counts = tally[a:b]  # [128]
        self.length_counts = tally[b:c]  # [208], tokens of the rows that know them
        self.class_histogram = tally[c:d].reshape(self.classes, -1)  # [classes, 64]
        self.class_embedded = tally[d:e]  # [classes], rows in `class_sums`
        self.input_counts = tally[e:f]  # [18], `inputs` as an array
        self.confidence_sums = tally[f:g]  # [128], in steps of 2**-24

    @staticmethod
    def empty(
        classes: int,
        feature_map: FeatureMap | None = None,
        base_map: FeatureMap | None = None,
    ) -> "Sketch":
        """Return the sketch of no rows."""
        return Sketch(
            classes,
            None if feature_map is None else feature_map.id,
            None if base_map is None else base_map.id,
        )

    def add(
        self,
        rows: Rows,
        features: Fixed | None,
        projected: Fixed | None,
        base_features: Fixed | None,
    ) -> None:
        """Count rows in.

        `features` [e, 1024] and `projected` [e, 32] are of the rows in `rows.embedded`,
        `base_features` [b, 1024] of those in `rows.based`; None leaves them out. Raises
        `ValueError`, with nothing counted, for rows that don't fit.
        """
        if not len(rows):
            return
        self._check(rows, features, projected, base_features)
        confident = confidence_bins(rows.confidence)
        places = self._places(rows, confident)
        inputs = count_inputs(rows)
        self.predictions += len(rows)
        np.add.at(self.tally, places, 1)
        np.add.at(self.confidence_sums, confident, _steps(rows))
        self.input_counts += inputs
        if rows.images is not None:
            self._add_images(count_images(rows.images))
        mark(self.bitmap, rows.fingerprint)
        for group in rows.groups:
            if group is not None:
                self.groups[group] += 1
        if features is not None and len(features):
            self.embedded += len(features)
            self.main_sum = _added(self.main_sum, features)
        if base_features is not None and len(base_features):
            self.based += len(base_features)
            self.base_sum = _added(self.base_sum, base_features)
        if projected is not None and len(projected):
            self._add_projected(rows.class_index[rows.embedded], projected)

    def add_undecodable(self, count: int) -> None:
        """Count images that could not be decoded; they are no rows."""
        self._add_images(undecodable_images(count))

    def _add_images(self, counts: IntArray) -> None:
        self.images = counts if self.images is None else self.images + counts

    def _check(
        self,
        rows: Rows,
        features: Fixed | None,
        projected: Fixed | None,
        base_features: Fixed | None,
    ) -> None:
        """Raise `ValueError` for arrays of other shapes, or values that are none."""
        if rows.probabilities.shape != (len(rows), self.classes):
            raise ValueError(f"probabilities {rows.probabilities.shape}: {self.classes} classes")
        if int(rows.class_index.astype(np.uint64).max()) >= self.classes:
            raise ValueError(f"a class that is none of the {self.classes}")
        if not (rows.confidence.min() >= 0 and rows.confidence.max() <= 1):  # NaN neither
            raise ValueError("a confidence is not within [0, 1]")
        for given, map_id, shape in (
            (features, self.map_id, (len(rows.embedded), DIMENSIONS)),
            (projected, self.map_id, (len(rows.embedded), PROJECTIONS)),
            (base_features, self.base_map_id, (len(rows.based), DIMENSIONS)),
        ):
            if given is None:
                continue
            if given.shape != shape:
                raise ValueError(f"features of shape {given.shape}, not {shape}")
            if map_id is None and len(given):
                raise ValueError("features, and no feature map")

    def _places(self, rows: Rows, confident: IntArray) -> IntArray:
        """Return the cells of `tally` that grow by one."""
        bins = probability_bins(rows.probabilities)
        if bins.max() >= PROBABILITY_BINS:
            raise ValueError("a probability is not within [0, 1]")
        a, b, *_ = _bounds(self.classes)
        known = rows.tokens[rows.tokens >= 0]
        each_class = (bins + _histogram_starts(self.classes)).ravel()
        return np.concatenate((rows.class_index, confident + a, length_bins(known) + b, each_class))

    def _add_projected(self, classes: IntArray, projected: Fixed) -> None:
        if self.class_sums is None:
            self.class_sums = np.zeros((self.classes, PROJECTIONS), dtype=np.int64)
        np.add.at(self.class_embedded, classes, 1)
        # One flat array of places: `add.at` over rows of a matrix takes ten times as long.
        flat = (classes[:, None] * PROJECTIONS + _COLUMNS).ravel()
        np.add.at(self.class_sums.reshape(-1), flat, projected.astype(np.int64).ravel())

    def merge(self, other: "Sketch") -> "Sketch":
        """Return the sketch of both; raise `Incompatible` for other classes or feature maps.

        A sketch without a map takes the other's.
        """
        if self.classes != other.classes:
            raise Incompatible(f"{self.classes} and {other.classes} classes do not add up")
        both = Sketch(
            self.classes,
            _common(self.map_id, other.map_id),
            _common(self.base_map_id, other.base_map_id),
        )
        both.predictions = self.predictions + other.predictions
        both.embedded = self.embedded + other.embedded
        both.based = self.based + other.based
        both.main_sum = _sum(self.main_sum, other.main_sum)
        both.base_sum = _sum(self.base_sum, other.base_sum)
        both.class_sums = _sum(self.class_sums, other.class_sums)
        both.bitmap = self.bitmap | other.bitmap
        both.groups = self.groups + other.groups
        both.images = _sum(self.images, other.images)
        both._set_tally(self.tally + other.tally)
        return both

    @property
    def inputs(self) -> InputCounts:
        """Return what was counted about inputs."""
        return InputCounts(*self.input_counts.tolist())

    @property
    def image_counts(self) -> ImageCounts | None:
        """Return what was counted about images; None for a version that answers texts."""
        return None if self.images is None else ImageCounts.of(self.images)

    @property
    def duplicate_share(self) -> Estimate:
        """Return the share of rows whose text was there before among them, with its interval."""
        return duplicate_share(self.bitmap, self.inputs.fingerprinted)

    @property
    def confidence_means(self) -> FloatArray:
        """Return the mean confidence of each bin [128], float64; NaN where it has no rows."""
        means = np.full(CONFIDENCE_BINS, np.nan)
        used = self.confidence_counts > 0
        means[used] = self.confidence_sums[used] / (self.confidence_counts[used] * CONFIDENCE_SCALE)
        return means

    def length_quantile(self, share: float) -> float:
        """Return the length in tokens that a share of the rows does not exceed; NaN for none."""
        return length_quantile(self.length_counts, share)

    @property
    def bytes(self) -> int:
        """Return how many bytes the sketch takes at rest."""
        return len(self.to_bytes())

    def to_bytes(self) -> Packed:
        """Return the sketch as bytes: the same for equal sketches."""
        head = _Head(
            self.classes,
            self.map_id,
            self.base_map_id,
            self.predictions,
            self.embedded,
            self.based,
            dict(sorted(self.groups.items())),
            self.images is not None,
        )
        packed = msgspec.msgpack.encode(head)
        parts = [
            len(packed).to_bytes(4, "little"),
            packed,
            pack_counts(self.tally[: -len(self.confidence_sums)]),
            pack_sums(self.confidence_sums[self.confidence_counts > 0]),
            pack_counts(self.bitmap),
        ]
        if self.images is not None:
            parts.append(pack_counts(self.images))
        parts += [pack_sums(sums) for sums in (self.main_sum, self.base_sum) if sums is not None]
        if self.class_sums is not None:
            parts.append(pack_sums(self.class_sums[self.class_embedded > 0]))
        data = b"".join(parts)
        return _MAGIC + zlib.crc32(data).to_bytes(4, "little") + data

    @staticmethod
    def from_bytes(data: Packed) -> "Sketch":
        """Return what `to_bytes` wrote; raise `ValueError` for damaged or foreign bytes."""
        if data[:4] != _MAGIC:
            raise ValueError("these bytes are no sketch")
        if zlib.crc32(data[8:]).to_bytes(4, "little") != data[4:8]:
            raise ValueError("the bytes of a sketch are damaged")
        source = Unpacker(data[8:])
        packed = source.taken(int.from_bytes(source.taken(4), "little"))
        try:
            head = msgspec.msgpack.decode(packed, type=_Head)
        except msgspec.MsgspecError as error:
            raise ValueError(f"no head of a sketch: {error}") from error
        sketch = Sketch(head.classes, head.map_id, head.base_map_id)
        sketch.predictions = head.predictions
        sketch.embedded = head.embedded
        sketch.based = head.based
        sketch.groups.update(head.groups)
        counts = sketch.tally[: -len(sketch.confidence_sums)]
        counts[:] = source.counts(len(counts))
        used = sketch.confidence_counts > 0
        sketch.confidence_sums[used] = source.sums(int(used.sum()))
        sketch.bitmap = source.counts(BITMAP_BYTES).astype(np.uint8)
        sketch.images = source.counts(IMAGE_COUNTS) if head.has_images else None
        sketch.main_sum = source.sums(DIMENSIONS) if head.embedded else None
        sketch.base_sum = source.sums(DIMENSIONS) if head.based else None
        of = sketch.class_embedded > 0
        if of.any():
            sketch.class_sums = np.zeros((head.classes, PROJECTIONS), dtype=np.int64)
            sketch.class_sums[of] = source.sums(int(of.sum()), PROJECTIONS)
        source.finish()
        return sketch

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sketch):
            return NotImplemented
        return self.to_bytes() == other.to_bytes()

    def __repr__(self) -> str:
        return f"Sketch({self.predictions} predictions, {self.embedded} embedded)"


@lru_cache
def _bounds(classes: int) -> tuple[int, ...]:
    """Return where each part of the tally ends."""
    sizes = (
        classes,
        CONFIDENCE_BINS,
        LENGTH_BINS,
        classes * PROBABILITY_BINS,
        classes,
        INPUT_COUNTS,
        CONFIDENCE_BINS,
    )
    return tuple(sum(sizes[: i + 1]) for i in range(len(sizes)))


@lru_cache
def _histogram_starts(classes: int) -> IntArray:
    """Return where in the tally each class's histogram starts, [classes]."""
    starts: IntArray = np.arange(classes, dtype=np.int64) * PROBABILITY_BINS
    starts += _bounds(classes)[2]
    return starts


def _steps(rows: Rows) -> IntArray:
    """Return confidences in fixed point, [n]."""
    steps = np.rint(rows.confidence.astype(np.float64) * CONFIDENCE_SCALE)
    whole: IntArray = steps.astype(np.int64)
    return whole


def _added(total: IntArray | None, features: Fixed) -> IntArray:
    """Return a total [1024] with features [n, 1024] added, in place where there is one."""
    if total is None:
        total = np.zeros(DIMENSIONS, dtype=np.int64)
    for i in range(0, len(features), _CHUNK):
        total += np.add.reduce(features[i : i + _CHUNK], axis=0, dtype=np.int32)
    return total


def _sum(first: IntArray | None, second: IntArray | None) -> IntArray | None:
    if first is not None and second is not None:
        return first + second
    kept = second if first is None else first
    return None if kept is None else kept.copy()


def _common(first: str | None, second: str | None) -> str | None:
    if first is not None and second is not None and first != second:
        raise Incompatible(f"features of maps {first} and {second} do not add up")
    return second if first is None else first


_COLUMNS = np.arange(PROJECTIONS, dtype=np.int64)
