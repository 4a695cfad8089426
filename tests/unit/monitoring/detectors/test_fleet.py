import numpy as np
import pytest

from monitoring import codec
from monitoring.detectors import fleet
from monitoring.detectors.fleet import State, payoff, reading, update

TICKS = 10_000.0  # run length


def reports(tenants: int, moved: int = 0, healthy: float = 0.02) -> dict[str, float]:
    return {f"t{i}": 1.0 if i < moved else healthy for i in range(tenants)}


def ticks_to_alarm(tenants: int, moved: int, most: int = 300, healthy: float = 0.02) -> int | None:
    state = State.begin()
    for tick in range(most):
        if update(state, reports(tenants, moved, healthy), tenants, TICKS):
            return tick + 1
    return None


@pytest.mark.parametrize("tenants", [5, 8, 40, 1000])
def test_where_everyone_moved_there_is_an_alarm_within_some_rounds(tenants: int) -> None:
    found = ticks_to_alarm(tenants, tenants)
    assert found is not None
    assert found <= 20


@pytest.mark.parametrize(
    ("tenants", "moved"), [(5, 1), (5, 2), (10, 2), (40, 8), (1000, 200), (1000, 1)]
)
def test_a_few_tenants_never_raise_it_even_if_the_rest_are_as_bad_as_healthy_ones_can_be(
    tenants: int, moved: int
) -> None:
    assert ticks_to_alarm(tenants, moved, most=3000, healthy=0.05) is None


def test_false_alarms_are_rarer_than_the_run_length_whatever_healthy_tenants_pay_off() -> None:
    """The worst there is: a mean of just 1/20, all tenants together, as seldom and as high."""
    random, state, ticks, raised = np.random.default_rng(0), State.begin(), 40_000, 0
    for _ in range(ticks):
        together = 1.0 if random.random() < 0.05 else 0.0
        raised += update(state, dict.fromkeys("abcdefgh", together), 8, 200.0)
    assert raised <= ticks / 200


def test_tenants_with_much_traffic_do_not_speak_for_all() -> None:
    state = State.begin()
    for _ in range(500):
        assert not update(state, {"loud": 1.0, "loud too": 1.0}, 40, TICKS)
    assert state.rounds == 0


def test_a_round_waits_for_half_of_the_active_tenants() -> None:
    state = State.begin()
    update(state, reports(9), 20, TICKS)
    assert (state.rounds, len(state.reports)) == (0, 9)
    update(state, reports(10), 20, TICKS)
    assert (state.rounds, len(state.reports)) == (1, 0)


def test_a_tenant_is_heard_once_in_a_round() -> None:
    state = State.begin()
    update(state, {"a": 1.0}, 20, TICKS)
    update(state, {"a": 0.0, **reports(9, healthy=0.0)}, 20, TICKS)
    assert state.mean == pytest.approx(1 / 10)


def test_what_ticks_may_spend_is_not_lost_while_a_round_waits() -> None:
    waiting, prompt = State.begin(), State.begin()
    for _ in range(3):
        update(waiting, {}, 20, 30.0)
    update(waiting, reports(20), 20, 30.0)
    update(prompt, reports(20), 20, 30.0 / 4)
    assert waiting.evidence.tolist() == pytest.approx(prompt.evidence.tolist())


def test_there_is_no_fleet_of_fewer_than_five() -> None:
    assert ticks_to_alarm(4, 4) is None


def test_the_alarm_is_over_after_three_calm_rounds() -> None:
    state = State.begin()
    while not update(state, reports(20, 20), 20, TICKS):
        pass
    assert (state.everyone, state.alarms) == (True, 1)
    for _ in range(2):
        update(state, reports(20), 20, TICKS)
    update(state, reports(20, 20), 20, TICKS)
    for _ in range(2):
        update(state, reports(20), 20, TICKS)
    assert state.everyone
    update(state, reports(20), 20, TICKS)
    assert not state.everyone


def test_it_does_not_matter_in_which_order_tenants_are_named() -> None:
    paid = {f"t{i}": float(each) for i, each in enumerate(np.random.default_rng(0).random(50))}
    one, other = State.begin(), State.begin()
    update(one, paid, 50, TICKS)
    update(other, dict(reversed(paid.items())), 50, TICKS)
    assert codec.encode(one) == codec.encode(other)


def test_a_state_can_be_written_down_and_read() -> None:
    state = State.begin()
    update(state, reports(20, 3), 20, TICKS)
    update(state, reports(2), 20, TICKS)
    assert codec.encode(codec.decode(codec.encode(state), State)) == codec.encode(state)


def test_evidence_is_told_in_units_of_the_run_length() -> None:
    state = State.begin()
    assert fleet.evidence_log10(state, TICKS) is None
    update(state, reports(20, 20), 20, TICKS)
    found = fleet.evidence_log10(state, TICKS)
    assert found is not None
    assert 0 < found < 4


def test_a_pay_off_is_the_evidence_over_twenty_and_at_most_one() -> None:
    assert payoff([1.0]) == pytest.approx(0.05)
    assert payoff([1e6]) == 1.0
    assert payoff([1e6, 0.0]) == 0.5
    with pytest.raises(ValueError, match="no evidence"):
        payoff([])


def test_the_reading_tells_everyone_from_this_tenant() -> None:
    state = State.begin()
    assert "too few" in reading(state, 0, 3)
    update(state, reports(20), 20, TICKS)
    assert reading(state, 0, 20) == "no adapter moved"
    assert reading(state, 1, 20) == "1 of 20 adapters moved, the others did not"
    while not update(state, reports(20, 20), 20, TICKS):
        pass
    assert reading(state, 20, 20).startswith("everyone moved (20 of 20 adapters in alarm)")
