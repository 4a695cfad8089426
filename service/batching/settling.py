"""Settling: what a pass gave, entered into the tickets.

A long text's windows may come from several passes; with the last of them its answer is made.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from service.batching.boarding import Boarded
from service.batching.jobs import Entry, Gathered, Ticket
from service.batching.residency import Resident
from service.batching.slots import Slot
from service.engine.forward import Answered, Forward
from service.engine.tokens import Window


@dataclass(slots=True)
class Settled:
    """What became of the tickets that had a part in a pass."""

    complete: list[Ticket] = field(default_factory=list)
    failed: dict[Ticket, str] = field(default_factory=dict)  # and the digest that was not finite
    # Digests whose head gave inf or NaN for finite windows; of others `Answered` tells.
    poisonous: set[str] = field(default_factory=set)


def settle(
    boarded: Boarded,
    answered: Answered,
    forward: Forward,
    seconds: float,
    *,
    expects: Callable[[Ticket], bool],
    is_current: Callable[[Slot], bool],
) -> Settled:
    """Enter a pass's answers into their tickets; return those that are complete or have failed.

    A ticket that nobody `expects` is passed over. `is_current` says whether an adapter is still
    where it was when the pass began.
    """
    settled = Settled()
    for at, index in enumerate(answered.indices):
        entry = boarded.entries[index]
        ticket = entry.ticket
        resident = boarded.residents[boarded.numbers[index]]
        if not expects(ticket):
            continue
        digest = resident.slot.digest
        row = answered.probabilities[at]
        if row is None:
            settled.failed[ticket] = digest
            continue
        adapter = resident.member.adapter
        assert adapter is None or is_current(resident.slot), "a slot moved under a pass"
        if type(entry.tokens) is Window:
            pooled, embedding = answered.pooled[at], answered.embeddings[at]
            _gathered(entry).take(entry.window, pooled, embedding)
            if not _conclude(entry, resident, forward):
                settled.failed[ticket] = digest
                settled.poisonous.add(digest)
                continue
        else:
            ticket.probabilities[entry.position] = row
            ticket.embeddings[entry.position] = answered.embeddings[at]
        ticket.digests.add(digest)
        if adapter is not None:
            ticket.labels = adapter.labels
        ticket.compute_s += seconds / len(answered.indices)
        ticket.missing -= 1
        if ticket.missing == 0:
            settled.complete.append(ticket)
    return settled


def _gathered(entry: Entry) -> Gathered:
    assert entry.ticket.gathered is not None, "a ticket with windows gathers them"
    return entry.ticket.gathered[entry.position]


def _conclude(entry: Entry, resident: Resident, forward: Forward) -> bool:
    """Answer a window's text if no other window is missing; False: the answer is not finite."""
    ticket, gathered = entry.ticket, _gathered(entry)
    if gathered.missing:
        return True
    pooled, embeddings = np.stack(gathered.pooled), np.stack(gathered.embeddings)
    row, embedding = forward.conclude(resident.member, pooled, embeddings, gathered.lengths)
    ticket.probabilities[entry.position] = row
    ticket.embeddings[entry.position] = embedding
    return row is not None
