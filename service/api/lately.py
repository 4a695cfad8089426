"""The last minute, for people: how much was asked, how fast it was answered, and by whom.

Prometheus has the same for good. This is what the service's own page shows where nobody runs one:
sixty seconds, each with counts of its own, so that the oldest can be dropped whole.
"""

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

Result = Literal["answered", "refused", "failed"]

SECONDS = 60
# Widths of a fifth from half a millisecond on, to 100 s: a quantile is read from their geometric
# middle, so that it is a tenth off at most.
_FIRST_S = 0.0005
_GROWTH = math.log(1.2)
_BINS = 68


@dataclass(frozen=True, slots=True)
class Minute:
    """What one minute brought; figures are absent where nothing says what they would be."""

    seconds: float  # how much of the minute this process has seen, 1 at least
    answered: int
    refused: int  # 4xx
    failed: int  # 5xx
    texts: int
    by_tenant: Counter[str]  # requests, whatever came of them
    bins: list[int]  # of the latencies of answered requests

    @property
    def requests(self) -> int:
        """Return how many requests were over, those of clients that left not counted."""
        return self.answered + self.refused + self.failed

    def latency_s(self, ratio: float) -> float | None:
        """Return within how many seconds that share of the answers came; None without any."""
        rank = ratio * sum(self.bins)
        if not rank:
            return None
        seen = 0
        for at, count in enumerate(self.bins):
            seen += count
            if seen >= rank:
                return _FIRST_S * math.exp(_GROWTH * (at - 0.5)) if at else _FIRST_S
        raise AssertionError("a share of them all is no more than all of them")


@dataclass(slots=True)
class _Second:
    at: int = -1  # which second of the monotonic clock; -1: none yet
    answered: int = 0
    refused: int = 0
    failed: int = 0
    texts: int = 0
    by_tenant: Counter[str] = field(default_factory=Counter)
    bins: list[int] = field(default_factory=lambda: [0] * _BINS)


class Lately:
    """Counts requests that are over, second by second; for one event loop.

    Memory: sixty counts of tenants, each with those alone who asked in that second, and one of all
    who ever did.
    """

    def __init__(self, begun_s: float) -> None:
        self._begun_s = begun_s
        self.texts: Counter[str] = Counter()  # that were answered since the beginning, by tenant
        self._ring = [_Second() for _ in range(SECONDS)]

    def note(
        self, now_s: float, result: Result, seconds: float, tenant: str | None, texts: int
    ) -> None:
        """Count a request that is over at `now_s` of the monotonic clock, after `seconds`.

        `tenant` is None for one that no tenant was found for; `texts` were answered.
        """
        second = self._second(int(now_s))
        if tenant is not None:
            second.by_tenant[tenant] += 1
        if result == "refused":
            second.refused += 1
        elif result == "failed":
            second.failed += 1
        else:
            second.answered += 1
            second.texts += texts
            if tenant is not None:
                self.texts[tenant] += texts
            second.bins[_bin(seconds)] += 1

    def _second(self, at: int) -> _Second:
        found = self._ring[at % SECONDS]
        if found.at != at:
            found = self._ring[at % SECONDS] = _Second(at)
        return found

    def minute(self, now_s: float) -> Minute:
        """Return the sums of the last minute; from any thread, a request more or less."""
        kept = list(self._kept(int(now_s)))
        by_tenant: Counter[str] = Counter()
        for second in kept:
            by_tenant.update(dict(second.by_tenant))
        return Minute(
            seconds=min(float(SECONDS), max(1.0, now_s - self._begun_s)),
            answered=sum(second.answered for second in kept),
            refused=sum(second.refused for second in kept),
            failed=sum(second.failed for second in kept),
            texts=sum(second.texts for second in kept),
            by_tenant=by_tenant,
            bins=[sum(column) for column in zip(*(second.bins for second in kept), strict=True)],
        )

    def _kept(self, now: int) -> Iterator[_Second]:
        return (second for second in self._ring if now - SECONDS < second.at <= now)


def _bin(seconds: float) -> int:
    """Return which width a latency falls into."""
    if seconds <= _FIRST_S:
        return 0
    return min(_BINS - 1, math.ceil(math.log(seconds / _FIRST_S) / _GROWTH))
