"""Slots: who gets one, who leaves, and that nobody moves under a running pass."""

from collections.abc import Sequence

import hypothesis.strategies as st
import pytest
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from service.batching.slots import Slot, Slots

DIGESTS = [f"sha256:{i}" for i in range(8)]
COUNT = 3


def filled(slots: Slots, digests: Sequence[str]) -> list[Slot]:
    return [slots.allocate(digest)[0] for digest in digests]


def test_slots_are_numbered_from_one_because_zero_is_the_bare_backbone() -> None:
    assert [slot.number for slot in filled(Slots(3), "abc")] == [1, 2, 3]


def test_the_least_recently_used_leaves() -> None:
    slots = Slots(3)
    first = filled(slots, "abc")[1]
    slots.find("a")
    new, left = slots.allocate("d")
    assert (left, new.number) == ("b", first.number)
    assert slots.find("b") is None


def test_a_pinned_slot_stays_and_the_next_one_leaves() -> None:
    slots = Slots(2)
    a, _ = filled(slots, "ab")
    slots.pin(a)
    assert slots.allocate("c")[1] == "b"


def test_with_every_slot_pinned_there_is_none_to_give() -> None:
    slots = Slots(2)
    held = filled(slots, "ab")
    for slot in held:
        slots.pin(slot)
    assert not slots.can_allocate()
    slots.unpin(held[1])
    assert slots.can_allocate()
    assert slots.allocate("c")[1] == "b"


def test_a_slot_pinned_twice_is_let_go_by_the_second_unpin() -> None:
    slots = Slots(1)
    (slot,) = filled(slots, "a")
    slots.pin(slot)
    slots.pin(slot)
    slots.unpin(slot)
    assert not slots.can_allocate()
    slots.unpin(slot)
    assert slots.can_allocate()


def test_a_slot_that_was_given_away_cannot_be_pinned_by_its_old_name() -> None:
    slots = Slots(1)
    (old,) = filled(slots, "a")
    slots.allocate("b")
    assert not slots.is_current(old)
    with pytest.raises(AssertionError, match="given to another"):
        slots.pin(old)


def test_the_same_digest_in_the_same_slot_again_is_another_tenancy() -> None:
    slots = Slots(1)
    (old,) = filled(slots, "a")
    slots.release("a")
    new, left = slots.allocate("a")
    assert left is None
    assert new.number == old.number
    assert not slots.is_current(old)


def test_a_digest_is_never_in_two_slots() -> None:
    slots = Slots(2)
    filled(slots, "a")
    with pytest.raises(AssertionError, match="already"):
        slots.allocate("a")


def test_a_pinned_slot_cannot_be_released() -> None:
    slots = Slots(1)
    (slot,) = filled(slots, "a")
    slots.pin(slot)
    with pytest.raises(AssertionError, match="in use"):
        slots.release("a")


class SlotsMachine(RuleBasedStateMachine):
    """Random calls beside a model that a reader can check: a list, most recent use last."""

    def __init__(self) -> None:
        super().__init__()
        self.slots = Slots(COUNT)
        self.order: list[str] = []
        self.now: dict[str, Slot] = {}
        self.ended: list[Slot] = []
        self.pins: list[Slot] = []

    @property
    def pinned(self) -> set[str]:
        return {slot.digest for slot in self.pins}

    @rule(digest=st.sampled_from(DIGESTS))
    def use(self, digest: str) -> None:
        found = self.slots.find(digest)
        assert found == self.now.get(digest)
        if found is not None:
            self.order.remove(digest)
            self.order.append(digest)

    @rule(digest=st.sampled_from(DIGESTS))
    def allocate(self, digest: str) -> None:
        able = len(self.order) < COUNT or any(d not in self.pinned for d in self.order)
        assert self.slots.can_allocate() == able
        if digest in self.now or not able:
            return
        expected = None
        if len(self.order) == COUNT:
            expected = next(d for d in self.order if d not in self.pinned)
        slot, left = self.slots.allocate(digest)
        assert left == expected
        if left is not None:
            self.order.remove(left)
            self.ended.append(self.now.pop(left))
        self.order.append(digest)
        self.now[digest] = slot

    @precondition(lambda self: self.now)
    @rule(data=st.data())
    def pin(self, data: st.DataObject) -> None:
        slot = self.now[data.draw(st.sampled_from(sorted(self.now)))]
        self.slots.pin(slot)
        self.pins.append(slot)

    @precondition(lambda self: self.pins)
    @rule(data=st.data())
    def unpin(self, data: st.DataObject) -> None:
        slot = self.pins.pop(data.draw(st.integers(0, len(self.pins) - 1)))
        self.slots.unpin(slot)

    @precondition(lambda self: set(self.now) - self.pinned)
    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        digest = data.draw(st.sampled_from(sorted(set(self.now) - self.pinned)))
        self.slots.release(digest)
        self.order.remove(digest)
        self.ended.append(self.now.pop(digest))

    @invariant()
    def nobody_shares_a_slot(self) -> None:
        numbers = [slot.number for slot in self.now.values()]
        assert len(set(numbers)) == len(numbers) == len(self.slots)
        assert set(numbers) <= set(range(1, COUNT + 1))

    @invariant()
    def a_pinned_slot_is_never_recycled(self) -> None:
        assert all(self.slots.is_current(slot) for slot in self.pins)
        assert all(self.now[slot.digest] == slot for slot in self.pins)

    @invariant()
    def a_tenancy_that_ended_is_never_current_again(self) -> None:
        assert not any(self.slots.is_current(slot) for slot in self.ended)
        assert all(self.slots.is_current(slot) for slot in self.now.values())


TestSlotsMachine = SlotsMachine.TestCase


def test_recent_tells_who_has_a_slot_last_used_first() -> None:
    slots = Slots(3)
    filled(slots, "abc")
    slots.find("a")
    assert slots.recent() == ["a", "c", "b"]
