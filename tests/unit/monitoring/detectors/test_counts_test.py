import doctest
import math

import numpy as np
import pytest
from scipy.stats import chi2_contingency

from monitoring.detectors import counts_test as module
from monitoring.detectors.counts_test import counts_test
from monitoring.rows import IntArray


def counts(*numbers: int) -> IntArray:
    return np.array(numbers, dtype=np.int64)


def test_the_numbers_in_the_docstrings_are_true() -> None:
    assert doctest.testmod(module).failed == 0


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (counts(30, 70), counts(45, 55)),
        (counts(100, 200, 300), counts(60, 60, 90)),
        (counts(50, 50, 50, 50), counts(10, 20, 30, 40)),
    ],
)
def test_without_pooling_g_is_scipy_s_and_p_is_close(first: IntArray, second: IntArray) -> None:
    expected = chi2_contingency([first, second], lambda_="log-likelihood", correction=False)
    found = counts_test(first, second)
    assert found.statistic == pytest.approx(expected.statistic)
    assert found.pvalue == pytest.approx(expected.pvalue, rel=0.15)
    assert found.pvalue > expected.pvalue  # Williams' correction makes it more careful
    assert found.cells == len(first)


@pytest.mark.parametrize(("classes", "rows"), [(2, 50), (5, 50), (77, 500), (150, 500)])
def test_alike_samples_are_flagged_at_the_level(classes: int, rows: int) -> None:
    random = np.random.default_rng(classes)
    flagged = []
    for _ in range(30):
        shares = random.dirichlet(np.ones(classes))
        for _ in range(40):
            first, second = random.multinomial(1000, shares), random.multinomial(rows, shares)
            flagged.append(counts_test(first, second).pvalue < 0.05)
    assert 0.02 < np.mean(flagged) < 0.07


def test_rare_classes_are_pooled_into_many_groups_rather_than_one() -> None:
    flat = np.full(150, 10)
    found = counts_test(flat, np.full(150, 3))
    assert found.cells == 75  # of two classes each, where the smaller sample expects 6
    moved = np.where(np.arange(150) < 75, 1, 5)
    assert counts_test(flat, moved).pvalue < 1e-4


def test_pooling_neighbours_keeps_lengths_apart() -> None:
    short_and_long = np.tile(counts(4, 0, 4, 0), 10)
    neither = np.concatenate([np.full(20, 4), np.zeros(20, dtype=np.int64)])
    assert counts_test(short_and_long, neither, ordered=True).pvalue < 1e-6


def test_a_class_that_comes_up_new_is_seen() -> None:
    assert counts_test(counts(500, 500, 0), counts(45, 40, 15)).pvalue < 1e-6


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (counts(0, 0), counts(3, 4)),
        (counts(3, 4), counts(0, 0)),
        (counts(100, 0), counts(50, 0)),
        (counts(100, 1), counts(50, 0)),
        (counts(2, 2), counts(2, 2)),
    ],
)
def test_where_nothing_can_be_compared_nothing_is_said(first: IntArray, second: IntArray) -> None:
    found = counts_test(first, second)
    assert math.isnan(found.statistic)
    assert math.isnan(found.pvalue)
    assert found.cells == 0


def test_the_same_shares_give_no_evidence() -> None:
    found = counts_test(counts(100, 300), counts(50, 150))
    assert found.statistic == pytest.approx(0.0, abs=1e-9)
    assert found.pvalue == pytest.approx(1.0)
