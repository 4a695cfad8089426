"""Fair order: whose text is next, by start-time fair queueing over tenants.

Pure: no clock. Each tenant has a place in virtual time, which moves on by tokens over weight for
every text of it that runs; the tenant with the least place is next (Goyal, Vin and Cheng 1996,
"Start-time fair queueing"). A tenant that had nothing waiting begins at the place where the others
are, so that it neither pays for what nobody else wanted nor saves up a share that it did not use.
Inside a tenant texts keep the order in which they came.

A pass looks at many texts and has room for some. Those that were looked at stand in line, with the
place that they had then, until they run; so sooner or later each is the very first, and the first
always runs. What new texts change is a few entries of the line, not all of it. Only what runs is
charged: a text that leaves otherwise takes its charge with it, and its tenant's younger texts
are placed anew. Virtual time is counted in whole numbers, so that this leaves no rest.
"""

import heapq
from bisect import bisect_left
from collections import deque
from collections.abc import Sequence
from itertools import accumulate
from operator import attrgetter

from service.batching.jobs import Entry, Ticket

_UNIT = 1 << 20  # virtual time of one token at weight 1
_FLOWS_KEPT = 64  # tenants remembered before the first look for those that can be forgotten
_order_of = attrgetter("order")
_place_of = attrgetter("start", "order")
_cost_of = attrgetter("cost")


def charge_of(tokens: int, weight: float) -> int:
    """Return by how much so many tokens move a tenant of that weight on in virtual time."""
    return int(tokens * _UNIT / weight) or 1


class Flow:
    """One tenant's place in virtual time, and its texts that nobody has looked at."""

    __slots__ = (
        "busy",
        "epoch",
        "finish",
        "forgotten",
        "item",
        "last",
        "loose",
        "shadow_texts",
        "shadow_tokens",
        "stale",
        "tenant",
        "texts",
        "tokens",
        "waiting",
    )

    def __init__(self, tenant: str) -> None:
        self.tenant = tenant
        self.waiting: deque[Entry] = deque()  # in order of arrival
        self.finish = 0  # where all that was charged ends
        self.last = 0  # the place of its youngest text in line
        self.busy = False  # has had something in `waiting` since it was last placed
        self.loose = False  # must be placed before the next text is taken
        self.stale = False  # its texts in line must be placed anew
        self.epoch = 0  # moves on when its texts must be placed anew
        self.forgotten = False
        self.item: tuple[int, int, Flow] | None = None  # in the heap
        # What it holds of the queue, texts that are set aside among it: the queue's books.
        self.texts = self.tokens = 0
        self.shadow_texts = self.shadow_tokens = 0  # of these

    @property
    def place(self) -> int:
        """Return the start of its first waiting text in virtual time."""
        start = self.waiting[0].start
        return self.finish if start is None else max(self.last, min(start, self.finish))


class FairOrder:
    """The waiting texts of all tenants, in the order in which they should run."""

    def __init__(self) -> None:
        self.flows: dict[str, Flow] = {}
        self.now = 0  # virtual time: the least place of those who wait
        self._line: list[Entry] = []  # charged, by place
        self._sorted = True
        self._heap: list[tuple[int, int, Flow]] = []  # place, order of the first waiting text
        self._loose: list[Flow] = []
        self._stale: list[Flow] = []
        self._ahead = 0  # the furthest place that anybody had
        self._sweep_at = _FLOWS_KEPT
        self._length = 0

    def __len__(self) -> int:
        return self._length

    def flow(self, tenant: str) -> Flow:
        """Return the tenant's flow, a new one where it has none."""
        found = self.flows.get(tenant)
        if found is None:
            found = self.flows[tenant] = Flow(tenant)
        return found

    def append(self, flow: Flow, entries: Sequence[Entry]) -> None:
        """Append new texts of a tenant, in order of arrival."""
        if not flow.waiting:
            self._loosen(flow)
        flow.waiting.extend(entries)
        self._length += len(entries)

    def take(self, texts: int, tokens: int) -> list[Entry]:
        """Remove and return the next texts, up to so many texts or tokens.

        A job that wants to be alone comes without others.
        """
        self._settle()
        self._line_up(texts, tokens)
        line = self._line
        held = count = 0
        for entry in line:
            apart = entry.alone or line[0].alone
            if count == texts or held >= tokens or (apart and entry.ticket is not line[0].ticket):
                break
            held += entry.cost
            count += 1
        taken = line[:count]
        del line[:count]
        self._length -= count
        return taken

    def put_back(self, entries: Sequence[Entry]) -> None:
        """Put taken texts back to where they stood; refunded ones before their tenant's younger."""
        self._length += len(entries)
        if any(entry.epoch != entry.flow.epoch for entry in entries):
            entries = self._returned(entries)
        self._line[:0] = entries
        self._sorted = False

    def refund(self, entry: Entry) -> None:
        """Give back what was charged for a taken text, which is out of order from now on."""
        if entry.flow.forgotten:
            entry.flow = self.flow(entry.flow.tenant)
        elif entry.start is not None:
            entry.flow.finish -= entry.charge
        entry.start = None
        entry.epoch = -1
        self._spoil(entry.flow)

    def drop(self, flow: Flow, ticket: Ticket) -> list[Entry]:
        """Remove and return a ticket's waiting texts."""
        gone = [entry for entry in self._line if entry.ticket is ticket]
        if gone:
            self._line = [entry for entry in self._line if entry.ticket is not ticket]
            flow.finish -= sum(entry.charge for entry in gone)
            self._spoil(flow)
        waiting = [entry for entry in flow.waiting if entry.ticket is ticket]
        if waiting:
            flow.waiting = deque(entry for entry in flow.waiting if entry.ticket is not ticket)
            flow.busy = flow.busy and bool(flow.waiting)
            self._loosen(flow)
        self._length -= len(gone) + len(waiting)
        return gone + waiting

    def _line_up(self, texts: int, tokens: int) -> None:
        """Bring everybody into line who may be among the next so many texts or tokens."""
        line, heap = self._line, self._heap
        ends = list(accumulate(map(_cost_of, line)))
        count = min(len(line), texts, bisect_left(ends, tokens) + 1)
        held = ends[count - 1] if count else 0
        bound = line[count - 1].start if count else 0
        new: list[Entry] = []
        while heap and len(new) < texts:
            place, _, flow = item = heap[0]
            if flow.item is not item:
                heapq.heappop(heap)
                continue
            full = count + len(new) >= texts or held >= tokens
            if full and (bound is None or place >= bound):
                break
            held += self._tag(flow, place, new)
            if flow.waiting:
                flow.item = (flow.place, flow.waiting[0].order, flow)
                heapq.heapreplace(heap, flow.item)
            else:
                flow.busy = False
                flow.item = None
                heapq.heappop(heap)
        if new:
            line += new
            line.sort(key=_place_of)

    def _tag(self, flow: Flow, place: int, new: list[Entry]) -> int:
        """Charge a tenant's first waiting text and what goes with it; return the tokens."""
        waiting = flow.waiting
        tokens = 0
        while True:
            entry = waiting.popleft()
            entry.start = place
            entry.epoch = flow.epoch
            flow.finish += entry.charge
            tokens += entry.cost
            new.append(entry)
            if not waiting or waiting[0].unit != entry.unit:
                break
        flow.last = place
        self._ahead = max(self._ahead, flow.finish)
        return tokens

    def _returned(self, entries: Sequence[Entry]) -> list[Entry]:
        """Bring refunded texts back into their tenants' order; return the others."""
        others: list[Entry] = []
        by_flow: dict[Flow, list[Entry]] = {}
        for entry in entries:
            if entry.epoch != entry.flow.epoch:
                self.refund(entry)
                by_flow.setdefault(entry.flow, []).append(entry)
            else:
                others.append(entry)
        for flow, back in by_flow.items():
            self._merge(flow, back)
        return others

    def _merge(self, flow: Flow, back: list[Entry]) -> None:
        """Bring texts back into a tenant's order of arrival."""
        back.sort(key=_order_of)
        if flow.waiting and flow.waiting[0].order < back[-1].order:
            back = sorted([*back, *flow.waiting], key=_order_of)
            flow.waiting.clear()
        flow.waiting.extendleft(reversed(back))
        self._loosen(flow)

    def _loosen(self, flow: Flow) -> None:
        flow.item = None  # what the heap still holds of it is passed over
        if not flow.loose:
            flow.loose = True
            self._loose.append(flow)

    def _spoil(self, flow: Flow) -> None:
        if not flow.stale:
            flow.stale = True
            self._stale.append(flow)

    def _settle(self) -> None:
        """Move virtual time on, and give every loose tenant its place."""
        if self._stale:
            self._unline()
        line, heap = self._line, self._heap
        if not self._sorted:
            line.sort(key=_place_of)
            self._sorted = True
        while heap and heap[0][2].item is not heap[0]:
            heapq.heappop(heap)
        places = [flow.place for flow in self._loose if flow.busy]
        if heap:
            places.append(heap[0][0])
        if line and line[0].start is not None:
            places.append(line[0].start)
        # Where nobody was left waiting nobody was denied anything, and all begin anew as equals.
        self.now = max(self.now, min(places, default=self._ahead))
        for flow in self._loose:
            flow.loose = False
            if flow.waiting:
                if not flow.busy:
                    flow.busy = True
                    flow.finish = max(flow.finish, self.now)
                flow.item = (flow.place, flow.waiting[0].order, flow)
                heapq.heappush(heap, flow.item)
        self._loose.clear()
        if len(self.flows) > self._sweep_at:
            self._sweep()
        if len(heap) > 2 * len(self.flows) + _FLOWS_KEPT:
            self._rebuild()

    def _unline(self) -> None:
        """Take texts out of line whose tenants' charges were changed, to be placed anew."""
        stay: list[Entry] = []
        by_flow: dict[Flow, list[Entry]] = {}
        for entry in self._line:
            if entry.flow.stale:
                by_flow.setdefault(entry.flow, []).append(entry)
            else:
                stay.append(entry)
        self._line = stay
        for flow, back in by_flow.items():
            flow.finish -= sum(entry.charge for entry in back)
            flow.busy = True
            self._merge(flow, back)
        for flow in self._stale:
            flow.stale = False
            flow.last = 0
            flow.epoch += 1
            if flow.waiting:
                self._loosen(flow)
        self._stale.clear()

    def _sweep(self) -> None:
        """Forget tenants that hold nothing and would begin at the present place anyway."""
        for flow in list(self.flows.values()):
            if not flow.texts and not flow.waiting and flow.finish <= self.now:
                flow.forgotten = True
                flow.epoch += 1
                del self.flows[flow.tenant]
        self._sweep_at = max(_FLOWS_KEPT, 2 * len(self.flows))
        self._rebuild()

    def _rebuild(self) -> None:
        """Rid the heap of what it is to pass over."""
        self._heap = [flow.item for flow in self.flows.values() if flow.item is not None]
        heapq.heapify(self._heap)
