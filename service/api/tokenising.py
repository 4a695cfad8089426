"""Texts into tokens, and into figures: short ones at once, long ones beside the event loop.

Long ones have threads of their own, so that nothing else that waits for a thread holds up an
answer; and no tenant has all of them, because a text may keep one busy for seconds.
"""

import os
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import TypeVar

from service.api.ports import Tokeniser
from service.api.sent_images import SentImage, looks_like_image
from service.api.workers import Workers
from service.engine.tokens import Input, Text
from service.engine.windows import Windows
from service.errors import UnacceptableRequest

_T = TypeVar("_T")

THREADS = min(32, (os.cpu_count() or 1) + 4)

# A text of a few words takes 45 us to tokenise, less than a thread takes to answer; 8 KiB take
# about a millisecond, which is what others may be kept waiting for.
_INLINE_BYTES = 8192


class Tokenising:
    """Tokenises for one event loop; half of the threads, at most, work for one tenant."""

    takes_images = False

    def __init__(self, tokeniser: Tokeniser, threads: int = THREADS) -> None:
        self._tokeniser = tokeniser
        self._workers = Workers(threads, "tenantry-tokens")

    def room(self, tenant: str, count: int) -> AbstractContextManager[None]:
        """Hold room around the block: none is needed, since tokens are smaller than their text."""
        del tenant, count
        return nullcontext()

    async def encode(
        self,
        tenant: str,
        inputs: Sequence[Input | SentImage],
        wanted: Sequence[Windows | None],
        body_bytes: int,
        deadline_s: float,
        measure: Callable[[Sequence[Input]], _T],
    ) -> tuple[Sequence[Sequence[Text]], _T]:
        """Return the tokens of each text, in order, and what `measure` finds in the texts.

        Versions that answer the same texts may cut long ones differently: there are tokens for each
        of the `wanted` ways. `body_bytes` is how much came with them. Raises `UnacceptableRequest`
        for an image, and `DeadlinePassed`, by the monotonic clock, where the tenant's turn and the
        work take longer. Work that nobody waits for any more keeps its thread until it ends.
        """
        work = partial(self._read, _texts(inputs), wanted, measure)
        if body_bytes <= _INLINE_BYTES:
            return work()
        return await self._workers.run(tenant, work, deadline_s, "the texts were tokenised")

    def _read(
        self,
        texts: Sequence[Input],
        wanted: Sequence[Windows | None],
        measure: Callable[[Sequence[Input]], _T],
    ) -> tuple[Sequence[Sequence[Text]], _T]:
        if any(wanted):
            return self._tokeniser.encode_windows(texts, wanted), measure(texts)
        return [self._tokeniser.encode(texts)] * len(wanted), measure(texts)


def _texts(inputs: Sequence[Input | SentImage]) -> list[Input]:
    texts: list[Input] = []
    for position, given in enumerate(inputs):
        first = given[0] if isinstance(given, tuple) else given
        if isinstance(given, SentImage) or (isinstance(first, str) and looks_like_image(first)):
            raise UnacceptableRequest(
                f"input {position} is an image, and this server's backbone reads texts"
            )
        texts.append(given)
    return texts
