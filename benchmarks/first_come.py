"""The queue without fairness: texts in order of arrival, whoever sent them; a baseline only."""

from collections import deque
from collections.abc import Iterable, Sequence

from service.batching.admission import DrainRate
from service.batching.fairness import Flow
from service.batching.jobs import Entry, Ticket
from service.batching.queue import Queue
from service.engine.tokens import Windowed
from service.errors import QueueFull


class FirstComeQueue(Queue):
    """Bounded as a whole, and for no tenant; knows no shadows."""

    def __init__(self, texts_max: int, tokens_max: int, tenant_ratio: float = 1.0) -> None:
        super().__init__(texts_max, tokens_max, tenant_ratio)
        self.drain_rate = DrainRate()
        self._line: deque[Entry] = deque()  # in order of arrival
        self._nobody = Flow("")

    @property
    def has_next(self) -> bool:
        """Return whether `take` would find a text."""
        return bool(self._line)

    def add(self, ticket: Ticket, shadows: Sequence[Ticket] = ()) -> list[Ticket]:
        """Append a ticket's texts, all or none; raise `QueueFull` where they have no room."""
        assert not shadows, "the baseline has none"
        texts = ticket.job.texts
        tokens = sum(map(len, texts))
        full = self.texts + len(texts) > self.texts_max or self.tokens + tokens > self.tokens_max
        if full and self.texts:
            raise QueueFull("the baseline is full")
        for position, text in enumerate(texts):
            assert not isinstance(text, Windowed), "the baseline has no windows"
            order = self._arrived
            entry = Entry(
                ticket,
                position,
                order,
                text,
                ticket.job.digest,
                self._nobody,
                len(text),
                0,
                order,
                ticket.job.alone,
            )
            self._line.append(entry)
            self._enter(entry, 1)
            self._arrived += 1
        return []

    def take(self, texts: int, tokens: int) -> list[Entry]:
        """Remove and return the oldest live entries, up to so many texts or tokens."""
        taken: list[Entry] = []
        held = 0
        while self._line and len(taken) < texts and held < tokens:
            entry = self._line.popleft()
            self._enter(entry, -1)
            held += entry.cost
            taken.append(entry)
        return taken

    def put_back(self, entries: Sequence[Entry]) -> None:
        """Put taken entries back to their places in the order of arrival."""
        live = sorted((e for e in entries if not e.ticket.dropped), key=lambda e: e.order)
        if not live:
            return
        while self._line and self._line[0].order < live[-1].order:
            older = self._line.popleft()
            self._enter(older, -1)
            live.append(older)
        for entry in sorted(live, key=lambda e: -e.order):
            self._enter(entry, 1)
            self._line.appendleft(entry)

    def set_aside(self, entries: Sequence[Entry]) -> None:
        """Keep taken entries out of `take` until their adapter is there; they still count."""
        for entry in entries:
            if not entry.ticket.dropped:
                self._enter(entry, 1)
                self._aside.setdefault(entry.digest, []).append(entry)

    def take_aside(self, digest: str) -> list[Entry]:
        """Remove and return the live entries that were set aside for the digest."""
        entries = self._aside.pop(digest, [])
        for entry in entries:
            self._enter(entry, -1)
        return entries

    def refund(self, entries: Iterable[Entry]) -> None:
        """Do nothing: nobody is charged."""

    def drop(self, ticket: Ticket) -> None:
        """Give up a ticket: its waiting texts free their places at once."""
        if ticket.dropped:
            return
        ticket.dropped = True
        if not ticket.waiting:
            return
        for entry in [e for e in self._line if e.ticket is ticket]:
            self._enter(entry, -1)
            self._line.remove(entry)

    def _enter(self, entry: Entry, sign: int) -> None:
        self.texts += sign
        self.tokens += sign * entry.cost
        entry.ticket.waiting += sign
