"""A batcher as far as gateways look at it."""

from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass
class FakeLoad:
    """How busy a batcher is."""

    queue_texts: int = 0
    queue_tokens: int = 0
    quarantined: tuple[str, ...] = ()
    running_texts: int = 0
    slots: int = 8
    slots_used: int = 0


@dataclass
class FakeOccupancy:
    """Says what it is told to say, and no more than it is asked for."""

    load: FakeLoad = field(default_factory=FakeLoad)
    in_slots: list[str] = field(default_factory=list)
    waiting: list[str] = field(default_factory=list)

    def status(self) -> FakeLoad:
        return self.load

    def loaded(self, most: int) -> Sequence[str]:
        return self.in_slots[:most]

    def awaited(self, most: int) -> Sequence[str]:
        return self.waiting[:most]
