"""Threads for what inputs cost before they are answered: shared by tenants, none has them all."""

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import TypeVar
from weakref import WeakValueDictionary

from service.errors import DeadlinePassed

_T = TypeVar("_T")


class Workers:
    """Runs work beside one event loop; half of the threads, at most, work for one tenant."""

    def __init__(self, threads: int, name: str) -> None:
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix=name)
        self._each_max = max(1, threads // 2)
        self._turns: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()

    async def run(self, tenant: str, work: Callable[[], _T], deadline_s: float, what: str) -> _T:
        """Return what `work` returns.

        Raises `DeadlinePassed`, by the monotonic clock, where the tenant's turn and the work take
        longer; its text says that the deadline passed before `what`. Work that nobody waits for
        any more keeps its thread until it ends, unless it has not begun.
        """
        try:
            async with asyncio.timeout(deadline_s - time.monotonic()):
                return await self._beside(tenant, work)
        except TimeoutError:
            raise DeadlinePassed(f"the deadline passed before {what}") from None

    async def _beside(self, tenant: str, work: Callable[[], _T]) -> _T:
        loop = asyncio.get_running_loop()
        turn = self._turns.setdefault(tenant, asyncio.Semaphore(self._each_max))
        await turn.acquire()

        def leave(_: "Future[_T]") -> None:
            with suppress(RuntimeError):  # the event loop was closed meanwhile
                loop.call_soon_threadsafe(turn.release)

        done = self._threads.submit(work)
        done.add_done_callback(leave)
        return await asyncio.wrap_future(done)
