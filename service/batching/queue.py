"""The queue: texts that wait for a pass, in fair order, never more than it may hold.

Pure. A job is one caller's texts for one adapter; its texts may be answered by several passes. A
job that is dropped (its caller left, or its deadline passed) frees its places at once. Shadows
stand right behind the texts that they copy and take only places that are left: they never keep a
caller out.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import cast

from service.batching.admission import Amount, DrainRate, threshold
from service.batching.fairness import FairOrder, Flow, charge_of
from service.batching.jobs import Entry, Job, Ticket, pieces_of
from service.engine.pixels import Prepared
from service.errors import QueueFull, TenantLimited


class Queue:
    """Texts in fair order over tenants, bounded in texts and in tokens, as a whole and for each."""

    def __init__(self, texts_max: int, tokens_max: int, tenant_ratio: float = 1.0) -> None:
        """A tenant may hold `tenant_ratio` times its weight times what is free."""
        self.texts_max = texts_max
        self.tokens_max = tokens_max
        self.texts = 0  # live texts, shadows and those set aside among them, taken ones not
        self.tokens = 0
        self.drain_rate = DrainRate()  # told by whoever runs the passes
        self._tenant_ratio = tenant_ratio
        self._shadow_texts = 0  # of all
        self._shadow_tokens = 0
        self._shadows: dict[Ticket, None] = {}  # that wait, in order of arrival
        self._order = FairOrder()
        self._aside: dict[str, list[Entry]] = {}  # by digest
        self._arrived = 0

    @property
    def has_next(self) -> bool:
        """Return whether `take` would find a text."""
        return len(self._order) > 0

    def add(self, ticket: Ticket, shadows: Sequence[Ticket] = ()) -> list[Ticket]:
        """Append a ticket's texts, all or none, and behind them those of the shadows with room.

        Raises `QueueFull` where the queue has no room for them, and `TenantLimited` where it has
        but the tenant holds its part already. An empty queue takes any job, and a tenant without
        texts one that there is room for: what a request may hold is bounded elsewhere, and one that
        never fits would be told for ever to try again. Returns the shadows that are dropped for
        want of room, waiting ones that had to make room for the ticket among them.
        """
        job = ticket.job
        asked = _amount(ticket)
        flow = self._order.flow(job.tenant)
        self._admit(job, flow, asked.texts, asked.tokens)
        dropped = self._make_room(asked.texts, asked.tokens) if self._shadows else []
        riding, more = [ticket], asked
        for shadow in shadows:
            with_it = more + _amount(shadow)
            if self._has_room(job, flow, with_it):
                riding.append(shadow)
                more = with_it
            else:
                shadow.dropped = True
                dropped.append(shadow)
        entries = self._entries(riding, flow)
        self._order.append(flow, entries)
        self._count(entries, 1)
        return dropped

    def take(self, texts: int, tokens: int) -> list[Entry]:
        """Remove and return the next live entries, up to so many texts or tokens.

        A job that wants to be alone comes without others.
        """
        taken = self._order.take(texts, tokens)
        self._count(taken, -1)
        return taken

    def put_back(self, entries: Sequence[Entry]) -> None:
        """Put taken entries back to where they stood, and give back what they were charged."""
        live = self._live(entries)
        self._order.put_back(live)
        self._count(live, 1)

    def set_aside(self, entries: Sequence[Entry]) -> None:
        """Keep taken entries out of `take` until their adapter is there; they still count."""
        live = self._live(entries)
        self.refund(live)
        self._count(live, 1)
        for entry in live:
            self._aside.setdefault(entry.digest, []).append(entry)

    def take_aside(self, digest: str) -> list[Entry]:
        """Remove and return the live entries that were set aside for the digest."""
        entries = self._aside.pop(digest, [])
        self._count(entries, -1)
        return entries

    def refund(self, entries: Iterable[Entry]) -> None:
        """Give back what was charged for taken entries that did not run."""
        for entry in entries:
            if entry.start is not None:
                self._order.refund(entry)

    def drop(self, ticket: Ticket) -> None:
        """Give up a ticket: its waiting texts free their places at once."""
        if ticket.dropped:
            return
        ticket.dropped = True
        if not ticket.waiting:
            return
        gone = self._order.drop(self._order.flow(ticket.job.tenant), ticket)
        digest = ticket.job.digest
        aside = self._aside.pop(digest, [])
        stay = [entry for entry in aside if entry.ticket is not ticket]
        if stay:
            self._aside[digest] = stay
        self._count(gone, -1)
        self._count((entry for entry in aside if entry.ticket is ticket), -1)

    def _entries(self, riding: Sequence[Ticket], flow: Flow) -> list[Entry]:
        """Return the texts of a ticket, each with its shadows' behind it."""
        if any(one.gathered for one in riding):
            return self._windows(riding, flow)
        job = riding[0].job
        entries: list[Entry] = []
        order = first = self._arrived
        places = [_places(one) for one in riding]
        texts = cast("Sequence[Prepared]", job.texts)  # a ticket with a long one gathers windows
        for position, text in enumerate(texts):
            cost = len(text)
            charge = charge_of(cost, job.weight)
            unit = first if job.alone else order  # a job that wants to be alone goes in one piece
            for one, place_of in zip(riding, places, strict=True):
                place = position if place_of is None else place_of.get(position, -1)
                if place < 0:
                    continue
                digest = one.job.digest
                entries.append(
                    Entry(one, place, order, text, digest, flow, cost, charge, unit, job.alone)
                )
                order += 1
        self._arrived = order
        return entries

    def _windows(self, riding: Sequence[Ticket], flow: Flow) -> list[Entry]:
        """Return the texts and windows of a ticket, each with its shadows' behind it.

        Of a long text each window has its shadows' window of the same number behind it: versions
        may cut the same text differently.
        """
        job = riding[0].job
        entries: list[Entry] = []
        order = first = self._arrived
        places = [_places(one) for one in riding]
        for position in range(len(job.texts)):
            window, more = 0, True
            while more:
                more = False
                unit = first if job.alone else order
                for one, place_of in zip(riding, places, strict=True):
                    place = position if place_of is None else place_of.get(position, -1)
                    pieces = () if place < 0 else pieces_of(one.job.texts[place])
                    if window >= len(pieces):
                        continue
                    piece = pieces[window]
                    cost = len(piece)
                    charge = charge_of(cost, job.weight)
                    digest = one.job.digest
                    entry = Entry(
                        one, place, order, piece, digest, flow, cost, charge, unit, job.alone
                    )
                    entry.window = window
                    entries.append(entry)
                    order += 1
                    more = more or window + 1 < len(pieces)
                window += 1
        self._arrived = order
        return entries

    def _admit(self, job: Job, flow: Flow, texts: int, tokens: int) -> None:
        # Shadows count for nothing here: they go when a caller needs their places.
        free_texts = self.texts_max - self.texts + self._shadow_texts
        free_tokens = self.tokens_max - self.tokens + self._shadow_tokens
        if self.texts > self._shadow_texts and (texts > free_texts or tokens > free_tokens):
            raise QueueFull(
                f"{self.texts} texts of {self.tokens} tokens are waiting, and at most"
                f" {self.texts_max} of {self.tokens_max} may; try again later"
            )
        held = flow.texts - flow.shadow_texts
        if held:
            factor = self._tenant_ratio * job.weight
            held_tokens = flow.tokens - flow.shadow_tokens
            if held + texts > free_texts * factor or held_tokens + tokens > free_tokens * factor:
                free = Amount(free_texts, free_tokens)
                asked = Amount(texts, tokens)
                raise self._limited(Amount(held, held_tokens), asked, free, factor)

    def _limited(self, held: Amount, asked: Amount, free: Amount, factor: float) -> TenantLimited:
        limit = threshold(free, factor)
        over = held + asked - limit
        excess = Amount(min(over.texts, held.texts), min(over.tokens, held.tokens))
        return TenantLimited(
            f"{held.texts} texts of {held.tokens} tokens of this tenant are waiting, and of what"
            f" is free now it may have {limit.texts} of {limit.tokens}; try again later",
            self.drain_rate.wait_s(excess, factor, len(self._order.flows)),
        )

    def _has_room(self, job: Job, flow: Flow, more: Amount) -> bool:
        """Return whether there are places for so much with a shadow in it, of a tenant's own."""
        free = Amount(self.texts_max - self.texts, self.tokens_max - self.tokens)
        part = threshold(free, self._tenant_ratio * job.weight)
        return more <= free and Amount(flow.texts, flow.tokens) + more <= part

    def _make_room(self, texts: int, tokens: int) -> list[Ticket]:
        """Drop shadows, the newest first, until so much fits; return them."""
        dropped = []
        while self._shadows and (
            self.texts + texts > self.texts_max or self.tokens + tokens > self.tokens_max
        ):
            newest = next(reversed(self._shadows))
            self.drop(newest)
            dropped.append(newest)
        return dropped

    def _live(self, entries: Sequence[Entry]) -> Sequence[Entry]:
        """Return the entries that nobody gave up; what the others were charged is given back."""
        gone = [entry for entry in entries if entry.ticket.dropped]
        if not gone:
            return entries
        self.refund(gone)
        return [entry for entry in entries if not entry.ticket.dropped]

    def _count(self, entries: Iterable[Entry], sign: int) -> None:
        """Enter texts in the books, or strike them off."""
        texts = tokens = 0
        for entry in entries:
            ticket, flow, cost = entry.ticket, entry.flow, sign * entry.cost
            texts += sign
            tokens += cost
            ticket.waiting += sign
            flow.texts += sign
            flow.tokens += cost
            if ticket.shadow_of is not None:
                self._count_shadow(ticket, flow, sign, cost)
        self.texts += texts
        self.tokens += tokens

    def _count_shadow(self, ticket: Ticket, flow: Flow, texts: int, tokens: int) -> None:
        self._shadow_texts += texts
        self._shadow_tokens += tokens
        flow.shadow_texts += texts
        flow.shadow_tokens += tokens
        if ticket.waiting:
            self._shadows[ticket] = None
        else:
            self._shadows.pop(ticket, None)


def _amount(ticket: Ticket) -> Amount:
    """Return how much a ticket that is new adds; each window of a long text counts as a text."""
    return Amount(ticket.missing, sum(map(len, ticket.job.texts)))


def _places(ticket: Ticket) -> Mapping[int, int] | None:
    """Return a ticket's own numbers of the texts, by theirs; None: they are the same."""
    if ticket.rows is None:
        return None
    return {row: place for place, row in enumerate(ticket.rows)}
