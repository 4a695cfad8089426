import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.api.lately import Lately, Level, Result, Unreadable, level_of

RESULTS: tuple[Result, ...] = ("answered", "refused", "failed")


def test_a_process_that_answered_nothing_has_no_latency() -> None:
    minute = Lately(100.0).minute(100.2)
    assert (minute.requests, minute.texts, minute.latency_s(0.5)) == (0, 0, None)
    assert minute.seconds == 1.0, "a rate over less than a second says nothing"


def test_a_minute_has_what_came_in_it_and_a_young_process_less() -> None:
    lately = Lately(0.0)
    lately.note(5.5, "answered", 0.01, "acme", 3)
    lately.note(5.6, "refused", 0.01, None, 0)
    lately.note(64.9, "failed", 0.5, "acme", 0)
    young = lately.minute(30.0)
    assert (young.seconds, young.answered, young.refused, young.failed) == (30.0, 1, 1, 0)
    whole = lately.minute(64.9)
    assert (whole.seconds, whole.requests, whole.texts) == (60.0, 3, 3)
    assert whole.by_tenant.keys() == {"acme"}
    acme = whole.by_tenant["acme"]
    assert (acme.requests, acme.answered, acme.failed, acme.texts) == (2, 1, 1, 3)
    later = lately.minute(65.0)
    assert (later.answered, later.refused, later.failed) == (0, 0, 1)
    gone = lately.minute(124.9)
    assert (gone.requests, gone.by_tenant) == (0, {})


def test_a_failure_has_no_latency_that_would_flatter_the_answers() -> None:
    lately = Lately(0.0)
    lately.note(1.0, "failed", 0.001, "acme", 0)
    lately.note(1.0, "refused", 0.001, "acme", 0)
    assert lately.minute(2.0).latency_s(0.95) is None


@given(st.lists(st.floats(0.0006, 90.0), min_size=1, max_size=200), st.floats(0.01, 1.0))
def test_a_quantile_is_a_tenth_off_at_most(latencies: list[float], ratio: float) -> None:
    lately = Lately(0.0)
    for seconds in latencies:
        lately.note(1.0, "answered", seconds, None, 1)
    told = lately.minute(1.0).latency_s(ratio)
    exact = sorted(latencies)[math.ceil(ratio * len(latencies)) - 1]
    assert told == pytest.approx(exact, rel=0.1)


@pytest.mark.parametrize("seconds", [0.0, 1e-9, 0.0005, 60.0, 1e6])
def test_what_is_outside_of_the_widths_is_in_the_outermost(seconds: float) -> None:
    lately = Lately(0.0)
    lately.note(1.0, "answered", seconds, None, 1)
    told = lately.minute(1.0).latency_s(0.5)
    assert told is not None
    assert 0.0005 <= told <= 110.0


@given(
    st.lists(
        st.tuples(
            st.floats(0, 20),
            st.sampled_from(RESULTS),
            st.sampled_from(["a", "b", None]),
            st.integers(0, 5),
        ),
        max_size=60,
    )
)
def test_the_sums_are_those_of_a_list_of_everything(
    seen: list[tuple[float, Result, str | None, int]],
) -> None:
    lately, now, past = Lately(0.0), 0.0, []
    for gap, result, tenant, texts in seen:
        now += gap
        lately.note(now, result, 0.01, tenant, texts)
        past.append((int(now), result, tenant, texts))
    minute = lately.minute(now)
    kept = [one for one in past if int(now) - 60 < one[0]]
    for result in RESULTS:
        assert getattr(minute, result) == sum(one[1] == result for one in kept)
    assert minute.texts == sum(one[3] for one in kept if one[1] == "answered")
    assert minute.by_tenant.keys() == {one[2] for one in kept if one[2] is not None}
    for name, tally in minute.by_tenant.items():
        own = [one for one in kept if one[2] == name]
        for result in RESULTS:
            assert getattr(tally, result) == sum(one[1] == result for one in own)
        assert tally.texts == sum(one[3] for one in own if one[1] == "answered")
    assert sum(minute.bins) == minute.answered


def test_nothing_is_kept_of_tenants_that_ask_no_more() -> None:
    lately = Lately(0.0)
    for second in range(1_000):
        lately.note(second, "answered", 0.01, f"tenant-{second}", 1)
    assert len(lately.minute(999.0).by_tenant) == 60


@pytest.mark.parametrize(("seconds", "late"), [(0.4, 0), (0.6, 1), (53.0, 1)])
def test_an_answer_beyond_the_objective_is_late(seconds: float, late: int) -> None:
    lately = Lately(0.0)
    lately.note(1.0, "answered", seconds, "acme", 1)
    lately.note(1.0, "failed", 60.0, "acme", 0)
    lately.note(1.0, "refused", 60.0, "acme", 0)
    assert lately.minute(1.0).by_tenant["acme"].late(0.5) == late


@pytest.mark.parametrize(
    ("answered", "late", "failed", "level"),
    [
        (0, 0, 0, "good"),
        (100, 0, 0, "good"),
        (100, 4, 0, "good"),
        (100, 5, 0, "warn"),
        (100, 25, 0, "bad"),
        (999, 0, 1, "warn"),
        (95, 0, 5, "bad"),
        (0, 0, 1, "bad"),
    ],
)
def test_failures_and_late_answers_are_trouble_by_their_share(
    answered: int, late: int, failed: int, level: Level
) -> None:
    assert level_of(answered, late, failed) == level


def test_what_was_unreadable_is_remembered_for_a_minute_and_not_without_bound() -> None:
    unreadable = Unreadable()
    unreadable.note(None, 0.0)
    for number in range(200):
        unreadable.note(f"sha256:{number}", float(number))
    unreadable.note("sha256:150", 199.5)
    assert unreadable.lately(199.9)[-1] == "sha256:150"
    assert len(unreadable.lately(199.9)) == 60
    assert unreadable.lately(300.0) == []
