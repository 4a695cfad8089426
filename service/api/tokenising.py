"""Texts into tokens, and into figures: short ones at once, long ones beside the event loop.

Long ones have threads of their own, so that nothing else that waits for a thread holds up an
answer; and no tenant has all of them, because a text may keep one busy for seconds.
"""

import asyncio
import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import TypeVar
from weakref import WeakValueDictionary

from service.api.ports import Tokeniser
from service.engine.tokens import Input, Tokens
from service.errors import DeadlinePassed

_T = TypeVar("_T")

THREADS = min(32, (os.cpu_count() or 1) + 4)

# A text of a few words takes 45 us to tokenise, less than a thread takes to answer; 8 KiB take
# about a millisecond, which is what others may be kept waiting for.
_INLINE_BYTES = 8192


class Tokenising:
    """Tokenises for one event loop; half of the threads, at most, work for one tenant."""

    def __init__(self, tokeniser: Tokeniser, threads: int = THREADS) -> None:
        self._tokeniser = tokeniser
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="tenantry-tokens")
        self._each_max = max(1, threads // 2)
        self._turns: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()

    async def encode(
        self,
        tenant: str,
        texts: Sequence[Input],
        body_bytes: int,
        deadline_s: float,
        measure: Callable[[Sequence[Input]], _T],
    ) -> tuple[list[Tokens], _T]:
        """Return the tokens of each text, in order, and what `measure` finds in the texts.

        `body_bytes` is how much came with them. Raises `DeadlinePassed`, by the monotonic clock,
        where the tenant's turn and the work take longer. Work that nobody waits for any more keeps
        its thread until it ends.
        """
        if body_bytes <= _INLINE_BYTES:
            return self._read(texts, measure)
        try:
            async with asyncio.timeout(deadline_s - time.monotonic()):
                return await self._beside(tenant, partial(self._read, texts, measure))
        except TimeoutError:
            raise DeadlinePassed("the deadline passed before the texts were tokenised") from None

    def _read(
        self, texts: Sequence[Input], measure: Callable[[Sequence[Input]], _T]
    ) -> tuple[list[Tokens], _T]:
        return self._tokeniser.encode(texts), measure(texts)

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
