import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitoring.detectors.budget import WEEK_US, Budget, level, run_length, run_lengths

DAY_US = WEEK_US // 7
times = st.lists(st.integers(0, 3 * WEEK_US), min_size=1, max_size=60).map(sorted)


def spent(time_us: list[int], latest: int | None, alarms: float, detectors: int = 1) -> float:
    lengths, _ = run_lengths(
        np.array(time_us, dtype=np.int64), latest, alarms_per_week=alarms, detectors=detectors
    )
    return float((1 / lengths).sum())


def test_the_parts_of_the_budget_add_up_to_the_knob() -> None:
    budget = Budget.of(2.0)
    assert budget.watches + budget.fleet + budget.labels == pytest.approx(2.0)
    assert min(budget.watches, budget.fleet, budget.labels) > 0


@pytest.mark.parametrize("knob", [0.0, -1.0, math.inf, math.nan])
def test_a_knob_that_is_no_rate_is_refused(knob: float) -> None:
    with pytest.raises(ValueError, match="false alarms a week"):
        Budget.of(knob)


def test_at_even_traffic_the_run_length_is_the_traffic_of_the_weeks_between_alarms() -> None:
    steady = np.arange(1, 11, dtype=np.int64) * (WEEK_US // 1000)
    lengths, latest = run_lengths(steady, 0, alarms_per_week=0.5, detectors=20)
    assert lengths == pytest.approx(1000 * 20 / 0.5)
    assert latest == steady[-1]
    assert lengths[0] == pytest.approx(
        run_length(alarms_per_week=0.5, detectors=20, events_per_week=1000)
    )


@given(times, st.floats(0.01, 10), st.integers(1, 1000))
def test_no_traffic_spends_more_than_the_time_that_passed(
    time_us: list[int], alarms: float, detectors: int
) -> None:
    weeks = (time_us[-1] - time_us[0]) / WEEK_US
    found = spent(time_us, None, alarms, detectors)
    assert found <= weeks * alarms / detectors * (1 + 1e-9)


@given(times, st.data())
def test_it_does_not_matter_how_rows_are_split_over_calls(
    time_us: list[int], data: st.DataObject
) -> None:
    cut = data.draw(st.integers(0, len(time_us)))
    every = np.array(time_us, dtype=np.int64)
    whole, end = run_lengths(every, None, alarms_per_week=1.0)
    early, latest = run_lengths(every[:cut], None, alarms_per_week=1.0)
    late, last = run_lengths(every[cut:], latest, alarms_per_week=1.0)
    assert np.array_equal(whole, np.concatenate([early, late]))
    assert last == end


def test_the_first_row_and_rows_of_one_moment_spend_nothing() -> None:
    lengths, _ = run_lengths(np.array([50, 50, 60]), None, alarms_per_week=1.0)
    assert lengths.tolist()[:2] == [math.inf, math.inf]
    assert lengths[2] == pytest.approx(WEEK_US / 10)


def test_rows_that_come_late_spend_nothing() -> None:
    lengths, latest = run_lengths(np.array([100, 70, 130]), 0, alarms_per_week=1.0)
    assert lengths[1] == math.inf
    assert lengths[2] == pytest.approx(WEEK_US / 30)
    assert latest == 130


def test_after_a_long_silence_a_row_spends_a_day_at_most() -> None:
    assert spent([WEEK_US], 0, 1.0) == pytest.approx(1 / 7)


def test_a_clock_that_was_far_ahead_does_not_silence_the_watch() -> None:
    later = [9 * WEEK_US, WEEK_US, WEEK_US + 1000]
    lengths, latest = run_lengths(np.array(later), WEEK_US - 1000, alarms_per_week=1.0)
    assert latest == later[-1]
    assert lengths[1] == math.inf
    assert lengths[2] == pytest.approx(WEEK_US / 1000)


def test_no_rows_change_nothing() -> None:
    lengths, latest = run_lengths(np.zeros(0, np.int64), 42, alarms_per_week=1.0)
    assert (len(lengths), latest) == (0, 42)


def test_without_traffic_there_is_no_run_length() -> None:
    assert run_length(alarms_per_week=1.0, detectors=3, events_per_week=0) is None


def test_decisions_share_the_budget_as_a_level() -> None:
    found = level(alarms_per_week=0.2, detectors=10, decisions_per_week=2000)
    assert found * 10 * 2000 == pytest.approx(0.2)
    assert level(alarms_per_week=5.0, detectors=1, decisions_per_week=1) == 1.0


@pytest.mark.parametrize(("detectors", "decisions"), [(0, 10.0), (1, 0.0), (1, math.nan)])
def test_a_level_of_no_decisions_is_refused(detectors: int, decisions: float) -> None:
    with pytest.raises(ValueError, match="decisions a week"):
        level(alarms_per_week=1.0, detectors=detectors, decisions_per_week=decisions)
