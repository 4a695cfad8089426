"""The queue: order of arrival, bounds, and places that are freed at once."""

from collections.abc import Sequence

import hypothesis.strategies as st
import pytest
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from service.batching.jobs import Entry, Job, Ticket
from service.batching.queue import Queue
from service.errors import QueueFull
from tests.fakes.runtime import text_of


def ticket_of(name: str, *lengths: int) -> Ticket:
    return Ticket(Job(name, [text_of(*range(length)) for length in lengths]), queued_at=0.0)


def queue_with(*tickets: Ticket, texts_max: int = 100, tokens_max: int = 1000) -> Queue:
    queue = Queue(texts_max, tokens_max, tenant_ratio=100.0)
    for ticket in tickets:
        queue.add(ticket)
    return queue


def names(entries: Sequence[Entry]) -> list[tuple[str, int]]:
    return [(entry.digest, entry.position) for entry in entries]


def test_texts_leave_in_the_order_in_which_they_came() -> None:
    queue = queue_with(ticket_of("a", 1, 2), ticket_of("b", 3))
    assert names(queue.take(10, 100)) == [("a", 0), ("a", 1), ("b", 0)]
    assert (queue.texts, queue.tokens, queue.has_next) == (0, 0, False)


def test_no_more_are_taken_than_were_asked_for() -> None:
    queue = queue_with(ticket_of("a", 1, 1, 1))
    assert names(queue.take(2, 100)) == [("a", 0), ("a", 1)]
    assert (queue.texts, queue.tokens) == (1, 1)


def test_taking_ends_with_the_text_that_reaches_the_tokens() -> None:
    assert names(queue_with(ticket_of("a", 5, 5, 5)).take(10, 6)) == [("a", 0), ("a", 1)]


def test_a_job_that_wants_to_be_alone_is_taken_without_others() -> None:
    shy = Ticket(Job("shy", [text_of(0), text_of(1)], alone=True), queued_at=0.0)
    queue = queue_with(ticket_of("a", 1), shy, ticket_of("b", 1), ticket_of("c", 1))
    taken = [names(queue.take(10, 100)) for _ in range(3)]
    assert taken == [[("a", 0)], [("shy", 0), ("shy", 1)], [("b", 0), ("c", 0)]]


def test_a_job_goes_in_whole_or_not_at_all() -> None:
    queue = queue_with(ticket_of("a", 1, 1), texts_max=3)
    with pytest.raises(QueueFull, match="2 texts of 2 tokens are waiting, and at most 3"):
        queue.add(ticket_of("b", 1, 1))
    assert queue.texts == 2
    queue.add(ticket_of("c", 1))
    assert names(queue.take(10, 100)) == [("a", 0), ("a", 1), ("c", 0)]


def test_tokens_are_bounded_as_texts_are() -> None:
    queue = queue_with(ticket_of("a", 60), tokens_max=100)
    with pytest.raises(QueueFull):
        queue.add(ticket_of("b", 41))
    queue.add(ticket_of("c", 40))


def test_what_is_put_back_stands_where_it_stood() -> None:
    queue = queue_with(ticket_of("a", 1, 1), ticket_of("b", 1))
    taken = queue.take(3, 100)
    queue.add(ticket_of("c", 1))
    queue.put_back([taken[2], taken[0]])
    assert names(queue.take(10, 100)) == [("a", 0), ("b", 0), ("c", 0)]


def test_nobody_passes_an_older_text_by_being_put_back_later() -> None:
    queue = queue_with(ticket_of("old", 1), ticket_of("young", 1))
    old, young = queue.take(2, 100)
    queue.put_back([old])
    queue.put_back([young])
    assert names(queue.take(1, 100)) == [("old", 0)]


def test_what_is_set_aside_counts_and_is_not_taken() -> None:
    queue = queue_with(ticket_of("cold", 2), texts_max=1)
    queue.set_aside(queue.take(1, 100))
    assert (queue.texts, queue.tokens, queue.has_next) == (1, 2, False)
    assert queue.take(10, 100) == []
    with pytest.raises(QueueFull):
        queue.add(ticket_of("next", 1))
    queue.put_back(queue.take_aside("cold"))
    assert names(queue.take(10, 100)) == [("cold", 0)]
    assert (queue.texts, queue.tokens) == (0, 0)


@pytest.mark.parametrize("aside", [True, False])
def test_a_dropped_job_frees_its_places_at_once(aside: bool) -> None:
    gone, stays = ticket_of("a", 3, 4), ticket_of("a", 5)
    queue = queue_with(gone, stays)
    if aside:
        queue.set_aside(queue.take(10, 100))
    queue.drop(gone)
    assert (queue.texts, queue.tokens) == (1, 5)
    left = queue.take_aside("a") if aside else queue.take(10, 100)
    assert [entry.ticket for entry in left] == [stays]


def test_a_job_dropped_while_a_pass_has_it_does_not_come_back() -> None:
    gone = ticket_of("a", 1, 1)
    queue = queue_with(gone)
    taken = queue.take(1, 100)
    queue.drop(gone)
    queue.put_back(taken)
    queue.set_aside(taken)
    assert (queue.texts, queue.tokens, queue.has_next) == (0, 0, False)
    assert queue.take_aside("a") == []


def test_dropping_twice_changes_nothing() -> None:
    gone = ticket_of("a", 1)
    queue = queue_with(gone, ticket_of("b", 1))
    queue.drop(gone)
    queue.drop(gone)
    assert queue.texts == 1


Text = tuple[Ticket, int]


def texts_of(entries: Sequence[Entry]) -> list[Text]:
    return [(entry.ticket, entry.position) for entry in entries]


class QueueMachine(RuleBasedStateMachine):
    """Random calls; at the end of each the books agree with what is where.

    Texts of one tenant, and no shadows, leave in the order in which they came; with more tenants
    that holds for each of them.
    """

    tenants: tuple[str, ...] = ("",)

    def __init__(self) -> None:
        super().__init__()
        self.queue = Queue(texts_max=12, tokens_max=40, tenant_ratio=100.0)
        self.tickets: list[Ticket] = []
        self.waiting: list[Text] = []
        self.aside: list[Text] = []
        self.taken: list[Entry] = []
        self.orders: dict[Text, int] = {}

    @rule(
        digest=st.sampled_from("abc"),
        lengths=st.lists(st.integers(1, 9), min_size=1, max_size=4),
        alone=st.sampled_from([False, False, False, True]),
        data=st.data(),
    )
    def add(self, digest: str, lengths: list[int], alone: bool, data: st.DataObject) -> None:
        texts = [text_of(*range(length)) for length in lengths]
        tenant = data.draw(st.sampled_from(self.tenants))
        weight = data.draw(st.sampled_from([0.5, 1.0, 3.0]))
        job = Job(digest, texts, alone=alone, tenant=tenant, weight=weight)
        ticket = Ticket(job, queued_at=0.0)
        held = self.waiting + self.aside
        fits = len(held) + len(lengths) <= 12
        fits = fits and sum(map(cost_of, held)) + sum(lengths) <= 40
        if not fits and held:
            with pytest.raises(QueueFull):
                self.queue.add(ticket)
            return
        self.queue.add(ticket)
        self.tickets.append(ticket)
        for position in range(len(lengths)):
            self.orders[ticket, position] = len(self.orders)
            self.waiting.append((ticket, position))

    @rule(texts=st.integers(1, 6), tokens=st.integers(1, 20))
    def take(self, texts: int, tokens: int) -> None:
        taken = texts_of(entries := self.queue.take(texts, tokens))
        assert len(taken) <= texts
        assert sum(map(cost_of, taken[:-1])) < tokens
        assert len({ticket for ticket, _ in taken}) <= 1 or not any(
            ticket.job.alone for ticket, _ in taken
        )
        assert taken or not self.waiting
        for tenant in self.tenants:
            mine = sorted(
                (text for text in self.waiting if text[0].job.tenant == tenant),
                key=self.orders.__getitem__,
            )
            got = [text for text in taken if text[0].job.tenant == tenant]
            assert got == mine[: len(got)]
        self.check_full(taken, texts, tokens)
        self.waiting = [text for text in self.waiting if text not in taken]
        self.taken += entries

    def check_full(self, taken: Sequence[Text], texts: int, tokens: int) -> None:
        """With one tenant it is known what should have been next."""
        left = sorted(
            (text for text in self.waiting if text not in taken), key=self.orders.__getitem__
        )
        if not left or len(taken) == texts or sum(map(cost_of, taken)) >= tokens:
            return
        alone = left[0][0].job.alone or taken[0][0].job.alone or len(self.tenants) > 1
        assert alone, "a text was left though there was room"
        assert left[0][0] is not taken[0][0] or len(self.tenants) > 1

    @precondition(lambda self: self.taken)
    @rule(data=st.data())
    def give_back(self, data: st.DataObject) -> None:
        chosen = data.draw(st.lists(st.sampled_from(range(len(self.taken))), unique=True))
        entries = [self.taken[i] for i in chosen]
        self.taken = [e for i, e in enumerate(self.taken) if i not in chosen]
        live = texts_of([e for e in entries if not e.ticket.dropped])
        if data.draw(st.booleans()):
            self.queue.put_back(entries)
            self.waiting += live
        else:
            self.queue.set_aside(entries)
            self.aside += live

    @rule(digest=st.sampled_from("abc"))
    def bring_in(self, digest: str) -> None:
        entries = self.queue.take_aside(digest)
        mine = [text for text in self.aside if text[0].job.digest == digest]
        assert set(texts_of(entries)) == set(mine)
        assert len(entries) == len(mine)
        self.queue.put_back(entries)
        self.aside = [text for text in self.aside if text not in mine]
        self.waiting += mine

    @precondition(lambda self: self.taken)
    @rule()
    def run(self) -> None:
        """Let everything that was taken and not put back have run."""
        self.taken.clear()

    @precondition(lambda self: self.tickets)
    @rule(data=st.data())
    def drop(self, data: st.DataObject) -> None:
        ticket = data.draw(st.sampled_from(self.tickets))
        self.queue.drop(ticket)
        self.waiting = [text for text in self.waiting if text[0] is not ticket]
        self.aside = [text for text in self.aside if text[0] is not ticket]

    @invariant()
    def the_books_are_right(self) -> None:
        held = self.waiting + self.aside
        assert self.queue.texts == len(held)
        assert self.queue.tokens == sum(map(cost_of, held))
        assert self.queue.has_next == bool(self.waiting)
        for ticket in self.tickets:
            if not ticket.dropped:
                assert ticket.waiting == sum(text[0] is ticket for text in held)
        for name, flow in self.queue._order.flows.items():
            mine = [text for text in held if text[0].job.tenant == name]
            assert (flow.texts, flow.tokens) == (len(mine), sum(map(cost_of, mine)))


def cost_of(text: Text) -> int:
    ticket, position = text
    return len(ticket.job.texts[position])


class SharedQueueMachine(QueueMachine):
    """The same with several tenants."""

    tenants = ("", "one", "two")


TestQueueMachine = QueueMachine.TestCase
TestSharedQueueMachine = SharedQueueMachine.TestCase


def test_an_empty_queue_takes_a_job_of_any_size() -> None:
    queue = queue_with(ticket_of("a", 600, 600), texts_max=1, tokens_max=1000)
    assert queue.texts == 2
    with pytest.raises(QueueFull):
        queue.add(ticket_of("b", 1))
