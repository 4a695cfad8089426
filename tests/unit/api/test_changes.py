import asyncio
import threading

import pytest

from service.api.changes import Changes
from service.errors import QueueFull, StoreFull

pytestmark = pytest.mark.anyio


class Registry:
    """Whose changes take until they are let through."""

    def __init__(self) -> None:
        self.through = threading.Event()

    def change(self, number: int, *, fails: bool = False) -> int:
        assert self.through.wait(20)
        if fails:
            raise StoreFull("the registry cannot be written")
        return number


async def test_a_change_returns_or_raises_what_it_does() -> None:
    registry, changes = Registry(), Changes()
    registry.through.set()
    assert await changes.make(registry.change, 7) == 7
    with pytest.raises(StoreFull):
        await changes.make(registry.change, 7, fails=True)


async def test_however_many_changes_wait_other_threads_are_free() -> None:
    registry, changes = Registry(), Changes()
    waiting = [asyncio.create_task(changes.make(registry.change, i)) for i in range(32)]
    await asyncio.sleep(0)
    async with asyncio.timeout(20):
        assert await asyncio.to_thread(sum, (1, 2)) == 3
    registry.through.set()
    assert await asyncio.gather(*waiting) == list(range(32))


async def test_beyond_the_bound_a_change_is_refused_at_the_door() -> None:
    registry, changes = Registry(), Changes(2)
    waiting = [asyncio.create_task(changes.make(registry.change, i)) for i in range(2)]
    await asyncio.sleep(0)
    with pytest.raises(QueueFull):
        await changes.make(registry.change, 2)
    registry.through.set()
    assert await asyncio.gather(*waiting) == [0, 1]
    assert await changes.make(registry.change, 3) == 3


async def test_a_change_whose_caller_left_keeps_its_place_until_it_ends() -> None:
    registry, changes = Registry(), Changes(1)
    left = asyncio.create_task(changes.make(registry.change, 0))
    await asyncio.sleep(0.05)  # by then it runs, and cannot be taken back
    left.cancel()
    with pytest.raises(asyncio.CancelledError):
        await left
    with pytest.raises(QueueFull):
        await changes.make(registry.change, 1)
    registry.through.set()
    async with asyncio.timeout(20):
        while True:
            try:
                assert await changes.make(registry.change, 2) == 2
            except QueueFull:
                await asyncio.sleep(0.001)
            else:
                break
