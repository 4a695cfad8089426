"""What the Open Inference Protocol's statistics tell: how often each version answered.

They count what came over this protocol, to this process, since it started. What serves for
monitoring is /metrics; this is for the clients that ask here.
"""

import time
from collections.abc import Awaitable, Iterable
from dataclasses import dataclass

from service.api.call import Call, ClientLeft
from service.api.callers import Caller
from service.api.ports import Router
from service.api.prediction import Predicted
from service.errors import NoLiveVersion, UnknownAdapter, UnknownTenant, UnknownVersion
from service.registry.records import Route

Key = tuple[str, str, int]  # tenant, adapter, version
Model = tuple[str, str, int | None]

_NS = 1_000_000_000


@dataclass(slots=True)
class Counts:
    """The sums of one version; seconds are of all its requests together."""

    last_ms: int = 0  # when it last answered, since the epoch
    texts: int = 0
    answered: int = 0
    answered_s: float = 0.0
    failed: int = 0
    failed_s: float = 0.0
    queue_s: float = 0.0
    compute_s: float = 0.0


class Statistics:
    """The sums of the versions that were asked last; for one event loop.

    At most `versions_max` are kept: beyond that the one that was first asked longest ago begins
    anew when it is asked again.
    """

    def __init__(self, router: Router, versions_max: int = 10_000) -> None:
        self._router = router
        self._versions_max = versions_max
        self._counts: dict[Key, Counts] = {}

    async def count(self, call: Call, model: Model, work: Awaitable[Predicted]) -> Predicted:
        """Await an answer, and count it or its failure; whoever left is not counted."""
        try:
            predicted = await work
        except ClientLeft:
            raise
        except Exception:
            self._failed(model, time.monotonic() - call.started_s)
            raise
        self._answered(predicted, time.monotonic() - call.started_s)
        return predicted

    def _answered(self, predicted: Predicted, seconds: float) -> None:
        route, answer = predicted.route, predicted.answer
        counts = self._of((route.tenant, route.adapter, route.version))
        counts.last_ms = time.time_ns() // 1_000_000
        counts.texts += len(predicted.ids)
        counts.answered += 1
        counts.answered_s += seconds
        counts.queue_s += answer.queue_s
        counts.compute_s += answer.compute_s

    def _failed(self, model: Model, seconds: float) -> None:
        try:
            route = self._router.route(*model)
        except (UnknownTenant, UnknownAdapter, UnknownVersion, NoLiveVersion):
            return  # what is not there fails no request
        counts = self._of((route.tenant, route.adapter, route.version))
        counts.failed += 1
        counts.failed_s += seconds

    def _of(self, key: Key) -> Counts:
        counts = self._counts.get(key)
        if counts is None:
            if len(self._counts) >= self._versions_max:
                del self._counts[next(iter(self._counts))]
            counts = self._counts[key] = Counts()
        return counts

    def lines(self, caller: Caller) -> list[dict[str, object]]:
        """Return the documents of the versions that were asked, and that a caller sees."""
        return [
            statistics_line(key, counts)
            for key, counts in self._counts.items()
            if caller.sees(key[0])
        ]

    def lines_of(self, versions: Iterable[Route]) -> list[dict[str, object]]:
        """Return the documents of some versions, asked or not."""
        keys = [(found.tenant, found.adapter, found.version) for found in versions]
        return [statistics_line(key, self._counts.get(key) or Counts()) for key in keys]


def statistics_line(key: Key, counts: Counts) -> dict[str, object]:
    """Return the document of one version.

    A pass answers several tenants at once, so executions are counted as requests are. What is
    not measured on its own has the count 0.
    """
    tenant, adapter, version = key
    nothing = _duration(0, 0.0)
    return {
        "name": f"{tenant}.{adapter}",
        "version": str(version),
        "last_inference": counts.last_ms,
        "inference_count": counts.texts,
        "execution_count": counts.answered,
        "inference_stats": {
            "success": _duration(counts.answered, counts.answered_s),
            "fail": _duration(counts.failed, counts.failed_s),
            "queue": _duration(counts.answered, counts.queue_s),
            "compute_input": nothing,
            "compute_infer": _duration(counts.answered, counts.compute_s),
            "compute_output": nothing,
            "cache_hit": nothing,
            "cache_miss": nothing,
        },
        "batch_stats": [],
    }


def _duration(count: int, seconds: float) -> dict[str, int]:
    return {"count": count, "ns": round(seconds * _NS)}
