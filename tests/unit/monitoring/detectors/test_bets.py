import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitoring.detectors.bets import factors, with_tolerance

shares = st.lists(st.floats(0.001, 0.99), min_size=1, max_size=5).map(sorted)
stakes = st.lists(st.floats(0.01, 0.99), min_size=1, max_size=4)


@given(shares, stakes, st.data())
def test_no_bet_gains_in_the_mean_while_events_are_no_likelier_than_their_bounds(
    bounds: list[float], staked: list[float], data: st.DataObject
) -> None:
    likely = [data.draw(st.floats(0, bound)) for bound in bounds]
    likely = np.maximum.accumulate(likely).tolist()  # each event implies those after it
    lines = np.diff([0.0, *likely, 1.0])[::-1]  # probability of showing 0, 1, ... events
    means = lines @ factors(bounds, staked)
    assert (means <= 1 + 1e-9).all()


def test_a_bet_at_its_bound_is_fair() -> None:
    paid = factors([0.2], [0.5])
    assert (0.8 * paid[0] + 0.2 * paid[1]).tolist() == pytest.approx([1.0])


def test_a_row_that_shows_some_events_shows_the_commonest() -> None:
    paid = factors([0.1, 0.5], [0.5])
    assert paid.tolist() == [[0.5, 0.5], [0.5, 1.5], [5.5, 1.5]]


def test_a_bet_never_loses_everything() -> None:
    assert (factors([0.01, 0.3], [0.12, 0.9]) > 0).all()


def test_tolerated_rows_count_as_events() -> None:
    assert with_tolerance(0.2, 0.1) == pytest.approx(0.9 * 0.2 + 0.1)
    assert with_tolerance(0.2, 0.0) == 0.2
