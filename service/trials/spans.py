"""A trial's requests in spans of time: how many, how many failed, how many were slow.

A span begins with a request and ends with the first one that was written ten seconds later or more,
or as much earlier where the clock was set back, by the log's own times: so whoever reads the log
again makes the same spans of it.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from service.trials import bursts, odds
from service.trials.wealth import Wealth

Arm = Literal["canary", "live"]

SPAN_S = 10.0
SAMPLE = 2_048  # requests of each whose times are kept


@dataclass(slots=True)
class Requests:
    """Requests of one version, since the trial began."""

    answered: int = 0
    failed: int = 0
    slow: int = 0
    rows: int = 0  # texts or images that were answered
    timed: int = 0  # those that tell of latency
    seconds: deque[float] = field(default_factory=lambda: deque(maxlen=SAMPLE))


@dataclass(slots=True)
class _Span:
    answered: int = 0
    timed: int = 0
    failed: int = 0
    slow: int = 0


class Spans:
    """Requests of one trial."""

    def __init__(self, objective_s: float) -> None:
        """A request that took longer than the objective is slow."""
        self.objective_s = objective_s
        self.failures = Wealth(odds.BETTORS)
        self.latency = Wealth(odds.BETTORS)
        self.of: dict[Arm, Requests] = {"canary": Requests(), "live": Requests()}
        self._open: dict[Arm, _Span] = {"canary": _Span(), "live": _Span()}
        self._since_s: float | None = None

    def answered(
        self, arm: Arm, count: int, seconds: Sequence[float], rows: int, written_s: float
    ) -> bool:
        """Take requests that were answered; say whether a span ended.

        `seconds` are of those that tell of latency: the ones that went without a twin.
        """
        ended = self._turn(written_s)
        slow = sum(each > self.objective_s for each in seconds)
        whole, span = self.of[arm], self._open[arm]
        whole.answered += count
        whole.timed += len(seconds)
        whole.slow += slow
        whole.rows += rows
        whole.seconds.extend(seconds)
        span.answered += count
        span.timed += len(seconds)
        span.slow += slow
        return ended

    def failed(self, arm: Arm, count: int, written_s: float) -> bool:
        """Take requests that failed; say whether a span ended."""
        ended = self._turn(written_s)
        self.of[arm].failed += count
        self._open[arm].failed += count
        return ended

    def _turn(self, written_s: float) -> bool:
        """Bet on the span that has ended, if it has, and begin another."""
        if self._since_s is None:
            self._since_s = written_s
        if abs(written_s - self._since_s) < SPAN_S:  # a clock may be set back, by an hour say
            return False
        self._since_s = written_s
        canary, live = self._open["canary"], self._open["live"]
        self._open = {"canary": _Span(), "live": _Span()}
        asked, other = canary.answered + canary.failed, live.answered + live.failed
        self.failures.bet(bursts.log_gains(canary.failed, asked, live.failed, other))
        self.latency.bet(bursts.log_gains(canary.slow, canary.timed, live.slow, live.timed))
        return True
