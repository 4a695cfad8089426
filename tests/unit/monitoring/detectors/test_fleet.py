from collections.abc import Mapping

import numpy as np
import pytest

from monitoring import codec
from monitoring.detectors import fleet
from monitoring.detectors.budget import WEEK_US
from monitoring.detectors.fleet import State, reading, reported, update

TICKS = 10_000.0  # run length
TICK_US = 60 * 10**6
FAR, NEAR = 1e6, 0.5  # what a tenant reports that moved, and one that did not


def names(tenants: int) -> list[str]:
    return [f"t{number}" for number in range(tenants)]


def reports(
    tenants: int, moved: int = 0, healthy: float = NEAR, far: float = FAR
) -> dict[str, float]:
    return {name: far if n < moved else healthy for n, name in enumerate(names(tenants))}


def tick(
    state: State,
    said: Mapping[str, float],
    tenants: int,
    run_length: float = TICKS,
    step_us: int = TICK_US,
) -> bool:
    """Take one tick in, `step_us` after the last one."""
    return update(state, said, names(tenants), state.ticks * step_us, run_length)


def ticks_to_alarm(
    tenants: int, moved: int, most: int = 300, healthy: float = NEAR, far: float = FAR
) -> int | None:
    state = State.begin()
    for number in range(most):
        if tick(state, reports(tenants, moved, healthy, far), tenants):
            return number + 1
    return None


def in_alarm(tenants: int = 20) -> State:
    state = State.begin()
    while not tick(state, reports(tenants, tenants), tenants):
        pass
    return state


@pytest.mark.parametrize("tenants", [3, 4, 6, 8, 40, 1000])
def test_where_everyone_moved_far_there_is_an_alarm_at_once(tenants: int) -> None:
    assert ticks_to_alarm(tenants, tenants) == 1


@pytest.mark.parametrize("tenants", [3, 6, 40, 1000])
def test_where_everyone_moved_a_little_evidence_gathers_until_there_is_one(tenants: int) -> None:
    found = ticks_to_alarm(tenants, tenants, far=1.5)
    assert found is not None
    assert 10 < found < 40


@pytest.mark.parametrize(("tenants", "moved"), [(4, 3), (6, 4), (12, 6), (50, 25), (1000, 480)])
def test_so_there_is_where_about_half_moved(tenants: int, moved: int) -> None:
    assert ticks_to_alarm(tenants, moved) is not None


@pytest.mark.parametrize(
    ("tenants", "moved"),
    [(3, 1), (3, 2), (5, 2), (6, 2), (10, 2), (12, 4), (40, 8), (40, 14), (1000, 200), (1000, 300)],
)
def test_a_few_tenants_never_raise_it_even_if_the_rest_are_as_bad_as_healthy_ones_can_be(
    tenants: int, moved: int
) -> None:
    said = reports(tenants, moved, healthy=1.0, far=1e12)
    state = State.begin()
    for _ in range(100):
        assert not tick(state, said, tenants)
    assert state.total is not None
    assert state.total < 1


def test_false_alarms_are_rarer_than_the_run_length_whatever_healthy_tenants_report() -> None:
    """The worst there is: a mean of just 1, all tenants together, as seldom and as high."""
    random, ticks, raised = np.random.default_rng(0), 40_000, 0
    state = State.begin()
    for _ in range(ticks):
        together = 20.0 if random.random() < 0.05 else 0.0
        raised += tick(state, dict.fromkeys(names(8), together), 8, 200.0)
    assert 0 < raised <= ticks / 200


def test_nor_do_two_that_moved_add_to_them() -> None:
    random, ticks, raised = np.random.default_rng(1), 40_000, 0
    state = State.begin()
    for _ in range(ticks):
        together = 20.0 if random.random() < 0.05 else 0.0
        said = dict.fromkeys(names(8), together) | {"t0": FAR, "t1": FAR}
        # In ticks of no length nobody is set apart.
        raised += tick(state, said, 8, 200.0, step_us=0)
    assert 0 < raised <= ticks / 200


def test_tenants_with_much_traffic_do_not_speak_for_all() -> None:
    state = State.begin()
    for _ in range(500):
        assert not tick(state, {"t0": FAR, "t1": FAR, "t2": FAR}, 40)


def test_tenants_may_report_at_times_of_their_own() -> None:
    state, raised = State.begin(), 0
    for number in range(24):
        raised += tick(state, {f"t{number % 12}": FAR}, 12)
    assert raised == 1


def test_what_ticks_may_spend_is_not_lost_while_nobody_reports() -> None:
    waiting, prompt = State.begin(), State.begin()
    for _ in range(3):
        tick(waiting, {}, 20, 30.0)
    tick(waiting, reports(20), 20, 30.0)
    tick(prompt, reports(20), 20, 30.0 / 4)
    assert waiting.held == pytest.approx(prompt.held)


def test_there_is_no_fleet_of_fewer_than_three() -> None:
    state = State.begin()
    for _ in range(50):
        assert not tick(state, reports(2, 2), 2)
    assert state.total is None


def test_a_tenant_that_is_not_active_any_more_is_forgotten() -> None:
    state = State.begin()
    tick(state, reports(5, 1), 5)
    tick(state, {}, 5)
    assert "t0" in state.moved_us
    update(state, {}, names(5)[1:], 2 * TICK_US, TICKS)
    assert sorted(state.held) == names(5)[1:]
    assert not state.moved_us


def test_the_alarm_lasts_while_everyone_is_far_and_is_raised_once() -> None:
    state = in_alarm()
    for _ in range(500):
        assert not tick(state, reports(20, 20), 20)
        assert state.everyone
    assert state.alarms == 1


def test_one_quiet_tick_does_not_end_it() -> None:
    state = in_alarm()
    tick(state, reports(20, 20), 20)
    tick(state, reports(20, 0, healthy=0.0), 20)
    assert state.everyone


def test_the_alarm_is_over_when_the_evidence_is_gone_and_all_begin_anew() -> None:
    state, ticks = in_alarm(), 0
    while state.everyone:
        tick(state, reports(20), 20)
        ticks += 1
    assert 3 <= ticks <= 20
    assert set(state.held.values()) == {0.0}
    assert not state.moved_us


def test_an_alarm_is_over_where_too_few_tenants_are_left() -> None:
    state = in_alarm()
    update(state, {}, names(2), TICK_US, TICKS)
    assert not state.everyone


def test_tenants_that_move_for_good_one_by_one_are_no_fleet() -> None:
    state, day_us = State.begin(), WEEK_US // 7
    for day in range(200):
        moved = min(10, day // 14)
        assert not tick(state, reports(20, moved), 20, step_us=day_us)
    assert len(state.apart_us) == 10


def test_the_others_are_still_a_fleet_when_they_move_at_once() -> None:
    state = State.begin()
    for day in range(100):
        tick(state, reports(20, min(10, day // 8)), 20, step_us=WEEK_US // 7)
    assert len(state.apart_us) == 10
    assert tick(state, reports(20, 20), 20, step_us=WEEK_US // 7)


def test_a_tenant_that_comes_back_is_counted_again_from_nothing() -> None:
    state = State.begin()
    for _ in range(9):
        tick(state, reports(20, 1), 20, step_us=WEEK_US // 7)
    assert list(state.apart_us) == ["t0"]
    for _ in range(30):
        tick(state, reports(20, 0), 20, step_us=WEEK_US // 7)
    assert not state.apart_us
    assert state.held["t0"] == pytest.approx(state.held["t1"], rel=1e-3)


def test_nobody_is_set_apart_while_everyone_is_far() -> None:
    state = in_alarm()
    for _ in range(20):
        tick(state, reports(20, 20), 20, step_us=WEEK_US // 7)
    assert not state.apart_us
    assert state.everyone


def test_it_does_not_matter_in_which_order_tenants_are_named() -> None:
    paid = {name: float(each) for name, each in zip(names(50), range(50), strict=True)}
    one, other = State.begin(), State.begin()
    update(one, paid, names(50), 0, TICKS)
    update(other, dict(reversed(paid.items())), set(names(50)), 0, TICKS)
    assert codec.encode(one) == codec.encode(other)


def test_a_state_written_down_and_read_goes_on_as_if_nothing_happened() -> None:
    state = State.begin()
    for _ in range(9):
        tick(state, reports(20, 3), 20, step_us=WEEK_US // 7)
    read = codec.decode(codec.encode(state), State)
    for each in (state, read):
        tick(each, reports(20, 20), 20)
    assert codec.encode(read) == codec.encode(state)


def test_a_state_of_the_detector_before_is_read_and_begins_anew() -> None:
    before = {
        "evidence": np.zeros(3),
        "spent": 0.1,
        "reports": {"acme": 0.5},
        "rounds": 7,
        "alarms": 2,
        "everyone": True,
        "calm": 0,
        "mean": 0.4,
    }
    state = codec.decode(codec.encode(before), State)
    assert (state.alarms, state.everyone, state.held) == (2, True, {})


def test_a_state_does_not_grow() -> None:
    random, state = np.random.default_rng(2), State.begin()
    sizes = []
    for _ in range(60):
        said = dict(zip(names(100), np.exp(8 * random.normal(size=100)).tolist(), strict=True))
        tick(state, said, 100, step_us=WEEK_US // 7)
        sizes.append(len(codec.encode(state)))
    assert max(sizes) < 100 * 40 + 200


def test_what_is_remembered_of_a_tenant_can_be_deleted() -> None:
    state = State.begin()
    for _ in range(9):
        tick(state, reports(20, 1), 20, step_us=WEEK_US // 7)
    assert state.forget("t0")
    assert not state.forget("t0")
    assert b"t0" not in codec.encode(state)


def test_evidence_is_told_in_units_of_the_run_length() -> None:
    state = State.begin()
    assert fleet.evidence_log10(state, TICKS) is None
    tick(state, reports(20), 20)
    before = fleet.evidence_log10(state, TICKS)
    tick(state, reports(20, 20), 20)
    after = fleet.evidence_log10(state, TICKS)
    assert before is not None
    assert after is not None
    assert before < 0 < 4 < after, "an alarm is raised at the run length's"


def test_a_tenant_reports_the_mean_over_its_versions() -> None:
    assert reported([3.0]) == 3.0
    assert reported([1e6, 0.0]) == 5e5
    with pytest.raises(ValueError, match="no evidence"):
        reported([])


def test_the_reading_tells_everyone_from_this_tenant() -> None:
    state = State.begin()
    assert "too few" in reading(state, 0, 3)
    tick(state, reports(20), 20)
    assert reading(state, 0, 20) == "no adapter moved"
    assert reading(state, 1, 20) == "1 of 20 adapters moved, the others did not"
    assert reading(in_alarm(), 20, 20).startswith("everyone moved (20 of 20 adapters in alarm)")
