"""Rows made up for tests of sketches: every field with values of all kinds, unknown ones too."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np

from monitoring.rows import HalfArray, Rows
from monitoring.sketches.features import FeatureMap
from monitoring.sketches.sketch import Sketch

HIDDEN = 16
CLASSES = 5
MAP = FeatureMap.of(HIDDEN, (0.5, 1.0, 2.0), 0)
BASE_MAP = FeatureMap.of(HIDDEN, (0.4, 0.8, 1.6), 0)


def unit_rows(count: int, hidden: int = HIDDEN, seed: int = 0, offset: float = 0.0) -> HalfArray:
    """Return random embeddings of norm 1, [count, hidden]; with an offset they lie in a cone."""
    raw = np.random.default_rng(seed).normal(size=(count, hidden))
    raw[:, 0] += offset
    embeddings: HalfArray = (raw / np.linalg.norm(raw, axis=1, keepdims=True)).astype(np.float16)
    return embeddings


def rows_of(count: int, seed: int = 0, classes: int = CLASSES, **changes: Any) -> Rows:
    """Return rows of which some lack an embedding, a text, a group or a count."""
    random = np.random.default_rng(seed)
    raw = np.exp(3 * random.normal(size=(count, classes)))
    probabilities = raw / raw.sum(axis=1, keepdims=True)
    embedded = np.flatnonzero(random.random(count) < 0.8)
    based = np.flatnonzero(random.random(count) < 0.2)
    groups = np.array([None, "north", "south"], dtype=object)
    return replace(
        Rows(
            time_us=np.arange(count) * 1000 + 1_700_000_000_000_000,
            order=random.integers(-(2**63), 2**63 - 1, count),
            prediction_ids=[f"p{seed}-{i}" for i in range(count)],
            class_index=probabilities.argmax(axis=1),
            confidence=probabilities.max(axis=1).astype(np.float32),
            probabilities=probabilities.astype(np.float16),
            embedded=embedded,
            embeddings=unit_rows(len(embedded), seed=seed + 1),
            based=based,
            base_embeddings=unit_rows(len(based), seed=seed + 2),
            tokens=random.integers(-1, 90, count),
            unknown=random.integers(-1, 3, count),
            truncated=random.random(count) < 0.1,
            characters=random.integers(-1, 400, count),
            text_bytes=random.integers(-1, 500, count),
            replaced=random.integers(-1, 2, count),
            fingerprint=random.integers(0, 40, count) * 0x1234567_89AB,
            groups=groups[random.integers(0, 3, count)].tolist(),
            audit=random.random(count) < 0.1,
            texts=[None if i % 3 else f"text {i}" for i in range(count)],
        ),
        **changes,
    )


def part_of(rows: Rows, start: int, stop: int) -> Rows:
    """Return the rows from start to stop, as a frame that held only these."""
    embedded = (rows.embedded >= start) & (rows.embedded < stop)
    based = (rows.based >= start) & (rows.based < stop)
    whole = ("embedded", "embeddings", "based", "base_embeddings", "images")
    return replace(
        rows,
        **{
            name: getattr(rows, name)[start:stop]
            for name in Rows.__dataclass_fields__
            if name not in whole
        },
        embedded=rows.embedded[embedded] - start,
        embeddings=rows.embeddings[embedded],
        based=rows.based[based] - start,
        base_embeddings=rows.base_embeddings[based],
        images=None if rows.images is None else rows.images.rows(slice(start, stop)),
    )


def parts_of(rows: Rows, cuts: Sequence[int]) -> list[Rows]:
    """Return the rows cut at the given places, which ascend."""
    bounds = [0, *cuts, len(rows)]
    return [part_of(rows, a, b) for a, b in pairwise(bounds)]


def sketch_of(*parts: Rows, classes: int = CLASSES) -> Sketch:
    """Return the sketch of rows, added part by part."""
    sketch = Sketch.empty(classes, MAP, BASE_MAP)
    for rows in parts:
        features = MAP.fixed(rows.embeddings)
        projected = MAP.directions.projected_of(features)
        sketch.add(rows, features, projected, BASE_MAP.fixed(rows.base_embeddings))
    return sketch


def numbers_of(sketch: Sketch) -> dict[str, Any]:
    """Return every number of a sketch that a caller may read, by name."""
    names = set(Sketch.__slots__) - {"groups", "map_id", "base_map_id"}
    return {name: getattr(sketch, name) for name in names}
