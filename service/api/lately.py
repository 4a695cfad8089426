"""The last minute, for people: how much was asked, how fast it was answered, and by whom.

Prometheus has the same for good. This is what the service's own page shows where nobody runs one:
sixty seconds, each with counts of its own, so that the oldest can be dropped whole.
"""

import math
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Literal

Result = Literal["answered", "refused", "failed"]
Level = Literal["good", "warn", "bad"]

SECONDS = 60
# Of requests that were no fault of their callers: from which share on they are trouble.
FAILED_BAD = 0.05  # below it, one failure is worth a look
LATE_WARN, LATE_BAD = 0.05, 0.25
# Widths of a fifth from half a millisecond on, to 100 s: a quantile is read from their geometric
# middle, so that it is a tenth off at most.
_FIRST_S = 0.0005
_GROWTH = math.log(1.2)
_BINS = 68
_REFUSED, _FAILED = -1, -2  # in the place of a width
_UNREADABLE_MAX = 100


@dataclass(slots=True)
class Tally:
    """What came of one tenant's requests within the minute."""

    answered: int = 0
    refused: int = 0  # 4xx
    failed: int = 0  # 5xx
    texts: int = 0
    bins: Counter[int] = field(default_factory=Counter)  # widths, of answered requests

    @property
    def requests(self) -> int:
        """Return how many requests were over."""
        return self.answered + self.refused + self.failed

    def late(self, objective_s: float) -> int:
        """Return how many answers took longer than the objective: read as quantiles are."""
        return sum(count for at, count in self.bins.items() if _middle_s(at) > objective_s)


def level_of(answered: int, late: int, failed: int) -> Level:
    """Say how bad it is that so many of these answers were late, and so many requests failed."""
    whole = answered + failed
    if (failed and failed >= FAILED_BAD * whole) or (late and late >= LATE_BAD * whole):
        return "bad"
    return "warn" if failed or (late and late >= LATE_WARN * whole) else "good"


@dataclass(frozen=True, slots=True)
class Minute:
    """What one minute brought; figures are absent where nothing says what they would be."""

    seconds: float  # how much of the minute this process has seen, 1 at least
    answered: int
    refused: int  # 4xx
    failed: int  # 5xx
    texts: int
    by_tenant: dict[str, Tally]  # of those tenants alone that made any request
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
                return _middle_s(at)
        raise AssertionError("a share of them all is no more than all of them")


@dataclass(slots=True)
class _Second:
    at: int = -1  # which second of the monotonic clock; -1: none yet
    answered: int = 0
    refused: int = 0
    failed: int = 0
    texts: int = 0
    by_tenant: Counter[tuple[str, int]] = field(default_factory=Counter)  # and by width
    texts_by_tenant: Counter[str] = field(default_factory=Counter)
    bins: list[int] = field(default_factory=lambda: [0] * _BINS)


class Lately:
    """Counts requests that are over, second by second; for one event loop.

    Memory: sixty counts of tenants, each with those alone who asked in that second. Nothing is
    kept of a tenant that was deleted, or asks no more.
    """

    def __init__(self, begun_s: float) -> None:
        self._begun_s = begun_s
        self._ring = [_Second() for _ in range(SECONDS)]

    def note(
        self, now_s: float, result: Result, seconds: float, tenant: str | None, texts: int
    ) -> None:
        """Count a request that is over at `now_s` of the monotonic clock, after `seconds`.

        `tenant` is None for one that no tenant was found for; `texts` were answered.
        """
        second = self._second(int(now_s))
        if result == "refused":
            second.refused += 1
            at = _REFUSED
        elif result == "failed":
            second.failed += 1
            at = _FAILED
        else:
            at = _bin(seconds)
            second.answered += 1
            second.texts += texts
            second.bins[at] += 1
            if tenant is not None:
                second.texts_by_tenant[tenant] += texts
        if tenant is not None:
            second.by_tenant[tenant, at] += 1

    def _second(self, at: int) -> _Second:
        found = self._ring[at % SECONDS]
        if found.at != at:
            found = self._ring[at % SECONDS] = _Second(at)
        return found

    def minute(self, now_s: float) -> Minute:
        """Return the sums of the last minute; from any thread, a request more or less."""
        kept = list(self._kept(int(now_s)))
        return Minute(
            seconds=min(float(SECONDS), max(1.0, now_s - self._begun_s)),
            answered=sum(second.answered for second in kept),
            refused=sum(second.refused for second in kept),
            failed=sum(second.failed for second in kept),
            texts=sum(second.texts for second in kept),
            by_tenant=_by_tenant(kept),
            bins=[sum(column) for column in zip(*(second.bins for second in kept), strict=True)],
        )

    def _kept(self, now: int) -> Iterator[_Second]:
        return (second for second in self._ring if now - SECONDS < second.at <= now)


class Unreadable:
    """Remembers for a minute whose stored files could not be read; a bounded number of them."""

    def __init__(self) -> None:
        self._seen: dict[str, float] = {}  # digests, and when; the latest is last

    def note(self, digest: object, now_s: float) -> None:
        """Take down that a request failed for it, where it is known for which."""
        if not isinstance(digest, str):
            return
        self._seen.pop(digest, None)
        self._seen[digest] = now_s
        if len(self._seen) > _UNREADABLE_MAX:
            del self._seen[next(iter(self._seen))]

    def lately(self, now_s: float) -> list[str]:
        """Return the digests of the last minute; from any thread."""
        return [digest for digest, at_s in dict(self._seen).items() if now_s - at_s < SECONDS]


def _by_tenant(seconds: Iterable[_Second]) -> dict[str, Tally]:
    tallies: dict[str, Tally] = {}
    for second in seconds:
        # Copies are made at once, while the event loop may count on.
        for (tenant, at), count in dict(second.by_tenant).items():
            tally = tallies.setdefault(tenant, Tally())
            if at == _REFUSED:
                tally.refused += count
            elif at == _FAILED:
                tally.failed += count
            else:
                tally.answered += count
                tally.bins[at] += count
        for tenant, count in dict(second.texts_by_tenant).items():
            tallies.setdefault(tenant, Tally()).texts += count
    return tallies


def _middle_s(at: int) -> float:
    """Return the latency that stands for all of a width."""
    return _FIRST_S * math.exp(_GROWTH * (at - 0.5)) if at else _FIRST_S


def _bin(seconds: float) -> int:
    """Return which width a latency falls into."""
    if seconds <= _FIRST_S:
        return 0
    return min(_BINS - 1, math.ceil(math.log(seconds / _FIRST_S) / _GROWTH))
