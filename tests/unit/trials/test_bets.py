"""The bets: on average nobody gains where the canary is no worse, whatever else holds."""

import doctest
import math
from types import ModuleType

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.registry import draw as registry_draw
from service.trials import bursts, intervals, labels, pairs, wealth
from service.trials.odds import ODDS
from service.trials.wealth import Bettors, Wealth

SHARES = st.floats(0.0, 1.0)


@pytest.mark.parametrize("module", [bursts, intervals, labels, pairs, wealth, registry_draw])
def test_the_examples_are_right(module: ModuleType) -> None:
    found = doctest.testmod(module)
    assert (found.failed, found.attempted > 0) == (0, True)


LAWS = st.lists(st.floats(0.001, 1.0), min_size=4, max_size=4)


@given(law=LAWS, wrong=st.floats(0.01, 1.0), right=st.floats(0.0, 1.0))
def test_by_pairs_nobody_gains_where_the_canary_is_wrong_no_more_often_whatever_is_labelled(
    law: list[float], wrong: float, right: float
) -> None:
    """Both ways, with chances of a label by whether the answer that was shown is right."""
    both, canary, live, neither = np.array(law) / sum(law)
    canary, live = sorted((canary, live))  # however their errors hang together
    # The next label is of a text that either version was shown for, as often the one as the other.
    shown = np.array(
        [
            *(wrong * both, wrong * canary, right * live, right * neither),  # the canary
            *(wrong * both, right * canary, wrong * live, right * neither),  # live
        ]
    )
    mean = np.zeros(len(pairs.BETTORS))
    for chance, behind in zip(shown / shown.sum(), (0.0, 1.0, -1.0, 0.0) * 2, strict=True):
        mean += chance * np.exp(pairs.log_gains(behind))
    assert (mean <= 1.0 + 1e-9).all()


@given(law=LAWS, wrong=st.floats(0.01, 1.0), right=st.floats(0.0, 1.0), common=st.floats(1.0, 9.0))
def test_by_weighed_pairs_nobody_gains_where_one_version_has_more_of_the_requests(
    law: list[float], wrong: float, right: float, common: float
) -> None:
    both, canary, live, neither = np.array(law) / sum(law)
    canary, live = sorted((canary, live))
    of_live = np.array([wrong * both, right * canary, wrong * live, right * neither])
    of_canary = common * np.array([wrong * both, wrong * canary, right * live, right * neither])
    whole = of_live.sum() + of_canary.sum()
    mean = np.zeros(len(pairs.BETTORS))
    for chances, weight in ((of_live, 1.0), (of_canary, 1.0 / common)):
        for chance, behind in zip(chances / whole, (0.0, 1.0, -1.0, 0.0), strict=True):
            mean += chance * np.exp(pairs.log_gains(weight * behind))
    assert (mean <= 1.0 + 1e-9).all()


def test_by_the_canarys_own_answers_alone_complaints_would_gain() -> None:
    assert (np.exp(pairs.log_gains(1.0)) > 1.0).all()


@given(law=LAWS)
def test_by_drawn_pairs_nobody_gains_where_the_watched_one_is_wrong_no_more_often(
    law: list[float],
) -> None:
    both, canary, live, neither = np.array(law) / sum(law)
    canary, live = sorted((canary, live))
    mean = (both + neither) * np.exp(pairs.log_gains(0.0))
    mean += canary * np.exp(pairs.log_gains(1.0)) + live * np.exp(pairs.log_gains(-1.0))
    assert (mean <= 1.0 + 1e-9).all()


@given(rows=st.integers(1, 50), apart=st.floats(0.0, 0.5))
def test_by_pairs_nobody_gains_where_requests_are_of_domains_whose_differences_cancel(
    rows: int, apart: float
) -> None:
    mean = np.zeros(len(pairs.BETTORS))
    for worse, better in ((apart, 0.0), (0.0, apart)):  # the whole request is of one domain
        for lost in range(rows + 1):
            chance = _binomial(rows, lost, max(worse, better))
            behind = lost / rows if worse else -lost / rows
            mean += 0.5 * chance * np.exp(pairs.log_gains(behind))
    assert (mean <= 1.0 + 1e-9).all()


@given(canary=st.integers(1, 30), live=st.integers(1, 30), bad=st.integers(1, 12))
def test_by_bursts_nobody_gains_when_each_bad_request_is_anybodys(
    canary: int, live: int, bad: int
) -> None:
    bad = min(bad, canary + live)
    mean = np.zeros(len(ODDS))
    for mine in range(max(0, bad - live), min(bad, canary) + 1):
        ways = math.comb(canary, mine) * math.comb(live, bad - mine)
        chance = ways / math.comb(canary + live, bad)
        mean += chance * np.exp(bursts.log_gains(mine, canary, bad - mine, live))
    assert np.allclose(mean, 1.0)


@given(canary=st.integers(1, 30), live=st.integers(1, 30))
def test_by_bursts_nobody_gains_when_a_burst_falls_on_one_version_as_a_whole(
    canary: int, live: int
) -> None:
    share = canary / (canary + live)
    hit, missed = (
        np.exp(bursts.log_gains(*counts)) for counts in ((canary, canary, 0, live),
                                                         (0, canary, live, live))
    )  # fmt: skip
    assert np.allclose(share * hit + (1 - share) * missed, 1.0)


def test_a_burst_counts_once_however_large_it_is() -> None:
    assert np.allclose(bursts.log_gains(1, 50, 0, 450), bursts.log_gains(50, 50, 0, 450))


def test_of_a_span_without_bad_requests_or_without_one_version_nothing_is_learned() -> None:
    for counts in ((0, 5, 0, 50), (5, 5, 0, 0), (0, 0, 7, 50)):
        assert not bursts.log_gains(*counts).any()


def test_arrays_of_trials_are_bet_on_as_single_ones_are() -> None:
    bad, whole = np.array([0.0, 2.0, 5.0]), np.array([9.0, 9.0, 9.0])
    together = bursts.log_gains(bad, whole, np.array([1.0, 0.0, 3.0]), np.array([90.0, 90.0, 90.0]))
    for row, (mine, others) in enumerate(((0, 1), (2, 0), (5, 3))):
        assert np.allclose(together[row], bursts.log_gains(mine, 9, others, 90))
    rows = pairs.log_gains(np.array([1.0, -0.25]))
    assert np.allclose(rows[1], pairs.log_gains(-0.25))


def test_wealth_reaches_a_hundred_in_few_of_many_fair_games() -> None:
    draw = np.random.default_rng(1)
    many = Wealth(pairs.BETTORS, (2_000,))
    reached = np.zeros(2_000, np.bool_)
    for _ in range(400):
        wrong = (draw.random((2_000, 2)) < 0.3).astype(np.float64)
        many.bet(pairs.log_gains(wrong[:, 0] - wrong[:, 1]))
        reached |= many.log10() >= 2.0
    assert 0 < reached.sum() <= 20


def test_the_parts_of_a_purse_are_a_whole() -> None:
    with pytest.raises(AssertionError, match="make 1"):
        Bettors((0.5, 0.4))


def test_an_interval_of_few_rows_is_wide_and_inside_of_what_can_be() -> None:
    found = intervals.of_shares(0, 30, 30, 30)
    assert (found.point, found.lower) == (-1.0, -1.0)
    assert found.upper > -0.9
    found = intervals.of_pairs([(0, 0, 30)])
    assert found.lower < found.point == 0.0 < found.upper


def test_intervals_hold_whenever_one_looks() -> None:
    draw = np.random.default_rng(3)
    missed = 0
    for _ in range(200):
        signs = draw.choice([1, 0, -1], 1_500, p=[0.1, 0.7, 0.2])
        gained, lost = np.cumsum(signs == 1), np.cumsum(signs == -1)
        for rows in range(30, 1_500, 30):
            found = intervals.of_pairs([(int(gained[rows - 1]), int(lost[rows - 1]), rows)])
            if not found.lower <= -0.1 <= found.upper:
                missed += 1
                break
    assert missed <= 10


def test_the_interval_of_two_tables_weighs_them_alike_and_holds_whenever_one_looks() -> None:
    draw = np.random.default_rng(4)
    missed = 0
    for _ in range(200):
        tables = [
            np.cumsum(draw.choice([1, 0, -1], 800, p=law)[:, None] == [1, -1], axis=0)
            for law in ([0.2, 0.7, 0.1], [0.0, 0.6, 0.4])
        ]
        for rows in range(30, 800, 30):
            counts = [(int(one[rows - 1, 0]), int(one[rows - 1, 1]), rows) for one in tables]
            found = intervals.of_pairs(counts)
            if not found.lower <= -0.15 <= found.upper:
                missed += 1
                break
    assert missed <= 10
    found = intervals.of_pairs([(10, 0, 100), (0, 300, 900)])
    assert found.point == pytest.approx((0.1 - 1 / 3) / 2)
    alike = intervals.of_pairs([(50, 100, 1_000)] * 2)
    assert alike.upper == pytest.approx(intervals.of_pairs([(100, 200, 2_000)]).upper, abs=1e-3)


def _binomial(rows: int, count: int, share: float) -> float:
    return math.comb(rows, count) * share**count * (1 - share) ** (rows - count)
