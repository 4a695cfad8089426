"""Boarding: who gets the slots when there are not enough."""

from collections.abc import Iterator

import pytest

from service.batching.boarding import board
from service.batching.jobs import BACKBONE, Entry, Job, Ticket
from service.batching.queue import Queue
from service.batching.residency import BARE, HostCache, Residency
from service.engine.adapter import Adapter
from service.errors import AdapterQuarantined
from tests.fakes.adapters import digest_of
from tests.fakes.runtime import FakeRuntime, text_of, whole_adapter, whole_bundle


def refuse(digest: str) -> Adapter:
    raise AssertionError(f"{digest} is loaded from nowhere")


@pytest.fixture
def residency() -> Iterator[Residency]:
    """Two slots, and adapters in host memory."""
    cache = HostCache(1 << 20)
    for name in ("a", "b", "new"):
        cache.put(whole_adapter(name))
    made = Residency(FakeRuntime(whole_bundle(), 2), cache, refuse, lambda *_: None)
    yield made
    made.close()


def entries_of(*names: str) -> list[Entry]:
    """Return a text for each name; those in brackets are shadows."""
    queue = Queue(100, 1_000, tenant_ratio=100.0)
    leader = Ticket(Job("nobody", [text_of(1)]), 0.0)
    for name in names:
        digest = name if name == BACKBONE else digest_of(name.strip("()"))
        shadow_of = leader if name.startswith("(") else None
        queue.add(Ticket(Job(digest, [text_of(1)]), 0.0, shadow_of=shadow_of))
    return queue.take(100, 1_000)


def digests(entries: list[Entry]) -> list[str]:
    return [entry.digest.removeprefix("sha256:") for entry in entries]


def test_shadows_take_the_slots_that_callers_leave(residency: Residency) -> None:
    boarded = board(entries_of("a", "(new)", "b", "a", "(new)"), residency, ())
    assert digests(boarded.entries) == ["a", "b", "a"]
    assert digests(boarded.later) == ["new", "new"]
    boarded.leave(residency)
    boarded = board(entries_of("a", "(new)", "a"), residency, ())
    assert digests(boarded.entries) == ["a", "new", "a"]
    assert boarded.evictions == 1


def test_the_first_text_goes_before_all_others_even_as_a_shadow(residency: Residency) -> None:
    boarded = board(entries_of("(new)", "a", "b"), residency, ())
    assert digests(boarded.entries) == ["new", "a"]
    assert digests(boarded.later) == ["b"]


def test_the_bare_backbone_takes_no_slot(residency: Residency) -> None:
    boarded = board(entries_of("a", BACKBONE, "b", BACKBONE), residency, ())
    assert digests(boarded.entries) == ["a", BACKBONE, "b", BACKBONE]
    assert boarded.residents[boarded.numbers[1]] is BARE
    assert not residency.slots.can_allocate()
    boarded.leave(residency)
    assert residency.slots.can_allocate()


def test_what_was_quarantined_meanwhile_has_failed(residency: Residency) -> None:
    boarded = board(entries_of("a", "b", "a"), residency, {digest_of("a")})
    error, failed = boarded.failed[digest_of("a")]
    assert isinstance(error, AdapterQuarantined)
    assert len(failed) == 2
    assert digests(boarded.entries) == ["b"]
