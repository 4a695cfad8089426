import doctest
import math

import pytest
from scipy.stats import chi2, norm

from monitoring.detectors import tails


def test_the_numbers_in_the_docstrings_are_true() -> None:
    found = doctest.testmod(tails)
    assert (found.failed, found.attempted) == (0, 2)


@pytest.mark.parametrize("freedom", [0.5, 1, 2, 3, 7, 20, 76, 255, 5000])
@pytest.mark.parametrize("share", [1e-300, 1e-12, 1e-3, 0.05, 0.5, 0.9, 0.999])
def test_the_chi_square_s_tail_is_scipy_s(freedom: float, share: float) -> None:
    statistic = float(chi2.isf(share, freedom))
    found = tails.chi_square_tail(statistic, freedom)
    assert found == pytest.approx(float(chi2.sf(statistic, freedom)), rel=1e-9)


@pytest.mark.parametrize("score", [0.0, 0.5, -1.0, 3.0, -8.0, 30.0])
def test_the_normal_tail_is_scipy_s_on_both_sides(score: float) -> None:
    assert tails.normal_tail(score) == pytest.approx(2 * float(norm.sf(abs(score))), rel=1e-12)


def test_nothing_above_0_is_rarer_than_everything() -> None:
    assert tails.chi_square_tail(0.0, 3) == 1.0
    assert tails.chi_square_tail(-1.0, 3) == 1.0
    assert 0.0 <= tails.chi_square_tail(1e6, 2) < 1e-300
    assert math.isfinite(tails.chi_square_tail(1e-300, 2))


def test_a_chi_square_of_no_degrees_is_refused() -> None:
    with pytest.raises(ValueError, match="0 degrees"):
        tails.chi_square_tail(1.0, 0)
