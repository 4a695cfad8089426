"""Fairness for any weights and costs: shares, waits, and nobody who waits for ever."""

import itertools
from collections import Counter
from collections.abc import Iterator, Sequence

import hypothesis.strategies as st
from hypothesis import given, settings

from service.batching.fairness import charge_of
from service.batching.jobs import Entry, Job, Ticket
from service.batching.queue import Queue
from service.engine.tokens import Tokens

COST_MAX = 12
UNIT = charge_of(1, 1.0)

weights = st.floats(1e-3, 1e3)
costs = st.lists(st.integers(1, COST_MAX), min_size=1, max_size=12)


def texts_of(lengths: Sequence[int]) -> list[Tokens]:
    return [Tokens([1] * length, None, False, 0) for length in lengths]


class Crowd:
    """Tenants that always have texts waiting, each with costs of its own."""

    def __init__(self, tenants: Sequence[tuple[float, Sequence[int]]], backlog: int) -> None:
        self.queue = Queue(1_000_000, 1_000_000_000, tenant_ratio=1e4)
        self.weights = [weight for weight, _ in tenants]
        self._costs: list[Iterator[int]] = [itertools.cycle(costs) for _, costs in tenants]
        self.served: Counter[str] = Counter()  # tokens
        for number in range(len(tenants)):
            self.add(number, backlog)

    def add(self, number: int, texts: int = 1) -> None:
        lengths = list(itertools.islice(self._costs[number], texts))
        self.enter(str(number), lengths, self.weights[number])

    def enter(self, tenant: str, lengths: Sequence[int], weight: float) -> Ticket:
        job = Job(tenant, texts_of(lengths), tenant=tenant, weight=weight)
        ticket = Ticket(job, queued_at=0.0)
        self.queue.add(ticket)
        return ticket

    def serve(self, entries: Sequence[Entry]) -> None:
        """Let texts run; whoever had one sends another."""
        for entry in entries:
            tenant = entry.ticket.job.tenant
            self.served[tenant] += entry.cost
            if tenant.isdigit():
                self.add(int(tenant))

    def step(self, texts: int, chosen: Sequence[int] = ()) -> list[Entry]:
        """Run the first of so many texts, and the chosen ones; put the others back."""
        taken = self.queue.take(texts, 1_000_000)
        at = {0, *(i for i in chosen if i < len(taken))}
        self.queue.put_back([entry for i, entry in enumerate(taken) if i not in at])
        run = [entry for i, entry in enumerate(taken) if i in at]
        self.serve(run)
        return run


tenants = st.lists(st.tuples(weights, costs), min_size=2, max_size=5)


@settings(max_examples=60)
@given(tenants, st.integers(1, 40), st.lists(st.integers(1, 8), min_size=30, max_size=30))
def test_at_every_moment_shares_are_as_weights_are_but_for_one_text(
    crowd: list[tuple[float, list[int]]], window: int, sizes: list[int]
) -> None:
    """Goyal et al. 1996, theorem 1, for passes of any size over a window of any size."""
    waiting = Crowd(crowd, backlog=50)
    for size in sizes:
        waiting.step(max(window, size), range(size))
        normal = [waiting.served[str(n)] / weight for n, (weight, _) in enumerate(crowd)]
        for (mine, (w, c)), (other, (v, d)) in itertools.combinations(
            zip(normal, crowd, strict=True), 2
        ):
            assert abs(mine - other) <= (max(c) / w + max(d) / v) * (1 + 1e-6)


@settings(max_examples=60)
@given(tenants, st.floats(0.04, 1.0), costs, st.integers(0, 60), st.data())
def test_nobody_waits_for_ever_whatever_packs_better(
    crowd: list[tuple[float, list[int]]],
    share: float,
    lengths: list[int],
    before: int,
    data: st.DataObject,
) -> None:
    """In each pass the first text runs, and any others that somebody likes better."""
    weight = share * max(w for w, _ in crowd)
    waiting = Crowd(crowd, backlog=20)
    fillers = data.draw(st.lists(st.integers(1, 30), max_size=4))
    for _ in range(before):
        waiting.step(40, fillers)
    ticket = waiting.enter("late", lengths[:4], weight)
    ahead = sum(charge_of(cost, weight) for cost in lengths[:4])
    bound = len(lengths[:4])
    for w, c in crowd:  # texts of one tenant that begin before the last of these in virtual time
        bound += 2 + ahead // min(charge_of(cost, w) for cost in c)
    left = {0, 1, 2, 3} & set(range(len(lengths[:4])))
    passes = 0
    while left:
        passes += 1
        assert passes <= bound
        left -= {e.position for e in waiting.step(40, fillers) if e.ticket is ticket}


@settings(max_examples=40)
@given(tenants, st.floats(0.04, 50.0), costs, st.integers(0, 30))
def test_a_wait_depends_on_weights_and_not_on_what_others_have_waiting(
    crowd: list[tuple[float, list[int]]], share: float, lengths: list[int], before: int
) -> None:
    weight = share * max(w for w, _ in crowd)
    order: list[list[str]] = []
    for backlog in (15, 600):
        waiting = Crowd(crowd, backlog)
        for _ in range(before):
            waiting.step(10, range(3))
        waiting.served.clear()
        ticket = waiting.enter("late", lengths[:3], weight)
        left = len(lengths[:3])
        served: list[str] = []
        while left:
            run = waiting.step(10)
            left -= run[0].ticket is ticket
            served.append(run[0].ticket.job.tenant)
        order.append(served)
        charge = sum(charge_of(cost, weight) for cost in lengths[:3])
        for number, (w, c) in enumerate(crowd):
            most = charge * w / UNIT + 2 * max(c)
            assert waiting.served[str(number)] <= most * (1 + 1e-6)
    assert order[0] == order[1]


@settings(max_examples=60)
def shadow_of(ticket: Ticket, digest: str, rows: list[int] | None) -> Ticket:
    texts = ticket.job.texts if rows is None else [ticket.job.texts[row] for row in rows]
    return Ticket(Job(digest, texts, tenant=ticket.job.tenant), 0.0, shadow_of=ticket, rows=rows)


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["add", "take", "take", "drop", "aside", "back"]),
            st.sampled_from("ab"),
            st.integers(1, 4),
            st.integers(0, 2),
            st.none() | st.sets(st.integers(0, 3), min_size=1),
        ),
        max_size=60,
    )
)
def test_shadows_never_keep_a_caller_out_and_the_books_are_right(
    calls: list[tuple[str, str, int, int, set[int] | None]],
) -> None:
    queue = Queue(16, 160, tenant_ratio=1e4)
    callers: list[Ticket] = []
    shadows: list[Ticket] = []
    given_up: set[Ticket] = set()
    for what, tenant, count, riding, some in calls:
        if what == "add":
            ticket = Ticket(Job("live", texts_of([5] * count), tenant=tenant), 0.0)
            rows = sorted(row for row in some or () if row < count) or None
            copies = [
                shadow_of(ticket, f"new {i}", rows if i == 0 else None) for i in range(riding)
            ]
            live = sum(t.waiting for t in callers)
            if live and live + count > 16:
                continue
            given_up.update(queue.add(ticket, copies))
            callers.append(ticket)
            shadows += copies
        elif what == "take":
            taken = queue.take(count, 1_000)
            if riding:
                queue.put_back(taken[riding:])
        elif what == "drop" and callers:
            queue.drop(callers[count % len(callers)])
        elif what == "aside":
            queue.set_aside(queue.take(count, 1_000))
        else:
            for digest in ("live", "new 0", "new 1"):
                queue.put_back(queue.take_aside(digest))
        assert queue.texts == sum(t.waiting for t in callers + shadows if not t.dropped)
        assert queue.tokens == 5 * queue.texts
        assert queue.texts <= 16
        assert all(ticket.dropped for ticket in given_up)
        assert not any(ticket.shadow_of is None for ticket in given_up)
        assert set(queue._shadows) == {t for t in shadows if t.waiting}
