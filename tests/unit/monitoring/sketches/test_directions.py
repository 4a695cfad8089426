"""Directions: exact products, whatever the batch or the number of threads."""

import math

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from monitoring.sketches.directions import GRID, Directions, quantised
from tests.unit.monitoring.sketches.made_rows import unit_rows


@pytest.mark.parametrize("hidden", [1, 16, 384, 1024])
def test_products_are_those_of_whole_numbers(hidden: int) -> None:
    directions = Directions.of(hidden, 0)
    embeddings = unit_rows(20, hidden)
    exact = quantised(embeddings).astype(np.int64) @ directions.matrix.astype(np.int64)
    assert (directions.phases(embeddings).astype(np.int64) == exact).all()


@pytest.mark.parametrize("hidden", [1, 16, 384, 1024])
def test_no_partial_sum_can_leave_what_float32_holds_exactly(hidden: int) -> None:
    directions = Directions.of(hidden, 0)
    assert (directions.matrix == np.rint(directions.matrix)).all()
    longest = np.sqrt((directions.matrix.astype(np.float64) ** 2).sum(axis=0)).max()
    assert longest * GRID * 1.125 <= 2**24
    assert directions.signs.shape == (1024, 32)
    assert 1024 * 2**13 <= 2**24  # features at most 2**13, times signs


def test_batches_and_threads_change_no_bit() -> None:
    directions = Directions.of(384, 0)
    embeddings = unit_rows(257, 384)
    with threadpool_limits(1):
        whole = directions.phases(embeddings)
        one_by_one = np.concatenate([directions.phases(embeddings[i : i + 1]) for i in range(257)])
    with threadpool_limits(2):
        parallel = directions.phases(embeddings)
        backwards = directions.phases(embeddings[::-1])[::-1]
    for other in (one_by_one, parallel, backwards):
        assert (whole == other).all()


def test_a_seed_gives_the_same_directions_in_every_release() -> None:
    assert Directions.of(16, 0).id == "7c17514f816cce6ea9af023aa02f21f7"


def test_the_largest_hidden_size_has_directions_fine_enough() -> None:
    longest = math.sqrt(8192) + 5 + math.sqrt(8192) / 32  # lengths are near the root of the size
    assert 2**24 / (GRID * 1.125 * longest) >= 16


def test_other_seeds_and_sizes_give_other_directions() -> None:
    ids = {Directions.of(hidden, seed).id for hidden in (16, 17) for seed in (0, 1)}
    assert len(ids) == 4


def test_directions_are_normal_and_orthogonal_in_blocks() -> None:
    directions = Directions.of(64, 3)
    matrix = directions.matrix * GRID / directions.grid
    assert abs(matrix.mean()) < 0.02
    assert matrix.std() == pytest.approx(1, abs=0.02)
    assert ((matrix**2).sum(axis=0)).mean() == pytest.approx(64, rel=0.05)
    block = matrix[:, :64]
    cosines = block.T @ block / np.sqrt(np.outer((block**2).sum(0), (block**2).sum(0)))
    assert np.abs(cosines - np.eye(64)).max() < 0.02


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 2.0])
def test_embeddings_that_are_none_are_refused(value: float) -> None:
    embeddings = unit_rows(3)
    embeddings[1, 4] = value
    with pytest.raises(ValueError, match="not finite or its norm is far from 1"):
        Directions.of(16, 0).phases(embeddings)


def test_embeddings_of_another_size_are_refused() -> None:
    with pytest.raises(ValueError, match="not \\[rows, 16\\]"):
        Directions.of(16, 0).phases(unit_rows(3, 8))


@pytest.mark.parametrize("hidden", [0, 8193])
def test_hidden_sizes_without_exact_products_are_refused(hidden: int) -> None:
    with pytest.raises(ValueError, match="hidden size"):
        Directions.of(hidden, 0)
