"""Images that could not be decoded, for the log: counted here, and told now and then.

They are no predictions, and whoever sends rubbish sends much of it: so the log gets one event a
version and interval, which says how many there were. A crash loses the last interval's.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from random import random
from typing import Protocol

from service.events.predictions import Role
from service.events.records import DurableEvent, Undecodable
from service.metrics import Metrics
from service.registry.records import Route

EVERY_S = 5.0


class Log(Protocol):
    """Keeps events; `service.events.log` has the real one."""

    def append(self, events: Sequence[DurableEvent]) -> "Future[None]":
        """Write events; the future is done when they are on disk."""
        ...


@dataclass(frozen=True, slots=True)
class _Of:
    tenant: str
    adapter: str
    version: int
    digest: str
    role: Role


class UndecodableImages:
    """Counts them by version and role; for one event loop."""

    def __init__(
        self,
        log: Log,
        metrics: Metrics,
        backbone: str,
        *,
        enabled: bool,
        random: Callable[[], float] = random,
    ) -> None:
        """`backbone` is the bundle's digest; where not `enabled`, the log is told nothing."""
        self._log = log
        self._metrics = metrics
        self._backbone = backbone
        self._enabled = enabled
        self._random = random
        self._waiting: Counter[_Of] = Counter()

    def note(self, route: Route) -> None:
        """Count an image of a request that was routed there."""
        self._metrics.undecodable(route.tenant)
        # As many in a hundred as of predictions, so that shares of both together are right.
        if self._enabled and self._random() < route.settings.log.sample:
            of = _Of(route.tenant, route.adapter, route.version, route.digest, route.role)
            self._waiting[of] += 1

    def tell(self) -> None:
        """Give the log what was counted since the last time; never blocks."""
        waiting, self._waiting = self._waiting, Counter()
        if not waiting:
            return
        events = [
            Undecodable(
                of.tenant,
                of.adapter,
                of.version,
                of.digest,
                self._backbone,
                of.role,
                count,
                time.time(),
            )
            for of, count in waiting.items()
        ]

        def settle(done: "Future[None]") -> None:
            if done.exception() is not None:
                self._metrics.events_dropped("disk", len(events))

        self._log.append(events).add_done_callback(settle)

    async def keep_telling(self, every_s: float = EVERY_S) -> None:
        """Tell at intervals, until cancelled."""
        while True:
            await asyncio.sleep(every_s)
            self.tell()
