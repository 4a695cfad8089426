"""The sample: the same rows whatever the split, and never more than its size."""

import math

import numpy as np
import pytest

from monitoring.sketches.sample import RowSample
from tests.unit.monitoring.sketches.made_rows import part_of, rows_of


def sampled(size: int, count: int = 50, seed: int = 0) -> RowSample:
    sample = RowSample(size)
    sample.add(rows_of(count, seed))
    return sample


def test_it_keeps_the_rows_of_smallest_order() -> None:
    rows = rows_of(50)
    sample = sampled(7)
    kept = np.argsort(rows.order)[:7]
    assert [row.prediction_id for row in sample.rows] == [rows.prediction_ids[i] for i in kept]
    for row, i in zip(sample.rows, kept, strict=True):
        assert row.time_us == rows.time_us[i]
        assert row.class_index == rows.class_index[i]
        assert row.confidence == rows.confidence[i]
        assert (row.probabilities == rows.probabilities[i]).all()
        assert row.text == rows.texts[i]
        if i in rows.embedded:
            assert row.embedding is not None
            assert (row.embedding == rows.embeddings[rows.embedded.tolist().index(i)]).all()
        else:
            assert row.embedding is None


def test_each_row_stands_for_the_rows_that_were_offered() -> None:
    assert sampled(7).weight == 50 / 7
    assert sampled(80).weight == 1
    assert math.isnan(RowSample(7).weight)
    assert math.isnan(sampled(0).weight)


def test_a_sample_of_no_rows_counts_what_it_is_offered() -> None:
    sample = sampled(0)
    assert (len(sample), sample.offered) == (0, 50)


def test_samples_of_two_sizes_make_one_of_the_smaller() -> None:
    both = sampled(5, seed=1).merge(sampled(9, seed=2))
    assert (both.size, len(both), both.offered) == (5, 5, 100)


def test_it_does_not_hold_on_to_the_frame_it_came_from() -> None:
    rows = rows_of(50)
    sample = RowSample(3)
    sample.add(rows)
    assert all(row.probabilities.base is None for row in sample.rows)
    assert all(row.embedding is None or row.embedding.base is None for row in sample.rows)


def test_rows_may_come_one_by_one() -> None:
    rows = rows_of(50)
    sample = RowSample(7)
    for i in range(50):
        sample.add(part_of(rows, i, i + 1))
    assert sample == sampled(7)


def test_rows_of_equal_order_are_kept_by_time_whatever_the_split() -> None:
    rows = rows_of(30, order=np.repeat(np.arange(3), 10))
    whole, parts = RowSample(15), RowSample(15)
    whole.add(rows)
    for start in (20, 10, 0):
        parts.add(part_of(rows, start, start + 10))
    assert whole == parts
    assert [row.time_us for row in whole.rows] == rows.time_us[:15].tolist()


def test_bytes_of_something_else_are_refused() -> None:
    data = sampled(4).to_bytes()
    assert RowSample.from_bytes(data) == sampled(4)
    for other in (b"", data[:-1], data + b"\0", b"\x93\1\2\3", RowSample(0).to_bytes()[1:]):
        with pytest.raises(ValueError, match="sample"):
            RowSample.from_bytes(other)


def test_a_size_below_0_is_refused() -> None:
    with pytest.raises(ValueError, match="-1"):
        RowSample(-1)
