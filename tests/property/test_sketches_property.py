"""Sketches and samples add up: in any order, however the rows were cut, to the bit."""

from functools import reduce

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from threadpoolctl import threadpool_limits

from monitoring.rows import Rows
from monitoring.sketches.features import fixed_mixed
from monitoring.sketches.packing import Unpacker, pack_counts, pack_sums
from monitoring.sketches.sample import RowSample
from monitoring.sketches.sketch import Sketch
from tests.unit.monitoring.sketches.made_rows import (
    BASE_MAP,
    CLASSES,
    MAP,
    numbers_of,
    parts_of,
    rows_of,
    sketch_of,
)

SIZE = 6
FEW = settings(max_examples=40, deadline=None)
MANY = settings(max_examples=200, deadline=None)


@st.composite
def cut_rows(draw: st.DrawFn) -> tuple[Rows, list[Rows]]:
    """Return rows and the same cut into parts, some of them empty."""
    rows = rows_of(draw(st.integers(0, 60)), draw(st.integers(0, 2**16)))
    cuts = sorted(draw(st.lists(st.integers(0, len(rows)), max_size=5)))
    return rows, parts_of(rows, cuts)


@st.composite
def sketches(draw: st.DrawFn) -> Sketch:
    rows = rows_of(draw(st.integers(0, 30)), draw(st.integers(0, 2**16)))
    if draw(st.booleans()):
        return sketch_of(rows)
    plain = Sketch.empty(CLASSES)
    plain.add(rows, None, None, None)
    return plain


def samples() -> st.SearchStrategy[RowSample]:
    return st.builds(sample_of, st.builds(rows_of, st.integers(0, 30), st.integers(0, 2**16)))


def sample_of(*parts: Rows) -> RowSample:
    sample = RowSample(SIZE)
    for rows in parts:
        sample.add(rows)
    return sample


@st.composite
def damages(draw: st.DrawFn, whole: bytes) -> bytes:
    """Return bytes that were cut off, of which one was changed, or other ones."""
    kind = draw(st.sampled_from(["cut", "changed", "other"]))
    if kind == "cut":
        return whole[: draw(st.integers(0, len(whole) - 1))]
    if kind == "other":
        return draw(st.binary(max_size=200))
    place = draw(st.integers(0, len(whole) - 1))
    changed = whole[place] ^ draw(st.integers(1, 255))
    return whole[:place] + bytes([changed]) + whole[place + 1 :]


@FEW
@given(cut_rows())
def test_a_merge_equals_the_sketch_of_all_rows(cut: tuple[Rows, list[Rows]]) -> None:
    rows, parts = cut
    whole = sketch_of(rows)
    assert sketch_of(*parts) == whole
    assert reduce(Sketch.merge, [sketch_of(part) for part in parts]) == whole
    assert reduce(Sketch.merge, [sketch_of(part) for part in reversed(parts)]) == whole


@FEW
@given(sketches(), sketches(), sketches())
def test_merging_is_associative_and_commutative(a: Sketch, b: Sketch, c: Sketch) -> None:
    assert a.merge(b).merge(c) == a.merge(b.merge(c))
    assert a.merge(b) == b.merge(a)


@FEW
@given(sketches())
def test_the_empty_sketch_changes_nothing(sketch: Sketch) -> None:
    assert sketch.merge(Sketch.empty(CLASSES)) == sketch
    assert Sketch.empty(CLASSES).merge(sketch) == sketch


@FEW
@given(sketches())
def test_sketches_come_out_of_their_bytes_number_by_number(sketch: Sketch) -> None:
    back = Sketch.from_bytes(sketch.to_bytes())
    assert back == sketch
    assert back.groups == sketch.groups
    assert (back.map_id, back.base_map_id) == (sketch.map_id, sketch.base_map_id)
    for name, value in numbers_of(sketch).items():
        found = getattr(back, name)
        assert (value is None) == (found is None)
        assert np.array_equal(value, found)
        assert np.asarray(found).dtype == np.asarray(value).dtype
    # what was read can be added to
    assert back.merge(sketch) == sketch.merge(sketch)
    rows = rows_of(3)
    back.add(rows, None, None, None)
    assert back.predictions == sketch.predictions + 3


@MANY
@given(st.data())
def test_damaged_sketches_are_refused(data: st.DataObject) -> None:
    with pytest.raises(ValueError, match="sketch"):
        Sketch.from_bytes(data.draw(damages(SKETCH_BYTES)))


@MANY
@given(st.data())
def test_damaged_samples_are_refused(data: st.DataObject) -> None:
    with pytest.raises(ValueError, match="sample"):
        RowSample.from_bytes(data.draw(damages(SAMPLE_BYTES)))


@FEW
@given(cut_rows())
def test_totals_are_never_negative_and_agree(cut: tuple[Rows, list[Rows]]) -> None:
    sketch = sketch_of(*cut[1])
    assert sketch.tally.min() >= 0
    assert sketch.class_counts.sum() == sketch.predictions
    assert sketch.confidence_counts.sum() == sketch.predictions
    assert (sketch.class_histogram.sum(axis=1) == sketch.predictions).all()
    assert sketch.class_embedded.sum() == sketch.embedded
    assert (sketch.class_embedded <= sketch.class_counts).all()
    assert sketch.inputs.rows == sketch.predictions
    assert sketch.length_counts.sum() == sketch.inputs.with_tokens
    assert sum(sketch.groups.values()) <= sketch.predictions
    if sketch.main_sum is not None:
        assert np.abs(sketch.main_sum).max() <= 2**13 * sketch.embedded


@FEW
@given(cut_rows(), st.integers(1, 2))
def test_features_depend_on_their_row_alone(cut: tuple[Rows, list[Rows]], threads: int) -> None:
    rows, parts = cut
    whole = MAP.fixed(rows.embeddings)
    with threadpool_limits(threads):
        assert np.array_equal(whole, np.concatenate([MAP.fixed(p.embeddings) for p in parts]))
        which = np.arange(len(whole)) % 2
        phases = MAP.directions.phases(rows.embeddings)
        mixed = fixed_mixed(phases, [MAP, BASE_MAP], which)
    assert np.array_equal(mixed[which == 0], whole[which == 0])


@FEW
@given(cut_rows())
def test_a_merge_equals_the_sample_of_all_rows(cut: tuple[Rows, list[Rows]]) -> None:
    rows, parts = cut
    whole = sample_of(rows)
    assert sample_of(*parts) == whole
    assert reduce(RowSample.merge, [sample_of(part) for part in parts]) == whole
    assert reduce(RowSample.merge, [sample_of(part) for part in reversed(parts)]) == whole
    assert len(whole) == min(SIZE, len(rows))
    assert RowSample.from_bytes(whole.to_bytes()) == whole


@FEW
@given(samples(), samples(), samples())
def test_samples_are_associative_commutative_and_have_an_identity(
    a: RowSample, b: RowSample, c: RowSample
) -> None:
    assert a.merge(b).merge(c) == a.merge(b.merge(c))
    assert a.merge(b) == b.merge(a)
    assert a.merge(RowSample(SIZE)) == a


@MANY
@given(st.lists(st.integers(-(2**63), 2**63 - 1), max_size=40))
def test_packed_sums_come_back(numbers: list[int]) -> None:
    source = Unpacker(pack_sums(np.array(numbers, dtype=np.int64)))
    assert source.sums(len(numbers)).tolist() == numbers
    source.finish()


@MANY
@given(
    st.lists(st.one_of(st.just(0), st.integers(0, 300), st.integers(0, 2**63 - 1)), max_size=600)
)
def test_packed_counts_come_back(numbers: list[int]) -> None:
    source = Unpacker(pack_counts(np.array(numbers, dtype=np.int64)))
    assert source.counts(len(numbers)).tolist() == numbers
    source.finish()


@MANY
@given(st.binary(max_size=60), st.integers(0, 20))
def test_packed_noise_raises_nothing_but_value_errors(noise: bytes, size: int) -> None:
    try:
        counts = Unpacker(noise).counts(size)
    except ValueError:
        return
    assert counts.min(initial=0) >= 0


SKETCH_BYTES = sketch_of(rows_of(30)).to_bytes()
SAMPLE_BYTES = sample_of(rows_of(30)).to_bytes()
