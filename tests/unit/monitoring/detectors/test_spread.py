import numpy as np
import pytest
from numpy.typing import NDArray

from monitoring.detectors.spread import RANK, spread_of


def covariance_of(values: NDArray[np.float64]) -> NDArray[np.float64]:
    size = len(values)
    basis, _ = np.linalg.qr(np.random.default_rng(4).standard_normal((size, size)))
    covariance: NDArray[np.float64] = (basis * values) @ basis.T
    return covariance


def test_a_covariance_of_low_rank_is_kept_whole() -> None:
    covariance = covariance_of(np.array([5.0, 3.0, 2.0, 1.0] + [0.0] * 60))
    spread = spread_of(covariance)
    for direction in np.random.default_rng(0).standard_normal((5, 64)):
        expected = direction @ covariance @ direction / (direction @ direction)
        assert spread.along(direction) == pytest.approx(expected, rel=2e-3)


def test_what_is_not_kept_counts_as_its_mean_variance() -> None:
    values = np.concatenate([np.linspace(30, 10, RANK), np.full(84, 0.5)])
    covariance = covariance_of(values)
    spread = spread_of(covariance)
    assert spread.values == pytest.approx(values[:RANK], rel=1e-3)
    assert spread.rest == pytest.approx(0.5, rel=1e-2)
    direction = np.random.default_rng(1).standard_normal(100)
    expected = direction @ covariance @ direction / (direction @ direction)
    assert spread.along(direction) == pytest.approx(expected, rel=1e-2)


def test_the_powers_are_those_of_the_eigenvalues() -> None:
    values = np.linspace(4, 1, 12)
    spread = spread_of(covariance_of(values))
    assert spread.trace == pytest.approx(values.sum())
    assert spread.trace_square == pytest.approx((values**2).sum())
    assert spread.trace_cube == pytest.approx((values**3).sum())


def test_no_direction_has_the_variance_of_noise_and_no_spread_none() -> None:
    spread = spread_of(covariance_of(np.array([3.0, 1.0])))
    assert spread.along(np.zeros(2)) == pytest.approx((9 + 1) / (3 + 1))
    nothing = spread_of(np.zeros((40, 40)))
    assert nothing.along(np.ones(40)) == 0
    assert nothing.along(np.zeros(40)) == 0
