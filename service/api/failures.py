"""Requests that ended in a 5xx, for the log: counted here, and told now and then.

They are no predictions, and a version that fails fails often.
"""

from collections.abc import Callable
from dataclasses import dataclass
from random import random
from types import TracebackType
from typing import Protocol

from service.api.call import Call, ClientLeft
from service.api.problems import problem_of
from service.api.tally import Log, Tally
from service.events.predictions import Role
from service.events.records import Failure
from service.metrics import Metrics, Objectives
from service.registry.records import Route

_FAULTS_OF_OURS = 500  # the status from which on they are
_TIMEOUT = 504


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


class FailedRequests(Tally[_Of]):
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

        def event(of: _Of, count: int, now_s: float) -> Failure:
            return Failure(
                of.tenant,
                of.adapter,
                of.version,
                of.digest,
                backbone,
                of.role,
                of.code,
                count,
                now_s,
            )

        super().__init__(log, metrics, event)
        self._enabled = enabled
        self._random = random

    def note(self, route: Route, code: str, inputs: int) -> None:
        """Count a request of so many inputs."""
        if not self._enabled:
            return
        # As often as a request leaves something in the log, so that shares of both are right.
        if self._random() < 1.0 - (1.0 - route.settings.log.sample) ** inputs:
            self.count(
                _Of(route.tenant, route.adapter, route.version, route.digest, route.role, code)
            )
