import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import beta, binom

from monitoring.detectors.share_bound import upper_share


@given(st.integers(1, 5000), st.data(), st.sampled_from([0.2, 0.05, 0.01, 1e-4]))
def test_the_bound_is_clopper_and_pearsons(rows: int, data: st.DataObject, error: float) -> None:
    hits = data.draw(st.integers(0, rows - 1))
    assert upper_share(hits, rows, error) == pytest.approx(
        beta.ppf(1 - error, hits + 1, rows - hits), rel=1e-7
    )


def test_a_share_above_the_bound_shows_so_few_hits_as_seldom_as_stated() -> None:
    bound = upper_share(7, 300, 0.03)
    assert binom.cdf(7, 300, bound) == pytest.approx(0.03, rel=1e-6)


def test_where_every_row_hit_nothing_is_excluded() -> None:
    assert upper_share(5, 5, 0.05) == 1.0


def test_more_hits_need_a_higher_bound() -> None:
    bounds = [upper_share(hits, 40, 0.05) for hits in range(41)]
    assert (np.diff(bounds) > 0).all()


@pytest.mark.parametrize(("hits", "rows"), [(-1, 10), (11, 10), (0, 0)])
def test_impossible_counts_are_refused(hits: int, rows: int) -> None:
    with pytest.raises(ValueError, match=f"{hits} hits in {rows} rows"):
        upper_share(hits, rows, 0.05)
