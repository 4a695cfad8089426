"""The real batcher in a closed loop: so many callers, each with one text, none waiting to ask."""

import asyncio
import sys
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Self

import uvloop
from prometheus_client import CollectorRegistry

from service.batching.assembly import EngineLimits, assemble
from service.batching.jobs import Job
from service.engine.adapter import Adapter
from service.engine.bundle import Bundle
from service.engine.tokens import Tokens
from service.metrics import Metrics

_GIB = 1 << 30
_SWITCH_INTERVAL_S = 0.0005  # as `service.serve` sets it


class BatcherLoop:
    """A started batcher and an event loop of its own, as `tenantry serve` has them."""

    def __init__(
        self, bundle: Bundle, adapters: Sequence[Adapter], provider: str, slots: int
    ) -> None:
        sys.setswitchinterval(_SWITCH_INTERVAL_S)
        by_digest = {adapter.digest: adapter for adapter in adapters}
        self._digests = [adapter.digest for adapter in adapters]
        limits = EngineLimits(slots, None, 4096, 262_144, 8 * _GIB)
        metrics = Metrics(CollectorRegistry())
        self._batcher, _ = assemble(bundle, provider, limits, by_digest.__getitem__, metrics)
        self._runner = asyncio.Runner(loop_factory=uvloop.new_event_loop)

    def __enter__(self) -> Self:
        self._runner.run(self._batcher.start())
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._runner.run(self._batcher.stop(10.0))
        self._runner.close()

    def stream(self, texts: Sequence[Tokens], numbers: Sequence[int], in_flight: int = 64) -> int:
        """Answer all texts in order of arrival, by `in_flight` callers; return their tokens."""
        return self._runner.run(self._stream(texts, numbers, in_flight))

    async def _stream(self, texts: Sequence[Tokens], numbers: Sequence[int], in_flight: int) -> int:
        following = iter(range(len(texts)))
        async with asyncio.TaskGroup() as callers:
            for _ in range(in_flight):
                callers.create_task(self._caller(texts, numbers, following))
        return sum(map(len, texts))

    async def _caller(
        self, texts: Sequence[Tokens], numbers: Sequence[int], following: Iterator[int]
    ) -> None:
        for index in following:
            digest = self._digests[numbers[index]]
            answer = await self._batcher.answer(Job(digest, [texts[index]]))
            assert answer.digest == digest
