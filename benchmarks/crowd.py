"""A crowd of tenants before one batcher: in a closed loop, and arriving when they like."""

import asyncio
import sys
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self
from unittest.mock import patch

import numpy as np
import uvloop
from prometheus_client import CollectorRegistry

from service.batching.assembly import EngineLimits, assemble
from service.batching.jobs import BACKBONE, Job, Shadow
from service.batching.queue import Queue
from service.engine.adapter import Adapter
from service.engine.bundle import Bundle
from service.engine.tokens import Tokens
from service.errors import QueueFull, TenantLimited
from service.metrics import Metrics

_GIB = 1 << 30
_SWITCH_INTERVAL_S = 0.0005  # as `service.serve` sets it
_LEAD_S = 0.05


@dataclass(frozen=True, slots=True)
class Arrivals:
    """Requests of one tenant: when each is due, in seconds, and how many texts it has."""

    tenant: int
    due: Sequence[float]
    texts: int = 1


@dataclass(slots=True)
class Seen:
    """What came of arrivals, by tenant."""

    latencies: dict[int, list[float]] = field(default_factory=dict)  # s, from when it was due
    refused: int = 0


def poisson(tenant: int, rate: float, seconds: float, seed: int, texts: int = 1) -> Arrivals:
    """Return arrivals of a Poisson process: `rate` texts a second, in requests of `texts`."""
    random = np.random.default_rng([seed, tenant])
    count = max(1, int(random.poisson(rate * seconds / texts)))
    return Arrivals(tenant, np.sort(random.uniform(0.0, seconds, count)).tolist(), texts)


class Crowd:
    """A started batcher and an event loop of its own; each tenant has an adapter."""

    def __init__(
        self,
        bundle: Bundle,
        adapters: Sequence[Adapter],
        provider: str,
        slots: int,
        queue: type[Queue] = Queue,
    ) -> None:
        sys.setswitchinterval(_SWITCH_INTERVAL_S)
        by_digest = {adapter.digest: adapter for adapter in adapters}
        self._digests = [adapter.digest for adapter in adapters]
        limits = EngineLimits(slots, None, 4096, 262_144, 8 * _GIB)
        with patch("service.batching.batcher.Queue", queue):
            self._batcher, _ = assemble(
                bundle, provider, limits, by_digest.__getitem__, Metrics(CollectorRegistry())
            )
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

    def stream(
        self,
        texts: Sequence[Tokens],
        tenants: Sequence[int],
        in_flight: int,
        shadows: Mapping[int, Sequence[int]] | None = None,
        based: Collection[int] = (),
    ) -> int:
        """Answer all texts by `in_flight` callers, and their shadows; return the texts.

        `shadows` are other adapters, by tenant, that answer the same texts; the bare backbone
        answers those of the texts that are in `based`.
        """
        return self._runner.run(self._stream(texts, tenants, in_flight, shadows or {}, based))

    def watch(self, arrivals: Sequence[Arrivals], texts: Sequence[Tokens]) -> Seen:
        """Ask when requests are due, however slow the answers are; return what came of them."""
        return self._runner.run(self._watch(arrivals, texts))

    async def _stream(
        self,
        texts: Sequence[Tokens],
        tenants: Sequence[int],
        in_flight: int,
        shadows: Mapping[int, Sequence[int]],
        based: Collection[int],
    ) -> int:
        following = iter(range(len(texts)))
        shown = asyncio.Semaphore(0)

        def riding(index: int) -> tuple[Shadow, ...]:
            digests = [self._digests[other] for other in shadows.get(tenants[index], ())]
            if index in based:
                digests.append(BACKBONE)
            return tuple(Shadow(digest, lambda _: shown.release()) for digest in digests)

        due = sum(len(shadows.get(tenant, ())) for tenant in tenants) + len(based)
        async with asyncio.TaskGroup() as callers:
            for _ in range(in_flight):
                callers.create_task(self._caller(texts, tenants, following, riding))
        for _ in range(due):
            await shown.acquire()
        return len(texts)

    async def _caller(
        self,
        texts: Sequence[Tokens],
        tenants: Sequence[int],
        following: Iterator[int],
        riding: Callable[[int], tuple[Shadow, ...]],
    ) -> None:
        for index in following:
            tenant = tenants[index]
            digest = self._digests[tenant]
            job = Job(digest, [texts[index]], tenant=str(tenant), shadows=riding(index))
            answer = await self._batcher.answer(job)
            assert answer.digest == digest

    async def _watch(self, arrivals: Sequence[Arrivals], texts: Sequence[Tokens]) -> Seen:
        plan = sorted((due, a.tenant, a.texts) for a in arrivals for due in a.due)
        seen = Seen({a.tenant: [] for a in arrivals})
        begun = time.perf_counter() + _LEAD_S
        at = 0
        async with asyncio.TaskGroup() as requests:
            for due, tenant, count in plan:
                wait = begun + due - time.perf_counter()
                if wait > 0:
                    await asyncio.sleep(wait)
                mine = [texts[(at + i) % len(texts)] for i in range(count)]
                at += count
                requests.create_task(self._ask(tenant, mine, begun + due, seen))
        return seen

    async def _ask(self, tenant: int, texts: Sequence[Tokens], due: float, seen: Seen) -> None:
        try:
            await self._batcher.answer(Job(self._digests[tenant], texts, tenant=str(tenant)))
        except (TenantLimited, QueueFull):
            seen.refused += 1
        else:
            seen.latencies[tenant].append(time.perf_counter() - due)
