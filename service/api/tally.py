"""A tally: what happens too often for an event each, counted here and told to the log now and then.

The log gets one event for each key and interval, which says how many there were. A crash loses the
last interval's.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Future
from typing import Generic, Protocol, TypeVar

from service.events.records import DurableEvent
from service.metrics import Metrics

EVERY_S = 5.0

_Key = TypeVar("_Key", bound=Hashable)


class Log(Protocol):
    """Keeps events; `service.events.log` has the real one."""

    def append(self, events: Sequence[DurableEvent]) -> "Future[None]":
        """Write events; the future is done when they are on disk."""
        ...


class Tally(Generic[_Key]):
    """Counts by key; for one event loop."""

    def __init__(
        self, log: Log, metrics: Metrics, event: Callable[[_Key, int, float], DurableEvent]
    ) -> None:
        """`event` makes one of a key, how many there were, and the time of telling."""
        self._log = log
        self._metrics = metrics
        self._event = event
        self._waiting: Counter[_Key] = Counter()

    def count(self, key: _Key) -> None:
        """Count one more."""
        self._waiting[key] += 1

    def tell(self) -> None:
        """Give the log what was counted since the last time; never blocks."""
        waiting, self._waiting = self._waiting, Counter()
        if not waiting:
            return
        now_s = time.time()
        events = [self._event(key, count, now_s) for key, count in waiting.items()]

        def settle(done: "Future[None]") -> None:
            if done.exception() is not None:
                self._metrics.events_dropped("disk", len(events))

        self._log.append(events).add_done_callback(settle)

    async def keep_telling(self, every_s: float = EVERY_S) -> None:
        """Tell at intervals, until cancelled."""
        while True:
            await asyncio.sleep(every_s)
            self.tell()
