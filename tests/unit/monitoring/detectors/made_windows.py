"""A made-up tenant for tests of detectors: classes that are clusters, with traffic to draw."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from monitoring.references.rows import ReferenceRows
from monitoring.rows import HalfArray, IntArray, Rows, TruthArray
from monitoring.sketches.features import FeatureMap, bandwidths_of
from monitoring.sketches.sketch import Sketch

HIDDEN = 24
CLASSES = 4


@dataclass(frozen=True, slots=True)
class Drawn:
    """Some rows of the tenant: true classes, embeddings, and what the adapter answered."""

    truth: IntArray  # [n]
    embeddings: HalfArray  # [n, hidden]
    base_embeddings: HalfArray  # [n, hidden]
    probabilities: HalfArray  # [n, classes]

    def __len__(self) -> int:
        return len(self.truth)

    @property
    def predicted(self) -> IntArray:
        classes: IntArray = self.probabilities.argmax(axis=1)
        return classes


def draw(
    count: int,
    seed: int,
    *,
    classes: int = CLASSES,
    mix: tuple[float, ...] | None = None,
    foreign: float = 0.0,
) -> Drawn:
    """Return rows drawn at a class mix, of which a share is of a cluster of another world."""
    random = np.random.default_rng([seed, 1])
    truth = random.choice(classes, count, p=mix)
    centres = _centres(classes + 1)
    is_foreign = random.random(count) < foreign
    place = np.where(is_foreign, classes, truth)
    embeddings = _unit(centres[place] + 0.16 * random.standard_normal((count, HIDDEN)))
    base = _unit(centres[place] + 0.3 * random.standard_normal((count, HIDDEN)))
    logits = 6 * embeddings.astype(np.float64) @ centres[:classes].T
    raised = np.exp(logits)
    probabilities = (raised / raised.sum(axis=1, keepdims=True)).astype(np.float16)
    return Drawn(truth.astype(np.int64), embeddings, base, probabilities)


def part_of(drawn: Drawn, own: slice | TruthArray | IntArray) -> Drawn:
    """Return some of the rows."""
    return Drawn(*(getattr(drawn, name)[own] for name in Drawn.__dataclass_fields__))


def reference_of(drawn: Drawn, *, embedded: bool = True) -> ReferenceRows:
    """Return rows as a reference; without embeddings where a tenant keeps them out of the log."""
    count, classes = drawn.probabilities.shape
    return ReferenceRows(
        labels=tuple(f"class {i}" for i in range(classes)),
        class_index=drawn.predicted,
        label_index=drawn.truth,
        probabilities=drawn.probabilities,
        embeddings=drawn.embeddings if embedded else None,
        base_embeddings=drawn.base_embeddings if embedded else None,
        tokens=np.arange(count) % 20 + 4,
        unknown=np.arange(count) % 7 // 6,
        truncated=np.arange(count) % 10 == 0,
    )


def rows_of(drawn: Drawn, *, embedded: bool = True) -> Rows:
    """Return rows as predictions; the bare backbone's embeddings are of every second one."""
    count = len(drawn)
    which = np.arange(count if embedded else 0)
    return Rows(
        time_us=np.arange(count) * 1000 + 1_700_000_000_000_000,
        order=np.arange(count) * 7919 % 104_729,
        prediction_ids=[f"p{i}" for i in range(count)],
        class_index=drawn.predicted,
        confidence=drawn.probabilities.max(axis=1, initial=0).astype(np.float32),
        probabilities=drawn.probabilities,
        embedded=which,
        embeddings=drawn.embeddings[which],
        based=which[::2],
        base_embeddings=drawn.base_embeddings[which[::2]],
        tokens=np.arange(count) % 20 + 4,
        unknown=np.arange(count) % 7 // 6,
        truncated=np.arange(count) % 10 == 0,
        characters=np.full(count, 40),
        text_bytes=np.full(count, 44),
        replaced=np.zeros(count, dtype=np.int64),
        fingerprint=np.arange(count) * 0x9E37_79B9 + 1,
        groups=[None] * count,
        audit=np.zeros(count, dtype=np.bool_),
        texts=[None] * count,
    )


def map_of(embeddings: HalfArray, seed: int = 0) -> FeatureMap:
    """Return the feature map of a reference's embeddings."""
    return FeatureMap.of(embeddings.shape[1], bandwidths_of(embeddings), seed)


def sketch_of(rows: Rows, feature_map: FeatureMap, base_map: FeatureMap) -> Sketch:
    """Return the sketch of rows."""
    sketch = Sketch.empty(rows.probabilities.shape[1], feature_map, base_map)
    features = feature_map.fixed(rows.embeddings)
    projected = feature_map.directions.projected_of(features)
    sketch.add(rows, features, projected, base_map.fixed(rows.base_embeddings))
    return sketch


def window_of(drawn: Drawn, feature_map: FeatureMap, base_map: FeatureMap | None = None) -> Sketch:
    """Return the sketch of rows drawn."""
    return sketch_of(rows_of(drawn), feature_map, base_map or feature_map)


def _centres(count: int) -> npt.NDArray[np.float64]:
    raw = np.random.default_rng(99).standard_normal((count, HIDDEN))
    centres: npt.NDArray[np.float64] = raw / np.linalg.norm(raw, axis=1, keepdims=True)
    return centres


def _unit(raw: npt.NDArray[np.float64]) -> HalfArray:
    embeddings: HalfArray = (raw / np.linalg.norm(raw, axis=1, keepdims=True)).astype(np.float16)
    return embeddings
