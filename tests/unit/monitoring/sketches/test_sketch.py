"""The sketch: each number by hand, merging, and what it takes at rest."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from monitoring.errors import Incompatible
from monitoring.rows import Rows
from monitoring.sketches.features import FeatureMap
from monitoring.sketches.histogram import confidence_bins, length_bins, probability_bins
from monitoring.sketches.sketch import CONFIDENCE_SCALE, Sketch
from tests.unit.monitoring.sketches.made_rows import (
    BASE_MAP,
    CLASSES,
    HIDDEN,
    MAP,
    part_of,
    rows_of,
    sketch_of,
)


def test_it_holds_what_a_loop_over_the_rows_counts() -> None:
    rows = rows_of(60)
    sketch = sketch_of(part_of(rows, 0, 1), part_of(rows, 1, 60))
    assert sketch.predictions == 60
    for c in range(CLASSES):
        assert sketch.class_counts[c] == sum(rows.class_index == c)
        each = np.bincount(probability_bins(rows.probabilities[:, c]), minlength=64)
        assert (sketch.class_histogram[c] == each).all()
    bins = confidence_bins(rows.confidence)
    assert (sketch.confidence_counts == np.bincount(bins, minlength=128)).all()
    for i in set(bins.tolist()):
        exact = sum(float(x) for x in rows.confidence[bins == i]) * CONFIDENCE_SCALE
        assert sketch.confidence_sums[i] == pytest.approx(exact, abs=len(rows))
        mean = rows.confidence[bins == i].astype(np.float64).mean()
        assert sketch.confidence_means[i] == pytest.approx(mean, abs=1e-7)
    known = rows.tokens[rows.tokens >= 0]
    assert (sketch.length_counts == np.bincount(length_bins(known), minlength=208)).all()
    assert sketch.groups == {name: rows.groups.count(name) for name in ("north", "south")}
    assert sketch.inputs.rows == 60
    assert sketch.inputs.fingerprinted == sum(rows.fingerprint != 0)


def test_it_holds_the_sums_of_features() -> None:
    rows = rows_of(60)
    sketch = sketch_of(rows)
    features, projected = MAP.fixed(rows.embeddings), MAP.projected(rows.embeddings)
    assert sketch.embedded == len(rows.embedded)
    assert sketch.main_sum is not None
    assert (sketch.main_sum == features.sum(axis=0)).all()
    assert sketch.based == len(rows.based)
    assert sketch.base_sum is not None
    assert (sketch.base_sum == BASE_MAP.fixed(rows.base_embeddings).sum(axis=0)).all()
    assert sketch.class_sums is not None
    for c in range(CLASSES):
        of = rows.class_index[rows.embedded] == c
        assert sketch.class_embedded[c] == of.sum()
        assert (sketch.class_sums[c] == projected[of].sum(axis=0)).all()


def test_sums_of_very_many_rows_do_not_overflow() -> None:
    count = 140_000  # of 2**13 each, beyond 2**30
    one = rows_of(1, embedded=np.arange(1), tokens=np.array([3]))
    many: dict[str, Any] = {
        name: np.repeat(getattr(one, name), count, axis=0)
        for name in Rows.__dataclass_fields__
        if isinstance(getattr(one, name), np.ndarray) and name not in ("based", "base_embeddings")
    }
    rows = replace(
        one,
        **many,
        based=np.arange(0),
        base_embeddings=one.base_embeddings[:0],
        groups=[None] * count,
    )
    features = np.broadcast_to(np.int32(-(2**13)), (count, 1024))
    sketch = Sketch.empty(CLASSES, MAP)
    for _ in range(2):
        sketch.add(rows, features, None, None)
    assert sketch.main_sum is not None
    assert (sketch.main_sum == -2 * count * 2**13).all()


def test_what_is_not_given_is_not_counted() -> None:
    rows = rows_of(40)
    sketch = Sketch.empty(CLASSES)
    sketch.add(rows, None, None, None)
    assert sketch.predictions == 40
    assert (sketch.embedded, sketch.based) == (0, 0)
    assert sketch.main_sum is None
    assert sketch.base_sum is None
    assert sketch.class_sums is None
    assert not sketch.class_embedded.any()


def test_an_empty_one_knows_nothing() -> None:
    sketch = Sketch.empty(CLASSES, MAP, BASE_MAP)
    sketch.add(part_of(rows_of(5), 0, 0), MAP.fixed(rows_of(0).embeddings), None, None)
    assert sketch == Sketch.empty(CLASSES, MAP, BASE_MAP)
    assert sketch.predictions == 0
    assert math.isnan(sketch.length_quantile(0.5))
    assert not sketch.duplicate_share.is_defined
    assert np.isnan(sketch.confidence_means).all()


def test_duplicates_and_lengths_are_told_of_the_rows() -> None:
    rows = rows_of(100, fingerprint=np.arange(100) // 2 + 1, tokens=np.arange(100) % 10)
    sketch = sketch_of(rows)
    assert sketch.duplicate_share.value == pytest.approx(0.5, abs=0.02)
    assert sketch.length_quantile(0.5) == 4
    assert sketch.length_quantile(1.0) == 9


@pytest.mark.parametrize(
    "changes",
    [
        {"class_index": np.array([0, 1, CLASSES])},
        {"class_index": np.array([0, -1, 1])},
        {"confidence": np.array([0.5, np.nan, 0.5], dtype=np.float32)},
        {"confidence": np.array([0.5, 1.5, 0.5], dtype=np.float32)},
        {"probabilities": np.full((3, CLASSES), np.nan, dtype=np.float16)},
        {"probabilities": np.full((3, CLASSES + 1), 0.1, dtype=np.float16)},
    ],
)
def test_rows_that_do_not_fit_are_refused_and_nothing_is_counted(changes: dict[str, Any]) -> None:
    sketch = sketch_of(rows_of(10))
    before = sketch.to_bytes()
    with pytest.raises(ValueError, match=r"probabilit|class|confidence"):
        sketch.add(rows_of(3, **changes), None, None, None)
    assert sketch.to_bytes() == before


def test_features_that_do_not_fit_are_refused() -> None:
    rows = rows_of(10)
    features = MAP.fixed(rows.embeddings)
    projected = MAP.projected(rows.embeddings)
    sketch = Sketch.empty(CLASSES, MAP)
    for given in (
        (features[1:], None, None),
        (features, projected[:, 1:], None),
        (features, None, MAP.fixed(rows.base_embeddings)[:, 1:]),
        (features, None, MAP.fixed(rows.base_embeddings)),  # no map of the bare backbone
    ):
        with pytest.raises(ValueError, match="features"):
            sketch.add(rows, *given)
    assert sketch == Sketch.empty(CLASSES, MAP)


def test_sketches_of_other_maps_or_classes_do_not_add_up() -> None:
    foreign = FeatureMap.of(HIDDEN, (3.0,), 0)
    sketch = Sketch.empty(CLASSES, MAP, BASE_MAP)
    for other in (
        Sketch.empty(CLASSES + 1, MAP, BASE_MAP),
        Sketch.empty(CLASSES, foreign, BASE_MAP),
        Sketch.empty(CLASSES, MAP, foreign),
    ):
        with pytest.raises(Incompatible):
            sketch.merge(other)
        with pytest.raises(Incompatible):
            other.merge(sketch)


def test_a_sketch_without_a_map_takes_the_others() -> None:
    plain = Sketch.empty(CLASSES)
    plain.add(rows_of(7), None, None, None)
    full = sketch_of(rows_of(9))
    for both in (plain.merge(full), full.merge(plain)):
        assert (both.map_id, both.base_map_id) == (MAP.id, BASE_MAP.id)
        assert both.predictions == 16
        assert both.embedded == full.embedded


def test_merging_changes_neither_and_shares_nothing() -> None:
    first, second = sketch_of(rows_of(5)), Sketch.empty(CLASSES, MAP, BASE_MAP)
    before = first.to_bytes()
    both = first.merge(second)
    both.add(rows_of(5, 1), MAP.fixed(rows_of(5, 1).embeddings), None, None)
    assert first.to_bytes() == before
    assert second == Sketch.empty(CLASSES, MAP, BASE_MAP)


def test_it_equals_only_what_has_the_same_numbers() -> None:
    assert sketch_of(rows_of(5)) == sketch_of(rows_of(5))
    assert sketch_of(rows_of(5)) != sketch_of(rows_of(6))
    assert sketch_of(rows_of(5)) != "a sketch"


def test_a_sum_that_is_not_used_takes_no_room() -> None:
    rows = rows_of(200)
    features, projected = MAP.fixed(rows.embeddings), MAP.projected(rows.embeddings)
    sketches = [Sketch.empty(CLASSES, MAP, base) for base in (None, BASE_MAP, BASE_MAP)]
    for sketch, base in zip(sketches, (None, None, rows), strict=True):
        of_base = None if base is None else BASE_MAP.fixed(base.base_embeddings)
        sketch.add(rows, features, projected, of_base)
    plain, unused, used = (sketch.bytes for sketch in sketches)
    assert unused - plain <= len(BASE_MAP.id) + 1
    assert used - unused >= 2 * 1024


@pytest.mark.parametrize("rows", [500, 2**18, 2**26])
def test_it_takes_16_kilobytes_at_rest_beside_the_classes_parts(rows: int) -> None:
    random = np.random.default_rng(0)
    sketch = Sketch.empty(77, MAP, BASE_MAP)
    sketch.predictions = sketch.embedded = sketch.based = rows
    sketch.main_sum = (random.uniform(-1, 1, 1024) * 2**13 * rows).astype(np.int64)
    sketch.base_sum = sketch.main_sum.copy()
    sketch.class_counts[:] = rows // 77
    sketch.confidence_counts[:] = rows // 128
    sketch.confidence_sums[:] = sketch.confidence_counts * (CONFIDENCE_SCALE - 1)
    sketch.length_counts[:] = rows // 208
    sketch.input_counts[:] = rows * 100
    sketch.bitmap[:] = random.integers(0, 256, len(sketch.bitmap))
    assert sketch.bytes <= 16 * 1024
    assert Sketch.from_bytes(sketch.to_bytes()) == sketch


def test_bytes_of_something_else_are_refused() -> None:
    data = sketch_of(rows_of(5)).to_bytes()
    for other in (b"", data[:3], b"SQLite format 3\0", data[:-1], data + b"\0", data[:8]):
        with pytest.raises(ValueError, match="sketch"):
            Sketch.from_bytes(other)
