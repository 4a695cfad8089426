"""Changes of the registry, made beside the event loop on threads of their own.

A change waits for the disk, and for another process that holds the registry. The threads that it
waits on must not be those on which long texts are tokenised and metrics are written out: then a
registry that is held would hold up predictions, which do without it.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Semaphore
from typing import ParamSpec, TypeVar

from service.errors import QueueFull

AT_ONCE_MAX = 32

P = ParamSpec("P")
T = TypeVar("T")


class Changes:
    """Runs so many changes at once; those that wait for each other are counted too."""

    def __init__(self, at_once_max: int = AT_ONCE_MAX) -> None:
        self._threads = ThreadPoolExecutor(at_once_max, thread_name_prefix="tenantry-change")
        self._room = Semaphore(at_once_max)

    async def make(self, change: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Make a change, and return what it returns.

        Raises what it raises, and `QueueFull` beyond the bound. A change goes on where its caller
        is cancelled, and keeps its place until it ends.
        """
        if not self._room.acquire(blocking=False):
            raise QueueFull("as many changes wait for the registry as may; try again")
        future = self._threads.submit(change, *args, **kwargs)
        future.add_done_callback(lambda _: self._room.release())
        return await asyncio.wrap_future(future)
