import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitoring.detectors.prediction_powered import helped_share
from service import measures
from service.measures import Estimate

Floats = npt.NDArray[np.float64]


def width(estimate: Estimate) -> float:
    return estimate.upper - estimate.lower


def test_labels_of_all_rows_need_no_help() -> None:
    random = np.random.default_rng(0)
    expected = random.uniform(0.2, 1, 100)
    right = random.random(100) < expected
    found = helped_share(right, expected, np.ones(100), float(expected.mean()), 100)
    assert found == measures.share_right(right)


def test_the_estimate_is_that_of_the_formula() -> None:
    random = np.random.default_rng(1)
    every = random.beta(0.6, 0.4, 1000)
    expected, right = every[:80], random.random(80) < every[:80] * 0.9
    found = helped_share(right, expected, np.ones(80), float(every.mean()), 1000)
    slope = np.cov(expected, right)[0, 1] / np.var(expected, ddof=1)
    assert 0.5 < slope < 1
    by_hand = right.mean() + slope * (every.mean() - expected.mean())
    assert found.value == pytest.approx(by_hand)
    alone = measures.share_right(right)
    rest = np.var(right - slope * expected) * 79 / 78
    ratio = rest / np.var(right) * (1 - 80 / 1000) + 80 / 1000
    assert width(found) == pytest.approx(width(alone) * ratio**0.5, rel=0.02)


def test_predictions_that_say_nothing_are_not_listened_to() -> None:
    right = np.arange(100) % 3 != 0
    alone = measures.share_right(right)
    constant = helped_share(right, np.full(100, 0.8), np.ones(100), 0.8, 1000)
    assert constant == alone
    opposed = helped_share(right, np.where(right, 0.2, 0.9), np.ones(100), 0.5, 1000)
    assert opposed == alone
    all_right = np.ones(100, dtype=np.bool_)
    assert helped_share(all_right, np.linspace(0.5, 1, 100), np.ones(100), 0.7, 1000) == (
        measures.share_right(all_right)
    )


def test_two_labels_are_not_enough() -> None:
    two = np.array([True, False])
    assert not helped_share(two, np.array([0.9, 0.2]), np.ones(2), 0.5, 100).is_defined


@pytest.mark.parametrize("flaw", [0.0, 0.15])
def test_intervals_are_shorter_than_of_labels_alone_and_cover(flaw: float) -> None:
    random = np.random.default_rng(2)
    truth = 0.6 - flaw * 0.6  # of beta(0.6, 0.4), whose mean is 0.6
    covered, ratios = [], []
    for _ in range(600):
        every = random.beta(0.6, 0.4, 500)
        right = random.random(500) < every * (1 - flaw)
        found = helped_share(right[:60], every[:60], np.ones(60), float(every.mean()), 500)
        covered.append(found.lower <= truth <= found.upper)
        ratios.append(width(found) / width(measures.share_right(right[:60])))
    assert np.mean(covered) >= 0.93
    assert np.mean(ratios) < 0.9
    assert max(ratios) <= 1 + 1e-9


@given(st.integers(4, 60), st.integers(0, 1000), st.integers(0, 2**32))
def test_help_never_makes_an_interval_longer(labels: int, more: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    expected = random.random(labels)
    right = random.random(labels) < random.random()
    weights = random.choice([1.0, 1.5], labels)
    found = helped_share(right, expected, weights, float(random.random()), labels + more)
    assert 0 <= found.lower <= found.value <= found.upper <= 1
    assert width(found) <= width(measures.share_right(right, weights)) + 1e-12
