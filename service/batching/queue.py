"""The queue: texts that wait for a pass, oldest first, never more than it may hold.

Pure. A job is one caller's texts for one adapter; its texts may be answered by several passes. A
job that is dropped (its caller left, or its deadline passed) frees its places at once.
"""

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from service.engine.adapter import Adapter, FloatArray
from service.engine.tokens import Tokens
from service.errors import QueueFull


@dataclass(frozen=True, slots=True)
class Job:
    """What a caller asks: texts for one adapter, by its digest."""

    digest: str
    texts: Sequence[Tokens]
    deadline_s: float | None = None  # on the monotonic clock
    alone: bool = False  # shares its passes with no other job
    brings: Adapter | None = None  # the adapter itself, where it is not in the store yet


@dataclass(slots=True, eq=False)
class Ticket:
    """A job in the queue, and the answers that it has so far."""

    job: Job
    queued_at: float  # monotonic
    started_at: float | None = None
    compute_s: float = 0.0
    dropped: bool = False
    labels: tuple[str, ...] = ()
    digests: set[str] = field(default_factory=set)  # read from the slots that computed the rows
    probabilities: list[FloatArray | None] = field(default_factory=list)
    embeddings: list[FloatArray] = field(default_factory=list)
    waiting: int = 0  # texts that no pass has taken yet
    missing: int = 0  # texts without an answer

    def __post_init__(self) -> None:
        count = len(self.job.texts)
        self.probabilities = [None] * count
        self.embeddings = [np.empty(0, dtype=np.float32)] * count
        self.waiting = self.missing = count


@dataclass(frozen=True, slots=True, eq=False)
class Entry:
    """One text of a ticket."""

    ticket: Ticket
    position: int
    order: int  # of arrival

    @property
    def tokens(self) -> Tokens:
        """Return the text's tokens."""
        return self.ticket.job.texts[self.position]

    @property
    def digest(self) -> str:
        """Return the digest of the adapter that must answer it."""
        return self.ticket.job.digest


class Queue:
    """Texts in order of arrival, bounded in texts and in tokens."""

    def __init__(self, texts_max: int, tokens_max: int) -> None:
        self.texts_max = texts_max
        self.tokens_max = tokens_max
        self.texts = 0  # live texts, those set aside among them, taken ones not
        self.tokens = 0
        self._entries: deque[Entry] = deque()  # in order of arrival
        self._aside: dict[str, list[Entry]] = {}  # by digest
        self._arrived = 0

    @property
    def has_next(self) -> bool:
        """Return whether `take` would find a text."""
        return bool(self._entries)

    def add(self, ticket: Ticket) -> None:
        """Append a ticket's texts, all or none; raise `QueueFull` where they have no room.

        An empty queue takes any job: what a request may hold is bounded elsewhere, and one that
        never fits would be told for ever to try again.
        """
        texts = ticket.job.texts
        tokens = sum(map(len, texts))
        full = self.texts + len(texts) > self.texts_max or self.tokens + tokens > self.tokens_max
        if full and self.texts:
            raise QueueFull(
                f"{self.texts} texts of {self.tokens} tokens are waiting, and at most"
                f" {self.texts_max} of {self.tokens_max} may; try again later"
            )
        self.texts += len(texts)
        self.tokens += tokens
        for position in range(len(texts)):
            self._entries.append(Entry(ticket, position, self._arrived))
            self._arrived += 1

    def take(self, texts: int, tokens: int) -> list[Entry]:
        """Remove and return the oldest live entries, up to so many texts or tokens.

        A job that wants to be alone comes without others.
        """
        taken: list[Entry] = []
        held = 0
        while self._entries and len(taken) < texts and held < tokens:
            entry = self._entries[0]
            if taken and _apart(taken[0].ticket, entry.ticket):
                break
            self._entries.popleft()
            self._uncount(entry)
            held += len(entry.tokens)
            taken.append(entry)
        return taken

    def put_back(self, entries: Sequence[Entry]) -> None:
        """Put taken entries back to their places in the order of arrival."""
        live = sorted((e for e in entries if not e.ticket.dropped), key=lambda e: e.order)
        if not live:
            return
        newest = live[-1].order
        while self._entries and self._entries[0].order < newest:
            older = self._entries.popleft()
            self._uncount(older)
            live.append(older)
        for entry in sorted(live, key=lambda e: -e.order):
            self._count(entry)
            self._entries.appendleft(entry)

    def set_aside(self, entries: Sequence[Entry]) -> None:
        """Keep taken entries out of `take` until their adapter is there; they still count."""
        for entry in entries:
            if not entry.ticket.dropped:
                self._count(entry)
                self._aside.setdefault(entry.digest, []).append(entry)

    def take_aside(self, digest: str) -> list[Entry]:
        """Remove and return the live entries that were set aside for the digest."""
        entries = self._aside.pop(digest, [])
        for entry in entries:
            self._uncount(entry)
        return entries

    def drop(self, ticket: Ticket) -> None:
        """Give up a ticket: its waiting texts free their places at once."""
        if ticket.dropped:
            return
        ticket.dropped = True
        if not ticket.waiting:
            return
        self._entries = deque(self._without(ticket, self._entries))
        aside = self._without(ticket, self._aside.pop(ticket.job.digest, []))
        if aside:
            self._aside[ticket.job.digest] = aside

    def _without(self, ticket: Ticket, entries: Iterable[Entry]) -> list[Entry]:
        live = []
        for entry in entries:
            if entry.ticket is ticket:
                self._uncount(entry)
            else:
                live.append(entry)
        return live

    def _count(self, entry: Entry) -> None:
        self.texts += 1
        self.tokens += len(entry.tokens)
        entry.ticket.waiting += 1

    def _uncount(self, entry: Entry) -> None:
        self.texts -= 1
        self.tokens -= len(entry.tokens)
        entry.ticket.waiting -= 1


def _apart(first: Ticket, second: Ticket) -> bool:
    return first is not second and (first.job.alone or second.job.alone)
