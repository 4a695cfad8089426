"""Simulated canaries whose rows are no draws of their own: many rows a request, callers with keys.

The versions are identical, or equal on the whole and different by domain, or differ by chance.
"""

from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from benchmarks.canary_runs import ALONE, ALPHA, NEVER, Counts, Reals, Truths, sound
from service.trials import pairs
from service.trials.trial import PARTS
from service.trials.wealth import Wealth

CALLERS = 200  # with routing keys; the n-th asks 1 / n as often as the first
_PERCENT = 10.0
_OTHERS = 9  # rows or requests of live for each of the canary
_PROOF = -np.log10(ALPHA * PARTS["accuracy"])

Kind = Literal["identical", "noisy", "by domain", "worse"]


@dataclass(frozen=True, slots=True)
class Lots:
    """Requests of so many rows, all labelled together; each of one domain and one difficulty."""

    kind: Kind
    rows: int = 1  # a request
    keyed: bool = False  # a caller is on one side for good, and of one domain

    @property
    def told(self) -> str:
        """Return it in words."""
        words = {
            "identical": "identical versions",
            "noisy": "as good, errors by chance",
            "by domain": "as good, 10 points better in one domain and worse in the other",
            "worse": "10 points worse",
        }
        who = f"{CALLERS} callers with keys" if self.keyed else f"{self.rows} rows a request"
        return f"{words[self.kind]}; {who}"


@dataclass(slots=True)
class LotRuns:
    """After how many labelled rows each run was called worse; `NEVER` where it was not."""

    gone: Counts
    unguarded: Counts
    by_rows: Counts  # had every row been bet on by itself
    worse_for_them: Truths = field(default_factory=lambda: np.zeros(0, np.bool_))


def simulate_lots(lots: Lots, runs: int, rows: int, seed: int) -> LotRuns:
    """Return so many runs, over so many labelled rows of the canary's own."""
    draw = np.random.default_rng(seed)
    asking = _Callers(runs, draw) if lots.keyed else None
    found = LotRuns(*(np.full(runs, NEVER) for _ in range(3)))
    wealth, single = (Wealth(pairs.BETTORS, (runs,)) for _ in range(2))
    twins_right, own_right, behind, whole = (np.zeros(runs) for _ in range(4))
    for request in range(1, rows // lots.rows + 1):
        hard, domain = asking.ask("canary") if asking else _texts(runs, draw)
        hers, its = _wrong(lots, hard, domain)
        both = np.minimum(hers, its) if lots.kind == "identical" else hers * its
        twin = draw.binomial(lots.rows, its)
        share = np.where(its > 0.0, both / np.maximum(its, 1e-9), 0.0)
        shared = draw.binomial(twin, share)
        alone = draw.binomial(lots.rows - twin, np.clip((hers - both) / (1.0 - its), 0.0, 1.0))
        paired = draw.random(runs) >= ALONE
        lost, won = alone * paired, (twin - shared) * paired
        wealth.bet(pairs.log_gains((lost - won) / lots.rows))
        single.bet(lost[:, None] * pairs.log_gains(1.0) + won[:, None] * pairs.log_gains(-1.0))
        whole += lots.rows * paired
        twins_right += (lots.rows - twin) * paired
        behind += lost - won
        for _ in range(_OTHERS):
            hard, domain = asking.ask("live") if asking else _texts(runs, draw)
            own_right += lots.rows - draw.binomial(lots.rows, _wrong(lots, hard, domain)[1])
        own = np.full(runs, float(request * lots.rows * _OTHERS))
        counts = sound(whole, twins_right, own, own_right, behind)
        at = request * lots.rows
        hit = wealth.log10() >= _PROOF
        found.gone[counts & hit & (found.gone == NEVER)] = at
        found.unguarded[hit & (found.unguarded == NEVER)] = at
        found.by_rows[counts & (single.log10() >= _PROOF) & (found.by_rows == NEVER)] = at
    if asking is not None:
        found.worse_for_them = asking.canary_worse()
    return found


def _wrong(lots: Lots, hard: Reals, domain: Counts) -> tuple[Reals, Reals]:
    """Return how often the canary and live are wrong."""
    if lots.kind == "by domain":
        return hard + np.where(domain == 1, 0.1, -0.1), hard
    return (hard + 0.1, hard) if lots.kind == "worse" else (hard, hard)


def _texts(runs: int, draw: np.random.Generator) -> tuple[Reals, Counts]:
    """Return how hard a request is for live, and of which of two domains."""
    return draw.choice([0.12, 0.12, 0.12, 0.4], runs), draw.integers(0, 2, runs)


class _Callers:
    """Callers with routing keys: each on one side for good, of one domain, with texts as hard."""

    def __init__(self, runs: int, draw: np.random.Generator) -> None:
        self._draw = draw
        self._every = np.arange(runs)
        weights = 1.0 / np.arange(1, CALLERS + 1)
        canary = draw.random((runs, CALLERS)) < _PERCENT / 100.0
        canary[canary.sum(axis=1) == 0, 50] = True
        self._hard = 0.1 + 0.8 * draw.beta(1.0, 7.0, (runs, CALLERS))
        self._domain = draw.integers(0, 2, (runs, CALLERS))
        self._shares = {"canary": _shares(canary * weights), "live": _shares(~canary * weights)}
        self._canary = canary * weights

    def ask(self, side: Literal["canary", "live"]) -> tuple[Reals, Counts]:
        """Return how hard the next text of one side is, and its domain."""
        drawn = self._draw.random(len(self._every))[:, None]
        one = np.minimum((drawn > self._shares[side]).sum(axis=1), CALLERS - 1)
        return self._hard[self._every, one], self._domain[self._every, one]

    def canary_worse(self) -> Truths:
        """Return whether the canary's own callers have more to do with its worse domain."""
        worse: Truths = (self._canary * (2 * self._domain - 1)).sum(axis=1) > 0.0
        return worse


def _shares(weights: Reals) -> Reals:
    shares: Reals = (weights / weights.sum(axis=1, keepdims=True)).cumsum(axis=1)
    return shares
