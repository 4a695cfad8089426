"""Requests that ended in a 5xx, for the log: counted here, and told now and then.

They are no predictions, and a version that fails fails often: so the log gets one event a version,
code and interval, which says how many there were. A crash loses the last interval's.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from random import random
from types import TracebackType
from typing import Protocol

from service.api.call import Call, ClientLeft
from service.api.problems import problem_of
from service.events.predictions import Role
from service.events.records import DurableEvent, Failure
from service.metrics import Metrics, Objectives
from service.registry.records import Route

EVERY_S = 5.0
_FAULTS_OF_OURS = 500  # the status from which on they are
_TIMEOUT = 504


class Log(Protocol):
    """Keeps events; `service.events.log` has the real one."""

    def append(self, events: Sequence[DurableEvent]) -> "Future[None]":
        """Write events; the future is done when they are on disk."""
        ...


class Noting(Protocol):
    """Is told of failures; a recorder of predictions is."""

    def failed(self, route: Route, code: str, inputs: int) -> None:
        """Take down that a request failed; never blocks nor raises."""
        ...


def was_hurried(call: Call, status: int, objective_s: float) -> bool:
    """Say whether a caller who was told a status gave less time than an objective himself."""
    given = call.headers.get(b"x-timeout-ms", b"")  # where gRPC's deadline is too
    return status == _TIMEOUT and given.isdigit() and int(given) / 1000 < objective_s


class Watched:
    """A stretch of a request that was routed: an error of ours in it is noted, and goes on."""

    __slots__ = ("_call", "_inputs", "_noting", "_objectives", "_route")

    def __init__(
        self, noting: Noting, route: Route, inputs: int, call: Call, objectives: Objectives
    ) -> None:
        """Where the caller gave less time than its class's objective, to be late is no failure."""
        self._noting = noting
        self._route = route
        self._inputs = inputs
        self._call = call
        self._objectives = objectives

    def __enter__(self) -> None:
        """Begin."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Note what failed; a client that left failed in nothing."""
        if not isinstance(error, Exception) or isinstance(error, ClientLeft):
            return
        told = problem_of(error).kind
        if told.status < _FAULTS_OF_OURS:
            return
        objective_s = self._objectives.of(self._route.settings.kind)
        if not was_hurried(self._call, told.status, objective_s):
            self._noting.failed(self._route, told.code, self._inputs)


@dataclass(frozen=True, slots=True)
class _Of:
    tenant: str
    adapter: str
    version: int
    digest: str
    role: Role
    code: str


class FailedRequests:
    """Counts them by version, role and code; for one event loop."""

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

    def note(self, route: Route, code: str, inputs: int) -> None:
        """Count a request of so many inputs."""
        if not self._enabled:
            return
        # As often as a request leaves something in the log, so that shares of both are right.
        if self._random() < 1.0 - (1.0 - route.settings.log.sample) ** inputs:
            of = _Of(route.tenant, route.adapter, route.version, route.digest, route.role, code)
            self._waiting[of] += 1

    def tell(self) -> None:
        """Give the log what was counted since the last time; never blocks."""
        waiting, self._waiting = self._waiting, Counter()
        if not waiting:
            return
        now_s = time.time()
        events = [
            Failure(
                of.tenant,
                of.adapter,
                of.version,
                of.digest,
                self._backbone,
                of.role,
                of.code,
                count,
                now_s,
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
