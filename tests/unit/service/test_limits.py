"""Limits of one tenant: what goes in, and when the others may come again."""

import pytest

from service.errors import TenantLimited
from service.limits import Entry, TenantLimits
from service.registry.records import Rates

FREE = Rates()


def refused(limits: TenantLimits, rates: Rates, now: float, tenant: str = "a") -> TenantLimited:
    with pytest.raises(TenantLimited) as told:
        limits.enter(tenant, rates, now)
    return told.value


def burst(limits: TenantLimits, rates: Rates, now: float) -> list[Entry]:
    """Return everybody who gets in at one moment."""
    entered = []
    for _ in range(1_000):
        try:
            entered.append(limits.enter("a", rates, now))
        except TenantLimited:
            return entered
    raise AssertionError("nothing was refused")


def test_a_tenant_without_limits_is_never_refused() -> None:
    limits = TenantLimits()
    for _ in range(500):
        limits.enter("a", FREE, 0.0).charge(10**6, 0.0)


def test_a_second_of_the_rate_may_come_at_once() -> None:
    assert len(burst(TenantLimits(), Rates(requests_per_s=7), 5.0)) == 7


def test_of_a_rate_below_one_a_second_one_request_may_come_at_once() -> None:
    limits, rates = TenantLimits(), Rates(requests_per_s=0.1)
    assert len(burst(limits, rates, 0.0)) == 1
    assert refused(limits, rates, 4.0).retry_after_s == pytest.approx(6.0)
    limits.enter("a", rates, 10.0)


def test_the_error_names_the_limit_and_the_wait() -> None:
    limits, rates = TenantLimits(), Rates(requests_per_s=2)
    burst(limits, rates, 0.0)
    error = refused(limits, rates, 0.1)
    assert str(error) == "beyond this tenant's limit of 2 requests a second; try again in 0.4 s"
    assert error.retry_after_s == pytest.approx(0.4)


def test_one_tenants_limit_is_not_anothers() -> None:
    limits, rates = TenantLimits(), Rates(requests_per_s=1)
    limits.enter("a", rates, 0.0)
    limits.enter("b", rates, 0.0)
    assert refused(limits, rates, 0.0, "b").retry_after_s == pytest.approx(1.0)


def test_a_request_larger_than_the_rate_goes_in_and_is_paid_for() -> None:
    limits, rates = TenantLimits(), Rates(tokens_per_s=100)
    limits.enter("a", rates, 0.0).charge(1_000, 0.0)
    error = refused(limits, rates, 2.0)
    assert error.retry_after_s == pytest.approx(7.0)
    assert "100 tokens a second" in str(error)
    limits.enter("a", rates, 9.0).charge(1, 9.0)


def test_requests_that_came_in_together_do_not_all_go_into_debt() -> None:
    limits, rates = TenantLimits(), Rates(tokens_per_s=100)
    first, second = limits.enter("a", rates, 0.0), limits.enter("a", rates, 0.0)
    first.charge(500, 0.0)
    with pytest.raises(TenantLimited) as told:
        second.charge(500, 0.0)
    assert told.value.retry_after_s == pytest.approx(4.0)
    second.leave()
    limits.enter("a", rates, 4.0).charge(500, 4.0)


def test_the_wait_after_a_refused_charge_is_for_the_request_as_a_whole() -> None:
    limits, rates = TenantLimits(), Rates(tokens_per_s=100, requests_per_s=2)
    first, second = limits.enter("a", rates, 0.0), limits.enter("a", rates, 0.0)
    first.charge(110, 0.0)  # paid for after a tenth of a second; the next request is after half
    with pytest.raises(TenantLimited) as told:
        second.charge(5, 0.0)
    assert told.value.retry_after_s == pytest.approx(0.5)


def test_so_many_requests_may_be_inside_and_one_that_leaves_makes_room_once() -> None:
    limits, rates = TenantLimits(), Rates(concurrent_requests=2)
    first, _ = burst(limits, rates, 0.0)
    error = refused(limits, rates, 0.0)
    assert "2 requests at once" in str(error)
    assert error.retry_after_s == 1.0
    first.leave()
    first.leave()
    assert len(burst(limits, rates, 0.0)) == 1


def test_a_request_that_is_refused_for_company_costs_nothing() -> None:
    limits, rates = TenantLimits(), Rates(concurrent_requests=1, requests_per_s=2)
    entry = limits.enter("a", rates, 0.0)
    for _ in range(10):
        refused(limits, rates, 0.0)
    entry.leave()
    limits.enter("a", rates, 0.0)


def test_a_rate_that_is_raised_lets_in_sooner_and_one_that_is_lifted_at_once() -> None:
    limits = TenantLimits()
    limits.enter("a", Rates(tokens_per_s=10), 0.0).charge(1_000, 0.0)
    assert refused(limits, Rates(tokens_per_s=10), 0.0).retry_after_s == pytest.approx(99.0)
    assert refused(limits, Rates(tokens_per_s=100), 0.0).retry_after_s == pytest.approx(9.0)
    limits.enter("a", FREE, 0.0).charge(1_000, 0.0)
    limits.enter("a", Rates(tokens_per_s=10), 0.0)


def test_a_tenant_is_forgotten_once_its_buckets_are_full_and_nobody_is_inside() -> None:
    limits, rates = TenantLimits(), Rates(requests_per_s=1, tokens_per_s=10)
    inside = limits.enter("inside", rates, 0.0)
    debtor = limits.enter("debtor", rates, 0.0)
    debtor.charge(10_000, 0.0)
    debtor.leave()
    for i in range(1_000):
        limits.enter(f"tenant {i}", rates, i / 100).leave()
    assert len(limits) < 300
    inside.leave()
    for i in range(300):
        limits.enter(f"late {i}", rates, 100.0 + i).leave()
    assert len(limits) < 100
    assert refused(limits, rates, 400.0, "debtor").retry_after_s == pytest.approx(599.0)
    limits.enter("debtor", rates, 999.0)


def test_a_limit_is_not_escaped_by_being_forgotten() -> None:
    limits, rates = TenantLimits(), Rates(requests_per_s=5)
    burst(limits, rates, 0.0)
    for i in range(500):
        limits.enter(f"tenant {i}", FREE, 0.0).leave()
    refused(limits, rates, 0.1)
