"""Host memory and slots: what stays, what leaves, and what a failed load does."""

import queue
import threading
from collections.abc import Callable, Iterator

import pytest

from service.batching.residency import HostCache, Residency
from service.engine.adapter import Adapter
from tests.fakes.adapters import digest_of
from tests.fakes.runtime import FakeRuntime, whole_adapter, whole_bundle

ONE = whole_adapter("one").nbytes


def adapters(*names: str) -> list[Adapter]:
    return [whole_adapter(name) for name in names]


def test_host_memory_keeps_what_was_used_last_within_its_bytes() -> None:
    cache = HostCache(2 * ONE)
    a, b, c = adapters("a", "b", "c")
    cache.put(a)
    cache.put(b)
    assert cache.get(a.digest) is a
    cache.put(c)
    assert cache.get(b.digest) is None
    assert cache.get(a.digest) is a
    assert cache.get(c.digest) is c
    assert cache.bytes == 2 * ONE


def test_an_adapter_larger_than_the_bound_is_kept_alone() -> None:
    cache = HostCache(ONE - 1)
    a, b = adapters("a", "b")
    cache.put(a)
    assert cache.get(a.digest) is a
    cache.put(b)
    assert cache.get(a.digest) is None
    assert cache.bytes == ONE


def test_an_adapter_put_twice_is_counted_once() -> None:
    cache = HostCache(10 * ONE)
    a, again = adapters("a", "a")
    cache.put(a)
    cache.put(again)
    assert cache.get(a.digest) is again
    assert cache.bytes == ONE


def test_a_discarded_adapter_gives_its_bytes_back_and_may_be_unknown() -> None:
    cache = HostCache(10 * ONE)
    (a,) = adapters("a")
    cache.put(a)
    cache.discard(a.digest)
    cache.discard(a.digest)
    assert (cache.bytes, cache.get(a.digest)) == (0, None)


def test_host_memory_holds_under_several_threads() -> None:
    cache = HostCache(4 * ONE)
    mine = adapters(*"abcdefgh")

    def churn(start: int) -> None:
        for i in range(start, start + 400):
            cache.put(mine[i * 5 % 8])
            cache.get(mine[i % 8].digest)
            cache.discard(mine[i * 3 % 8].digest)

    threads = [threading.Thread(target=churn, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    held = [adapter for adapter in mine if cache.get(adapter.digest) is not None]
    assert cache.bytes == sum(adapter.nbytes for adapter in held)
    assert cache.bytes <= 4 * ONE


class Shelf:
    """A store of adapters by digest, and what residency told us of its loads."""

    def __init__(self, *names: str) -> None:
        self.held = {adapter.digest: adapter for adapter in adapters(*names)}
        self.loads: list[str] = []
        self.arrived: queue.Queue[tuple[str, Exception | None]] = queue.Queue()
        self.open = threading.Event()
        self.open.set()

    def load(self, digest: str) -> Adapter:
        self.loads.append(digest)
        assert self.open.wait(10.0)
        return self.held[digest]

    def note(self, digest: str, error: Exception | None) -> None:
        self.arrived.put((digest, error))

    def next_arrival(self) -> tuple[str, Exception | None]:
        return self.arrived.get(timeout=10.0)


Made = Callable[..., tuple[Residency, FakeRuntime, Shelf]]


@pytest.fixture
def make() -> Iterator[Made]:
    made: list[Residency] = []

    def build(*names: str, slots: int = 2) -> tuple[Residency, FakeRuntime, Shelf]:
        shelf, runtime = Shelf(*names), FakeRuntime(whole_bundle(), slots)
        cache = HostCache(100 * ONE)
        made.append(Residency(runtime, cache, shelf.load, shelf.note))
        return made[-1], runtime, shelf

    yield build
    for residency in made:
        residency.close()


def bring_in(residency: Residency, shelf: Shelf, name: str) -> None:
    if residency.bring(digest_of(name)) is None:
        digest, error = shelf.next_arrival()
        assert (digest, error) == (digest_of(name), None)
        residency.settled(digest)
        assert residency.bring(digest) is not None


def test_a_miss_is_loaded_once_however_often_it_is_asked_for(make: Made) -> None:
    residency, runtime, shelf = make("a")
    digest = digest_of("a")
    shelf.open.clear()
    assert [residency.bring(digest) for _ in range(3)] == [None] * 3
    assert residency.is_loading(digest)
    shelf.open.set()
    assert shelf.next_arrival() == (digest, None)
    residency.settled(digest)
    assert not residency.is_loading(digest)
    resident = residency.bring(digest)
    assert resident is not None
    assert resident.member.adapter is shelf.held[digest]
    assert (shelf.loads, runtime.written) == ([digest], [(resident.slot.number, digest)])


def test_an_adapter_in_a_slot_is_found_without_being_written_again(make: Made) -> None:
    residency, runtime, shelf = make("a")
    bring_in(residency, shelf, "a")
    assert residency.find(digest_of("a")) is residency.bring(digest_of("a"))
    assert len(runtime.written) == 1


def test_whoever_was_used_last_stays_in_the_bank(make: Made) -> None:
    residency, _, shelf = make("a", "b", "c")
    for name in "ab":
        bring_in(residency, shelf, name)
    residency.find(digest_of("a"))
    bring_in(residency, shelf, "c")
    assert residency.find(digest_of("b")) is None
    assert residency.find(digest_of("a")) is not None
    assert residency.evictions == 1


def test_an_evicted_adapter_comes_back_from_host_memory(make: Made) -> None:
    residency, _, shelf = make("a", "b", "c")
    for name in "abc":
        bring_in(residency, shelf, name)
    assert residency.bring(digest_of("a")) is not None
    assert len(shelf.loads) == 3


def test_nobody_is_brought_in_while_every_slot_is_in_use(make: Made) -> None:
    residency, runtime, shelf = make("a", "b", "c")
    for name in "ab":
        bring_in(residency, shelf, name)
        resident = residency.find(digest_of(name))
        assert resident is not None
        residency.slots.pin(resident.slot)
    residency.bring(digest_of("c"))
    residency.settled(shelf.next_arrival()[0])
    assert residency.bring(digest_of("c")) is None
    assert not residency.is_loading(digest_of("c"))
    assert len(runtime.written) == 2


def test_a_failed_load_is_told_with_its_error_and_may_be_tried_again(make: Made) -> None:
    residency, _, shelf = make()
    digest = digest_of("late")
    assert residency.bring(digest) is None
    told, error = shelf.next_arrival()
    assert told == digest
    assert isinstance(error, KeyError)
    residency.settled(digest)
    shelf.held[digest] = whole_adapter("late")
    bring_in(residency, shelf, "late")
    assert shelf.loads == [digest, digest]


def test_an_adapter_that_cannot_be_written_has_no_slot_afterwards(make: Made) -> None:
    residency, runtime, shelf = make("a", "b", slots=1)
    bring_in(residency, shelf, "a")
    runtime.unwritable[digest_of("b")] = OSError("the device is gone")
    residency.bring(digest_of("b"))
    residency.settled(shelf.next_arrival()[0])
    with pytest.raises(OSError, match="gone"):
        residency.bring(digest_of("b"))
    assert residency.find(digest_of("b")) is None
    assert len(residency.slots) == 0
    bring_in(residency, shelf, "a")
    del runtime.unwritable[digest_of("b")]
    assert residency.bring(digest_of("b")) is not None


def test_a_released_adapter_leaves_its_slot_and_host_memory(make: Made) -> None:
    residency, _, shelf = make("a")
    bring_in(residency, shelf, "a")
    residency.release(digest_of("a"))
    assert len(residency.slots) == 0
    assert residency.bring(digest_of("a")) is None
    assert shelf.next_arrival() == (digest_of("a"), None)
    assert len(shelf.loads) == 2


def test_a_pinned_adapter_is_not_released_from_under_a_pass(make: Made) -> None:
    residency, _, shelf = make("a")
    bring_in(residency, shelf, "a")
    resident = residency.find(digest_of("a"))
    assert resident is not None
    residency.slots.pin(resident.slot)
    with pytest.raises(AssertionError, match="in use"):
        residency.release(digest_of("a"))
    assert residency.slots.is_current(resident.slot)
