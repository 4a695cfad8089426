"""Clients that leave: their work is dropped, and looking for them costs the others nothing."""

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

from starlette.types import Receive

from service.api.call import ClientLeft

_T = TypeVar("_T")

# Most answers are there sooner, and never pay for a watcher: it is a task of its own, and would
# take a tenth of what a short request costs.
PATIENCE_S = 0.1


async def unless_left(work: Awaitable[_T], receive: Receive) -> _T:
    """Await `work`; where the client leaves first, cancel it and raise `ClientLeft`.

    The request's body must have been read to its end. Only after `PATIENCE_S` is the connection
    watched.
    """
    watch = _Watch(receive)
    timer = asyncio.get_running_loop().call_later(PATIENCE_S, watch.begin)
    try:
        return await work
    except asyncio.CancelledError:
        if watch.left:
            watch.waiting.uncancel()
            raise ClientLeft from None
        raise
    finally:
        timer.cancel()
        watch.end()


class _Watch:
    """Cancels the task that made it when the client leaves."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._task: asyncio.Task[None] | None = None
        current = asyncio.current_task()
        assert current is not None, "a request runs in a task"
        self.waiting = current
        self.left = False

    def begin(self) -> None:
        self._task = asyncio.ensure_future(self._wait())

    def end(self) -> None:
        if self._task is not None:
            self._task.cancel()

    async def _wait(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self.left = True
        self.waiting.cancel()
