"""Fair order: who is next, what is charged, and what is forgotten."""

from collections import Counter
from collections.abc import Sequence

import pytest

from service.batching.fairness import charge_of
from service.batching.jobs import Entry, Job, Ticket
from service.batching.queue import Queue
from tests.fakes.runtime import text_of


def job_of(
    tenant: str,
    *lengths: int,
    weight: float = 1.0,
    digest: str = "",
    alone: bool = False,
) -> Job:
    texts = [text_of(*range(length)) for length in lengths]
    return Job(digest or tenant, texts, tenant=tenant, weight=weight, alone=alone)


def fill(queue: Queue, tenant: str, *lengths: int, weight: float = 1.0, digest: str = "") -> Ticket:
    ticket = Ticket(job_of(tenant, *lengths, weight=weight, digest=digest), queued_at=0.0)
    queue.add(ticket)
    return ticket


def roomy() -> Queue:
    return Queue(100_000, 10_000_000, tenant_ratio=100.0)


def tenants(entries: Sequence[Entry]) -> str:
    return "".join(entry.ticket.job.tenant for entry in entries)


def run(queue: Queue, texts: int) -> str:
    """Look at everything, run the first texts, put the others back."""
    taken = queue.take(1_000, 1_000_000)
    queue.put_back(taken[texts:])
    return tenants(taken[:texts])


def test_tenants_of_one_weight_take_turns() -> None:
    queue = roomy()
    fill(queue, "a", *[10] * 4)
    fill(queue, "b", *[10] * 4)
    assert tenants(queue.take(100, 10_000)) == "abababab"


def test_turns_are_by_tokens_and_not_by_texts() -> None:
    queue = roomy()
    fill(queue, "a", *[30] * 3)
    fill(queue, "b", *[10] * 9)
    assert Counter(tenants(queue.take(8, 10_000))) == {"a": 2, "b": 6}


def test_a_tenant_of_three_times_the_weight_gets_three_times_the_tokens() -> None:
    queue = roomy()
    fill(queue, "a", *[10] * 40, weight=3.0)
    fill(queue, "b", *[10] * 40)
    assert Counter(tenants(queue.take(20, 10_000))) == {"a": 15, "b": 5}


@pytest.mark.parametrize("backlog", [2_000, 10])
def test_whoever_comes_new_is_in_the_very_next_pass_however_much_another_has_waiting(
    backlog: int,
) -> None:
    queue = roomy()
    fill(queue, "f", *[16] * backlog)
    for _ in range(5):
        run(queue, 1)
        fill(queue, "q", 16, digest="quiet")
        assert "q" in run(queue, 2)


def test_a_share_that_was_not_used_is_not_saved_up() -> None:
    queue = roomy()
    fill(queue, "b", *[10] * 100)
    assert run(queue, 50) == "b" * 50
    fill(queue, "a", *[10] * 100)
    assert Counter(run(queue, 20)) == {"a": 10, "b": 10}


def test_what_nobody_else_wanted_is_not_held_against_a_tenant() -> None:
    queue = roomy()
    for _ in range(20):
        fill(queue, "b", *[10] * 50)
        fill(queue, "a", 10)
        run(queue, 51)  # everything that waits
    fill(queue, "a", *[10] * 20)
    fill(queue, "b", *[10] * 20)
    assert Counter(run(queue, 20)) == {"a": 10, "b": 10}


def test_only_what_ran_is_charged() -> None:
    queue = roomy()
    fill(queue, "a", *[10] * 50)
    fill(queue, "b", *[10] * 50)
    ran: Counter[str] = Counter()
    for _ in range(20):
        taken = queue.take(100, 10_000)
        chosen = [e for e in taken if e.ticket.job.tenant == "a"][:1] or taken[:1]
        queue.put_back([e for e in taken if e not in chosen])
        ran.update(tenants(chosen))
        if ran["a"] == 10:
            break
    assert run(queue, 10) == "b" * 10  # it waited while the other one ran


def test_a_text_that_found_no_room_keeps_its_place_and_comes_first() -> None:
    queue = roomy()
    fill(queue, "a", 100, *[10] * 30)
    fill(queue, "b", *[10] * 30)
    long = queue.take(100, 10_000)
    queue.put_back([e for e in long if e.cost == 100 or e.position > 3])
    fill(queue, "c", *[10] * 5)
    assert queue.take(1, 10_000)[0].cost == 100


def test_what_is_set_aside_is_not_charged_and_comes_before_its_tenants_younger_texts() -> None:
    queue = roomy()
    fill(queue, "a", *[10] * 20, digest="cold")
    fill(queue, "a", *[10] * 20, digest="warm")
    fill(queue, "b", *[10] * 60)
    taken = queue.take(1_000, 100_000)
    queue.set_aside([e for e in taken if e.digest == "cold"])
    queue.put_back([e for e in taken if e.digest != "cold"])
    assert run(queue, 20) == "ab" * 10
    queue.put_back(queue.take_aside("cold"))
    taken = queue.take(1_000, 100_000)
    assert [e.digest for e in taken if e.ticket.job.tenant == "a"] == ["cold"] * 20 + ["warm"] * 10
    assert Counter(tenants(taken[:20])) == {"a": 10, "b": 10}


def test_texts_that_come_back_from_a_load_do_not_all_go_before_others() -> None:
    queue = roomy()
    fill(queue, "a", *[10] * 100, digest="cold")
    queue.set_aside(queue.take(1_000, 100_000))
    fill(queue, "b", *[10] * 100)
    run(queue, 50)
    queue.put_back(queue.take_aside("cold"))
    assert Counter(run(queue, 20)) == {"a": 10, "b": 10}


def test_a_dropped_job_takes_its_charge_with_it() -> None:
    queue = roomy()
    gone = fill(queue, "a", *[10] * 30)
    fill(queue, "a", *[10] * 30, digest="stays")
    fill(queue, "b", *[10] * 30)
    queue.put_back(queue.take(1_000, 100_000))
    queue.drop(gone)
    taken = queue.take(20, 100_000)
    assert Counter(tenants(taken)) == {"a": 10, "b": 10}
    assert [e.position for e in taken if e.ticket.job.tenant == "a"] == list(range(10))


def test_a_weight_that_changes_holds_for_the_jobs_that_come_with_it() -> None:
    queue = roomy()
    fill(queue, "a", *[10] * 5)
    fill(queue, "b", *[10] * 60)
    assert run(queue, 10) == "ab" * 5
    fill(queue, "a", *[10] * 40, weight=4.0)
    assert Counter(run(queue, 20)) == {"a": 16, "b": 4}


def test_a_job_that_wants_to_be_alone_goes_in_one_piece_among_others() -> None:
    queue = roomy()
    fill(queue, "a", *[10] * 6)
    shy = Ticket(job_of("b", 10, 10, 10, alone=True), queued_at=0.0)
    queue.add(shy)
    pieces = []
    while queue.has_next:
        pieces.append(tenants(queue.take(100, 10_000)))
    assert pieces == ["a", "bbb", "a" * 5]


def test_shadows_stand_right_behind_their_texts_and_are_charged_to_their_tenant() -> None:
    queue = roomy()
    job = job_of("a", *[10] * 10, digest="live")
    ticket = Ticket(job, queued_at=0.0)
    shadow = Ticket(job_of("a", *[10] * 10, digest="new"), 0.0, shadow_of=ticket)
    queue.add(ticket, [shadow])
    fill(queue, "b", *[10] * 40)
    taken = queue.take(1_000, 100_000)
    assert [e.digest for e in taken[:9]] == [
        "live",
        "new",
        "b",
        "b",
        "live",
        "new",
        "b",
        "b",
        "live",
    ]
    assert all(
        taken[i + 1].position == e.position for i, e in enumerate(taken) if e.digest == "live"
    )


def test_a_shadow_of_some_texts_stands_behind_these_and_costs_what_they_do() -> None:
    queue = roomy()
    ticket = Ticket(job_of("a", 10, 20, 30, 40, digest="live"), queued_at=0.0)
    whole = Ticket(job_of("a", 10, 20, 30, 40, digest="new"), 0.0, shadow_of=ticket)
    some = Ticket(job_of("a", 20, 40, digest="bare"), 0.0, shadow_of=ticket, rows=[1, 3])
    assert queue.add(ticket, [whole, some]) == []
    assert (queue.texts, queue.tokens) == (10, 260)
    taken = queue.take(1_000, 100_000)
    assert [(e.digest, e.position, e.cost) for e in taken] == [
        ("live", 0, 10),
        ("new", 0, 10),
        ("live", 1, 20),
        ("new", 1, 20),
        ("bare", 0, 20),
        ("live", 2, 30),
        ("new", 2, 30),
        ("live", 3, 40),
        ("new", 3, 40),
        ("bare", 1, 40),
    ]
    assert sum(entry.charge for entry in taken) == charge_of(260, 1.0)
    assert queue._order.flow("a").finish == charge_of(260, 1.0)


def test_a_tenant_without_texts_costs_no_memory_once_the_others_are_where_it_was() -> None:
    queue = roomy()
    fill(queue, "f", *[16] * 1_000)
    for i in range(400):
        fill(queue, f"tenant {i}", 16)
        run(queue, 2)
    assert len(queue._order.flows) < 200
    assert len(queue._order._heap) < 400


def test_a_tenant_is_not_forgotten_while_it_is_ahead_of_the_others() -> None:
    queue = roomy()
    fill(queue, "f", *[16] * 400)
    fill(queue, "s", 16, weight=0.01)
    assert run(queue, 2) == "fs"
    for i in range(80):
        fill(queue, f"tenant {i}", 1)
        run(queue, 2)
    assert "s" in queue._order.flows
    fill(queue, "s", 16, weight=0.01)
    assert "s" not in run(queue, 10)


def test_a_text_costs_its_tokens_over_its_tenants_weight() -> None:
    assert charge_of(30, 1.0) == 3 * charge_of(10, 1.0) == 10 * charge_of(6, 2.0)
    assert charge_of(1, 1e12) == 1
