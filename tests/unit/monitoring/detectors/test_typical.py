import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitoring.detectors.typical import STAKES, tails_of, tails_shown


def some(count: int = 400, seed: int = 0) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    return np.random.default_rng(seed).integers(0, 10_000, count).astype(np.float32)


def test_a_row_nearer_than_most_is_in_no_tail() -> None:
    tails = tails_of(some(), 0.0)
    assert tails_shown(np.array([9_999], np.float32), tails.limits).tolist() == [0]


def test_a_row_farther_than_all_of_the_reference_is_in_every_tail() -> None:
    tails = tails_of(some(), 0.0)
    assert tails_shown(np.array([-1], np.float32), tails.limits).tolist() == [len(tails.limits)]


@given(st.lists(st.integers(0, 30), min_size=50, max_size=80))
def test_ties_are_counted_as_the_bounds_count_them(values: list[int]) -> None:
    nearness = np.array(values, dtype=np.float32)
    tails = tails_of(nearness, 0.0)
    shown = tails_shown(nearness, tails.limits)
    for number, limit in enumerate(tails.limits):
        assert (shown >= len(tails.limits) - number).sum() == (nearness < limit).sum()


def test_bets_never_gain_in_the_mean_on_the_reference_itself() -> None:
    nearness = some(1000)
    tails = tails_of(nearness, 0.0)
    paid = tails.factors[tails_shown(nearness, tails.limits)]
    assert paid.mean(axis=0).max() < 1


def test_nor_when_the_tolerated_share_of_rows_is_farther_than_anything() -> None:
    nearness = some(1000)
    tails = tails_of(nearness, 0.1)
    shown = tails_shown(nearness, tails.limits)
    shown[::10] = len(tails.limits)
    assert tails.factors[shown].mean(axis=0).max() < 1


def test_a_smaller_reference_pays_less_for_the_same_row() -> None:
    few, many = tails_of(some(100), 0.0), tails_of(some(4000), 0.0)
    assert few.factors.max() < many.factors.max()


def test_the_bounds_hold_for_fresh_rows_as_often_as_stated() -> None:
    """Of 200 references, about 10 may have a bound that is too low; they have far fewer."""
    stake = STAKES[0]
    failed = 0
    for seed in range(200):
        tails = tails_of(some(200, seed), 0.0)
        # what a bet pays on an event tells the bound: 1 - s + s / bound
        bounds = stake / (tails.factors[-1, :: len(STAKES)] - 1 + stake)
        failed += bool((tails.limits / 10_000 > bounds + 1e-9).any())
    assert failed <= 10


def test_rows_that_are_all_alike_leave_one_limit() -> None:
    tails = tails_of(np.full(60, 5.0, np.float32), 0.0)
    assert tails.limits.tolist() == [5.0]
    assert tails_shown(np.array([5, 4], np.float32), tails.limits).tolist() == [0, 1]
    assert tails.factors[1].max() == pytest.approx(0.1 + 0.9 / (1 - 0.05 ** (1 / 60)), rel=1e-6)
