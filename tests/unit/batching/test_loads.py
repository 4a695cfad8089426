"""Loads: tenants in turn, shadows last."""

import threading
from collections.abc import Iterator

import pytest

from service.batching.loads import Loads


class Store:
    """Notes who was loaded; the first load waits for the door."""

    def __init__(self) -> None:
        self.order: list[str] = []
        self.door = threading.Event()
        self.begun = threading.Event()
        self.done = threading.Semaphore(0)

    def load(self, digest: str) -> None:
        self.begun.set()
        assert self.door.wait(10.0)
        self.order.append(digest)
        self.done.release()

    def loaded(self, count: int) -> list[str]:
        self.door.set()
        for _ in range(count):
            assert self.done.acquire(timeout=10.0)
        return self.order


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture
def loads(store: Store) -> Iterator[Loads]:
    """One loader, which is busy already."""
    made = Loads(store.load, loaders=1)
    made.begin("first", "f", shadow=False)
    assert store.begun.wait(10.0)
    yield made
    store.door.set()
    made.close()


def test_tenants_take_turns_however_many_one_of_them_asks_for(loads: Loads, store: Store) -> None:
    for i in range(4):
        loads.begin(f"a{i}", "a", shadow=False)
    loads.begin("b0", "b", shadow=False)
    loads.begin("c0", "c", shadow=False)
    assert store.loaded(7) == ["first", "a0", "b0", "c0", "a1", "a2", "a3"]


def test_what_shadows_need_is_loaded_when_no_caller_waits(loads: Loads, store: Store) -> None:
    loads.begin("shadow", "a", shadow=True)
    loads.begin("a0", "a", shadow=False)
    loads.begin("b0", "b", shadow=False)
    assert store.loaded(4) == ["first", "a0", "b0", "shadow"]


def test_a_caller_overtakes_with_what_a_shadow_asked_for(loads: Loads, store: Store) -> None:
    loads.begin("s0", "a", shadow=True)
    loads.begin("s1", "a", shadow=True)
    loads.begin("a0", "a", shadow=False)
    loads.begin("s1", "b", shadow=False)
    assert store.loaded(4) == ["first", "a0", "s1", "s0"]


def test_a_load_is_begun_once_until_it_has_ended(loads: Loads, store: Store) -> None:
    loads.begin("a0", "a", shadow=False)
    loads.begin("a0", "b", shadow=False)
    loads.begin("first", "b", shadow=False)
    assert "a0" in loads
    assert store.loaded(2) == ["first", "a0"]
    loads.ended("a0")
    assert "a0" not in loads
    loads.begin("a0", "a", shadow=False)
    assert store.loaded(1) == ["first", "a0", "a0"]
