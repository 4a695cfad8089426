import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitoring.triggers.posting import TIMEOUT_S
from monitoring.triggers.retries import Outcome, Retries, verdict_of

RETRIES = Retries()


@given(st.integers(1, 10_000), st.floats(0, 1, exclude_max=True))
def test_no_attempt_begins_before_one_that_has_no_end_must_have_ended(
    attempt: int, draw: float
) -> None:
    assert TIMEOUT_S < RETRIES.delay_s(attempt, draw) <= RETRIES.delay_s_max


def test_delays_grow_to_the_longest() -> None:
    delays = [RETRIES.delay_s(attempt, 0.5) for attempt in range(1, RETRIES.attempts)]
    assert delays == sorted(delays)
    assert delays[-1] == RETRIES.longest_s
    assert 60 * 3600 < sum(delays) < 72 * 3600


@pytest.mark.parametrize(
    ("status", "standing", "told"),
    [
        (200, "delivered", "answered 200"),
        (204, "delivered", "answered 204"),
        (301, "waiting", "answered 301: redirects are not followed"),
        (400, "waiting", "answered 400"),
        (401, "waiting", "answered 401"),
        (410, "failed", "answered 410: the receiver is gone"),
        (500, "waiting", "answered 500"),
        (None, "waiting", "no answer"),
    ],
)
def test_what_a_status_means(status: int | None, standing: str, told: str) -> None:
    verdict = verdict_of(Outcome(status), 1, RETRIES)
    assert (verdict.standing, verdict.detail) == (standing, told)


def test_after_the_last_attempt_nothing_is_tried_again() -> None:
    last = verdict_of(Outcome(None, "not reached: ConnectError"), RETRIES.attempts, RETRIES)
    assert last.standing == "failed"
    assert last.detail == "not reached: ConnectError; given up after 19 attempts"
    assert verdict_of(Outcome(200), RETRIES.attempts, RETRIES).standing == "delivered"


@pytest.mark.parametrize(
    ("asked", "granted"), [(None, 0.0), (-5.0, 0.0), (30.0, 30.0), (1e9, 86_400.0)]
)
def test_a_receiver_may_ask_for_a_day_at_most(asked: float | None, granted: float) -> None:
    assert verdict_of(Outcome(503, None, asked), 1, RETRIES).not_before_s == granted
