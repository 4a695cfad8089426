"""Admission: what one tenant may hold of the queue, and when to come again."""

import pytest

from service.batching.admission import Amount, DrainRate, threshold
from service.batching.jobs import Job, Ticket
from service.batching.queue import Queue
from service.errors import QueueFull, TenantLimited
from tests.fakes.runtime import text_of


def ticket_of(tenant: str, texts: int = 1, tokens: int = 1, weight: float = 1.0) -> Ticket:
    job = Job("d", [text_of(*range(tokens))] * texts, tenant=tenant, weight=weight)
    return Ticket(job, queued_at=0.0)


def shadow_of(ticket: Ticket, digest: str = "new") -> Ticket:
    job = ticket.job
    copied = Job(digest, job.texts, tenant=job.tenant, weight=job.weight)
    return Ticket(copied, 0.0, shadow_of=ticket)


def add_until_refused(queue: Queue, tenant: str, weight: float = 1.0) -> int:
    for count in range(10_000):
        try:
            queue.add(ticket_of(tenant, weight=weight))
        except TenantLimited:
            return count
    raise AssertionError("never refused")


def test_a_lone_tenant_may_hold_half_of_the_queue() -> None:
    assert add_until_refused(Queue(100, 10_000), "a") == 50


def test_the_ratio_is_of_what_is_free() -> None:
    assert add_until_refused(Queue(90, 10_000, tenant_ratio=2.0), "a") == 60
    assert add_until_refused(Queue(90, 10_000, tenant_ratio=0.5), "a") == 30


def test_the_more_others_hold_the_less_one_may_and_something_stays_free() -> None:
    queue = Queue(1_000, 100_000)
    held = [add_until_refused(queue, tenant) for tenant in "abcd"]
    assert held == [500, 250, 125, 63]
    queue.add(ticket_of("new"))


def test_a_weight_counts_here_too() -> None:
    assert add_until_refused(Queue(90, 10_000), "a", weight=2.0) == 60
    assert add_until_refused(Queue(90, 10_000), "a", weight=0.5) == 30


def test_tokens_are_bounded_for_a_tenant_as_texts_are() -> None:
    queue = Queue(1_000, 100)
    queue.add(ticket_of("a", texts=2, tokens=20))
    with pytest.raises(TenantLimited, match="2 texts of 40 tokens of this tenant"):
        queue.add(ticket_of("a", tokens=21))
    queue.add(ticket_of("a", tokens=10))


def test_a_tenant_without_texts_gets_one_job_in_whatever_its_part() -> None:
    queue = Queue(100, 10_000, tenant_ratio=0.01)
    queue.add(ticket_of("a", texts=60))
    queue.add(ticket_of("b", texts=30))
    with pytest.raises(TenantLimited):
        queue.add(ticket_of("b"))
    with pytest.raises(QueueFull):
        queue.add(ticket_of("c", texts=11))


def test_a_full_queue_is_said_to_be_full_even_to_a_tenant_that_holds_much() -> None:
    queue = Queue(10, 10_000, tenant_ratio=100.0)
    queue.add(ticket_of("a", texts=10))
    with pytest.raises(QueueFull):
        queue.add(ticket_of("a"))


def test_a_refused_job_leaves_no_trace() -> None:
    queue = Queue(100, 10_000)
    add_until_refused(queue, "a")
    assert (queue.texts, len(queue.take(1_000, 10_000))) == (50, 50)


def test_when_its_texts_have_run_a_tenant_may_send_again() -> None:
    queue = Queue(100, 10_000)
    add_until_refused(queue, "a")
    queue.take(10, 10_000)
    assert add_until_refused(queue, "a") == 10


def test_a_shadow_without_room_is_dropped_and_its_caller_is_not() -> None:
    queue = Queue(10, 10_000, tenant_ratio=100.0)
    queue.add(ticket_of("a", texts=4))
    ticket = ticket_of("b", texts=3)
    first, second = shadow_of(ticket), shadow_of(ticket, "newer")
    assert queue.add(ticket, [first, second]) == [second]
    assert (queue.texts, first.dropped, second.dropped) == (10, False, True)


def test_a_shadow_counts_against_its_tenants_part_and_a_caller_does_not_feel_it() -> None:
    queue = Queue(100, 10_000)
    held = dropped = 0
    while not dropped:
        ticket = ticket_of("a")
        dropped = len(queue.add(ticket, [shadow_of(ticket)]))
        held += 1
    assert held == 26  # with 25 shadows: then they hold half, and the next shadow has no room
    assert held + add_until_refused(queue, "a") == 50


def test_waiting_shadows_make_room_for_callers_the_newest_first() -> None:
    queue = Queue(10, 10_000, tenant_ratio=100.0)
    shadows = []
    for _ in range(4):
        ticket = ticket_of("a")
        shadows.append(shadow_of(ticket))
        assert queue.add(ticket, shadows[-1:]) == []
    assert queue.add(ticket_of("b", texts=4)) == [shadows[3], shadows[2]]
    assert queue.texts == 10
    assert queue.add(ticket_of("b", texts=2)) == [shadows[1], shadows[0]]
    with pytest.raises(QueueFull):
        queue.add(ticket_of("b"))
    assert [e.ticket.shadow_of for e in queue.take(100, 100)] == [None] * 10


def test_no_shadow_is_given_up_for_a_job_that_is_refused() -> None:
    queue = Queue(10, 10_000, tenant_ratio=100.0)
    ticket = ticket_of("a", texts=4)
    shadow = shadow_of(ticket)
    queue.add(ticket, [shadow])
    with pytest.raises(QueueFull):
        queue.add(ticket_of("b", texts=7))
    assert not shadow.dropped


def test_the_threshold_of_a_queue_that_is_over_full_is_nothing() -> None:
    assert threshold(Amount(-5, 100), 2.0) == Amount(0, 200)


def test_before_anything_ran_the_wait_is_a_second() -> None:
    assert DrainRate().wait_s(Amount(1_000, 1_000), 1.0, 1) == 1.0


def test_the_wait_is_what_the_excess_takes_to_drain() -> None:
    rate = DrainRate()
    rate.ran(Amount(10, 1_000), 0.1)  # 100 texts and 10,000 tokens a second
    assert rate.wait_s(Amount(50, 0), 1.0, 1) == pytest.approx(0.25)
    assert rate.wait_s(Amount(50, 20_000), 1.0, 1) == pytest.approx(1.0)
    assert rate.wait_s(Amount(50, 0), 0.25, 4) == pytest.approx(1.0)
    assert rate.wait_s(Amount(0, 0), 1.0, 1) == 0.05
    assert rate.wait_s(Amount(10**9, 0), 1.0, 1) == 60.0


def test_the_rate_follows_the_last_passes() -> None:
    rate = DrainRate()
    rate.ran(Amount(10, 1_000), 0.1)
    for _ in range(40):
        rate.ran(Amount(10, 1_000), 0.2)
    rate.ran(Amount(10, 1_000), 0.0)  # a clock that stood still says nothing
    assert rate.wait_s(Amount(50, 0), 1.0, 1) == pytest.approx(0.5, rel=0.01)


def test_whoever_waits_as_long_as_told_gets_in_where_nobody_else_comes() -> None:
    queue = Queue(100, 10_000)
    queue.drain_rate.ran(Amount(10, 10), 0.1)  # 100 texts a second
    add_until_refused(queue, "a")
    with pytest.raises(TenantLimited) as refused:
        queue.add(ticket_of("a", texts=20))
    queue.take(round(100 * refused.value.retry_after_s), 10_000)
    queue.add(ticket_of("a", texts=20))
