"""Slots: which adapter lies where in the bank, and who leaves when room is needed.

Pure: it decides, the runtime writes. A slot that a pass still uses is pinned and is never given
away; every new tenancy of a slot gets a new generation, so a stale lease is noticed.
"""

from collections import OrderedDict
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Slot:
    """One tenancy of a slot: it is over when the slot's generation has moved on."""

    number: int  # 1 to the number of slots; 0 is the bare backbone
    generation: int
    digest: str


class Slots:
    """Allocates slots to digests, least recently used first out."""

    def __init__(self, count: int) -> None:
        assert count >= 1
        self.count = count
        self._free = list(range(count, 0, -1))
        self._generations = [0] * (count + 1)
        self._held: OrderedDict[str, Slot] = OrderedDict()  # oldest use first
        self._pins: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._held)

    def find(self, digest: str) -> Slot | None:
        """Return the digest's slot, which counts as a use, or None."""
        slot = self._held.get(digest)
        if slot is not None:
            self._held.move_to_end(digest)
        return slot

    def recent(self) -> list[str]:
        """Return the digests that have slots, last used first; from any thread."""
        return list(self._held)[::-1]

    def can_allocate(self) -> bool:
        """Return whether a slot is free or can be made so."""
        return bool(self._free) or any(digest not in self._pins for digest in self._held)

    def allocate(self, digest: str) -> tuple[Slot, str | None]:
        """Give the digest a slot; return it and the digest that had to leave, if any.

        Only when `can_allocate()`, and only for a digest that has none.
        """
        assert digest not in self._held, f"{digest} has a slot already"
        left = None
        if not self._free:
            left = next(held for held in self._held if held not in self._pins)
            self.release(left)
        number = self._free.pop()
        self._generations[number] += 1
        slot = Slot(number, self._generations[number], digest)
        self._held[digest] = slot
        return slot, left

    def release(self, digest: str) -> None:
        """Take the digest out of its slot; not while it is pinned."""
        assert digest not in self._pins, f"{digest} is in use by a running pass"
        slot = self._held.pop(digest)
        self._generations[slot.number] += 1
        self._free.append(slot.number)

    def pin(self, slot: Slot) -> None:
        """Hold the slot while a pass uses it."""
        assert self.is_current(slot), f"slot {slot.number} was given to another adapter"
        self._pins[slot.digest] = self._pins.get(slot.digest, 0) + 1

    def unpin(self, slot: Slot) -> None:
        """Let go of a pinned slot."""
        left = self._pins[slot.digest] - 1
        if left:
            self._pins[slot.digest] = left
        else:
            del self._pins[slot.digest]

    def is_current(self, slot: Slot) -> bool:
        """Return whether the slot still holds what it held when `slot` was handed out."""
        return self._generations[slot.number] == slot.generation
