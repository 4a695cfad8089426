import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.api.lately import Lately, Result

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
    assert whole.by_tenant == {"acme": 2}
    later = lately.minute(65.0)
    assert (later.answered, later.refused, later.failed) == (0, 0, 1)
    assert lately.minute(124.9).requests == 0
    assert lately.texts == {"acme": 3}, "that count goes on"


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
    assert minute.by_tenant["a"] == sum(one[2] == "a" for one in kept)
    assert sum(minute.bins) == minute.answered
