"""Rounds: contestants measured in turn, A B C, C B A, ..., so that drift hits them alike.

A ratio is the median over rounds of the two rates of the same round; beside it stand its
quartiles. A machine that slows down for a minute then spoils some rounds and no ratio.
"""

import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

# Does one round's work and returns its rate, in units a second.
Contestant = Callable[[], float]


@dataclass(frozen=True, slots=True)
class Ratio:
    """A ratio of two rates over the rounds that both took part in."""

    median: float
    low: float  # first quartile
    high: float  # third quartile
    rounds: int

    def __str__(self) -> str:
        return f"{self.median:.2f} ({self.low:.2f} to {self.high:.2f})"


@dataclass(frozen=True, slots=True)
class Rates:
    """Every contestant's rate, by round."""

    by_round: Mapping[str, Mapping[int, float]]

    def median(self, name: str) -> float:
        """Return a contestant's median rate."""
        return float(np.median(list(self.by_round[name].values())))

    def ratio(self, name: str, base: str) -> Ratio:
        """Return a contestant's rate over another's, paired by round."""
        mine, others = self.by_round[name], self.by_round[base]
        paired = [mine[n] / others[n] for n in sorted(mine.keys() & others.keys())]
        low, median, high = np.percentile(paired, [25, 50, 75]).tolist()
        return Ratio(median, low, high, len(paired))

    def document(self) -> dict[str, list[float]]:
        """Return every rate that was measured, for the record."""
        return {
            name: [round(rate, 3) for _, rate in sorted(rounds.items())]
            for name, rounds in self.by_round.items()
        }


def timed(work: Callable[[], int]) -> Contestant:
    """Return a contestant whose rate is what `work` returns over the seconds that it takes."""

    def contest() -> float:
        start = time.perf_counter()
        done = work()
        return done / (time.perf_counter() - start)

    return contest


def interleave(
    contestants: Mapping[str, Contestant],
    rounds: int,
    *,
    warm: bool = True,
    every: Mapping[str, int] | None = None,
    title: str = "",
) -> Rates:
    """Measure all contestants in every round, in alternating order.

    `warm` runs each once before, uncounted. `every` makes slow ones take part in each n-th round
    only. Progress goes to standard error.
    """
    every = every or {}
    names = list(contestants)
    if warm:
        for name in names:
            contestants[name]()
    found: dict[str, dict[int, float]] = {name: {} for name in names}
    for number in range(rounds):
        for name in names if number % 2 == 0 else reversed(names):
            if number % every.get(name, 1) == 0:
                found[name][number] = contestants[name]()
        show(f"{title}: round {number + 1} of {rounds}", last=number + 1 == rounds)
    return Rates(found)


def show(words: str, *, last: bool = True) -> None:
    """Show progress on one line of standard error; `last` keeps the line."""
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\x1b[K{words}" + ("\n" if last else ""))
    elif last:
        sys.stderr.write(f"{words}\n")
    sys.stderr.flush()
