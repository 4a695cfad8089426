import doctest

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from monitoring.detectors import distance
from monitoring.detectors.distance import mean_of, own_noise, squared_distance


def unit_rows(count: int, seed: int) -> NDArray[np.float64]:
    raw = np.random.default_rng(seed).standard_normal((count, 6)) + 0.5
    rows: NDArray[np.float64] = raw / np.linalg.norm(raw, axis=1, keepdims=True)
    return rows


def test_the_numbers_in_the_docstrings_are_true() -> None:
    found = doctest.testmod(distance)
    assert found.failed == 0
    assert found.attempted >= 1


@given(rows=st.integers(2, 12), others=st.integers(2, 12), seed=st.integers(0, 999))
def test_it_is_the_sum_over_all_pairs_of_different_rows(rows: int, others: int, seed: int) -> None:
    x, y = unit_rows(rows, seed), unit_rows(others, seed + 1000)
    own = (x @ x.T).sum() - np.trace(x @ x.T)
    theirs = (y @ y.T).sum() - np.trace(y @ y.T)
    expected = own / (rows * (rows - 1)) + theirs / (others * (others - 1)) - 2 * (x @ y.T).mean()
    found = squared_distance(x.mean(axis=0), rows, y.mean(axis=0), others)
    assert found == pytest.approx(expected, abs=1e-12)


def test_many_means_are_compared_with_one_at_once() -> None:
    y = unit_rows(9, 1)
    means = np.stack([unit_rows(5, seed).mean(axis=0) for seed in range(4)])
    each = [squared_distance(mean, 5, y.mean(axis=0), 9) for mean in means]
    assert squared_distance(means, 5, y.mean(axis=0), 9) == pytest.approx(each)


def test_the_noise_of_a_mean_is_what_its_rows_vary_by() -> None:
    x = unit_rows(40, 3)
    variance = x.var(axis=0, ddof=1).sum() / 40
    assert own_noise(x.mean(axis=0), 40) == pytest.approx(variance)


def test_a_mean_of_fixed_point_sums_is_in_units_of_the_scale() -> None:
    assert mean_of(np.array([600, -300]), 3, 100.0).tolist() == [2.0, -1.0]
