"""Limits under any arrivals: never more than the rate and its burst, and the wait is exact."""

import hypothesis.strategies as st
import pytest
from hypothesis import given

from service.errors import TenantLimited
from service.limits import TenantLimits
from service.registry.records import Rates

rates_per_s = st.floats(0.01, 1e4)
arrivals = st.lists(
    st.tuples(st.floats(0, 3), st.integers(1, 5_000), st.booleans()), min_size=1, max_size=60
)


@given(rates_per_s, arrivals)
def test_no_more_requests_get_in_than_the_rate_and_its_burst(
    rate: float, comes: list[tuple[float, int, bool]]
) -> None:
    limits, rates, now = TenantLimits(), Rates(requests_per_s=rate), 1e5
    entered: list[float] = []
    for gap, _, at_once in comes:
        now += 0 if at_once else gap / rate
        try:
            limits.enter("a", rates, now)
        except TenantLimited:
            continue
        entered.append(now)
        for first in range(len(entered)):
            most = rate * (now - entered[first]) + max(rate, 1.0)
            assert len(entered) - first <= most * (1 + 1e-6) + rate * 1e-4


@given(rates_per_s, arrivals)
def test_no_more_tokens_get_in_than_the_rate_its_burst_and_one_request(
    rate: float, comes: list[tuple[float, int, bool]]
) -> None:
    limits, rates, now = TenantLimits(), Rates(tokens_per_s=rate), 1e5
    entered: list[tuple[float, int]] = []
    for gap, tokens, at_once in comes:
        now += 0 if at_once else gap * tokens / rate
        try:
            limits.enter("a", rates, now).charge(tokens, now)
        except TenantLimited:
            continue
        entered.append((now, tokens))
        for at in range(len(entered)):
            most = rate * (now - entered[at][0]) + rate + entered[-1][1]
            assert sum(t for _, t in entered[at:]) <= most * (1 + 1e-6) + rate * 1e-4


@given(
    st.one_of(st.none(), rates_per_s),
    st.one_of(st.none(), rates_per_s),
    arrivals,
)
def test_whoever_waits_as_told_gets_in_and_not_a_moment_sooner(
    requests: float | None, tokens: float | None, comes: list[tuple[float, int, bool]]
) -> None:
    limits, now = TenantLimits(), 1e5
    rates = Rates(requests_per_s=requests, tokens_per_s=tokens)
    for gap, count, at_once in comes:
        now += 0 if at_once else gap
        try:
            limits.enter("a", rates, now).charge(count, now)
        except TenantLimited as error:
            wait = error.retry_after_s
            assert wait > 0
            if wait > 1e-3:
                with pytest.raises(TenantLimited):
                    limits.enter("a", rates, now + 0.999 * wait)
            now += wait
            limits.enter("a", rates, now).charge(count, now)
