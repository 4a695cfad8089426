import doctest
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chi2

from monitoring.detectors import effect
from monitoring.detectors.effect import Uncertainty, interval, noise_quantile
from monitoring.detectors.spread import spread_of
from service.measures import Z95


def uncertainty(
    noise: float = 0.01, sampling: float = 1e-4, rows: float = 200, foreign: float = 0.1
) -> Uncertainty:
    return Uncertainty(-noise, noise, sampling, rows, foreign)


def test_the_numbers_in_the_docstrings_are_true() -> None:
    found = doctest.testmod(effect)
    assert found.failed == 0
    assert found.attempted >= 2


@given(
    statistic=st.floats(-0.05, 1.5),
    noise=st.floats(0, 0.1),
    sampling=st.floats(0, 0.01),
    rows=st.floats(1, 1e5),
    foreign=st.floats(0, 1),
)
def test_an_interval_holds_its_statistic(
    statistic: float, noise: float, sampling: float, rows: float, foreign: float
) -> None:
    lower, upper = interval(statistic, uncertainty(noise, sampling, rows, foreign))
    assert lower <= statistic + 1e-12
    assert upper >= max(statistic, 0) - 1e-12
    assert math.isfinite(upper)


def test_without_drift_the_interval_reaches_below_0_and_its_noise_above() -> None:
    lower, upper = interval(0.0, uncertainty(sampling=0, rows=math.inf))
    assert (lower, upper) == pytest.approx((-0.01, 0.01))


@pytest.mark.parametrize(
    "wider",
    [uncertainty(noise=0.02), uncertainty(sampling=1e-3), uncertainty(rows=50)],
    ids=["noise", "sampling", "fewer rows"],
)
def test_more_uncertainty_makes_it_longer_on_both_sides(wider: Uncertainty) -> None:
    lower, upper = interval(0.05, uncertainty())
    wider_lower, wider_upper = interval(0.05, wider)
    assert wider_lower < lower < 0.05 < upper < wider_upper


def test_its_bounds_are_where_the_statistic_stops_being_plausible() -> None:
    error = uncertainty(foreign=0.2)
    lower, upper = interval(0.06, error)
    for bound in (lower, upper):
        share = math.sqrt(bound / 0.4)
        mixing = (1 - share) * math.sqrt(bound * 0.4) / 200
        variance = 4 * bound * (1e-4 + mixing)
        assert abs(0.06 - bound) == pytest.approx(math.sqrt(1e-4 + Z95**2 * variance), rel=1e-6)


@pytest.mark.parametrize("freedom", [1, 3, 10, 100])
@pytest.mark.parametrize("share", [0.025, 0.975])
def test_noise_of_equal_directions_is_chi_square(freedom: int, share: float) -> None:
    spread = spread_of(np.eye(freedom))
    normal = Z95 if share > 0.5 else -Z95
    expected = chi2.ppf(share, freedom) - freedom
    assert noise_quantile(spread, normal) == pytest.approx(expected, abs=0.1 * math.sqrt(freedom))


def test_noise_of_unequal_directions_has_its_simulated_quantiles() -> None:
    values = np.array([4.0, 2.0, 1.0, 1.0, 0.5, 0.5, 0.25])
    squares = np.random.default_rng(0).standard_normal((200_000, 7)) ** 2
    simulated = np.quantile((squares - 1) @ values, [0.025, 0.975])
    spread = spread_of(np.diag(values))
    found = [noise_quantile(spread, normal) for normal in (-Z95, Z95)]
    assert found == pytest.approx(simulated, rel=0.12)


def test_no_spread_makes_no_noise() -> None:
    assert noise_quantile(spread_of(np.zeros((3, 3))), Z95) == 0
