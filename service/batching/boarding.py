"""Boarding: which of the texts looked at have their adapters in slots, and what the rest wait for.

The first text goes before all others, so that nothing starves; then callers' texts; shadows take
the slots that are left.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field

from service.batching.jobs import BACKBONE, Entry
from service.batching.residency import BARE, Residency, Resident
from service.errors import AdapterQuarantined

_WRITES = 32  # adapters written into slots between two passes, at most


@dataclass(slots=True)
class Boarded:
    """Texts looked at, sorted by what can be done with them; each list is in their order."""

    entries: list[Entry] = field(default_factory=list)  # with their adapters in (pinned) slots
    numbers: list[int] = field(default_factory=list)  # of these, into `residents`
    residents: list[Resident] = field(default_factory=list)
    aside: list[Entry] = field(default_factory=list)  # that wait for a load
    later: list[Entry] = field(default_factory=list)  # that wait for a slot, or to be written
    failed: dict[str, tuple[Exception, list[Entry]]] = field(default_factory=dict)  # by digest
    evictions: int = 0

    def leave(self, residency: Residency) -> None:
        """Unpin the slots."""
        for resident in self.residents:
            if resident is not BARE:
                residency.slots.unpin(resident.slot)


def board(entries: Sequence[Entry], residency: Residency, quarantined: Collection[str]) -> Boarded:
    """Bring adapters into slots, as many as there is room for, and pin them."""
    boarded = Boarded()
    evictions, writes = residency.evictions, residency.writes
    numbers: dict[str, int | None] = {}  # into boarded.residents, by digest
    for entry in _by_need(entries):
        digest = entry.digest
        resident = None
        try:
            may_write = residency.writes - writes < _WRITES
            resident = _find(entry, residency, quarantined, may_write=may_write)
        except Exception as error:  # noqa: BLE001 - its callers get it
            boarded.failed[digest] = (error, [])
        numbers[digest] = None if resident is None else len(boarded.residents)
        if resident is not None:
            if resident is not BARE:
                residency.slots.pin(resident.slot)
            boarded.residents.append(resident)
    for entry in entries:
        digest = entry.digest
        number = numbers[digest]
        if number is not None:
            boarded.entries.append(entry)
            boarded.numbers.append(number)
        elif digest in boarded.failed:
            boarded.failed[digest][1].append(entry)
        elif residency.is_loading(digest):
            boarded.aside.append(entry)
        else:
            boarded.later.append(entry)
    boarded.evictions = residency.evictions - evictions
    return boarded


def _by_need(entries: Sequence[Entry]) -> Iterable[Entry]:
    """Return one text of each adapter: the first text, callers' texts, and then shadows'."""
    callers: dict[str, Entry] = {}
    shadows: dict[str, Entry] = {}
    for entry in entries:
        digest = entry.digest
        if digest not in callers:
            if callers and entry.ticket.shadow_of is not None:
                shadows.setdefault(digest, entry)
            else:
                callers[digest] = entry
    callers.update((digest, entry) for digest, entry in shadows.items() if digest not in callers)
    return callers.values()


def _find(
    entry: Entry, residency: Residency, quarantined: Collection[str], *, may_write: bool
) -> Resident | None:
    """Return the adapter in its slot, or None where it has none yet."""
    job = entry.ticket.job
    if job.digest == BACKBONE:
        return BARE
    if job.digest in quarantined:  # since its job was accepted
        raise AdapterQuarantined(f"the adapter {job.digest} is quarantined")
    if job.brings is not None:
        residency.keep(job.brings)
    if not may_write:
        return residency.find(job.digest)
    shadow = entry.ticket.shadow_of is not None
    return residency.bring(job.digest, job.tenant, shadow=shadow)
