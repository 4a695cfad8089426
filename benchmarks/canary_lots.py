"""Simulated canaries whose rows are no draws of their own: many rows a request, callers with keys.

The versions are identical, or equal on the whole and different by domain, or differ by chance.
"""

from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from benchmarks.canary_runs import ALONE, ARMS, NEVER, PROOF, Counts, Reals, Truths
from service.trials import pairs
from service.trials.spans import Arm
from service.trials.wealth import Wealth

CALLERS = 200  # with routing keys; the n-th asks 1 / n as often as the first
_PERCENT = 10.0

Kind = Literal["identical", "noisy", "by domain", "worse"]


@dataclass(frozen=True, slots=True)
class Lots:
    """Requests of so many rows, all labelled together; each of one domain and one difficulty."""

    kind: Kind
    rows: int = 1  # a request
    keyed: bool = False  # a caller is on one side for good, and of one domain
    chosen: float = 1.0  # how much likelier a wrong answer is labelled than a right one

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
        chosen = (
            "" if self.chosen == 1.0 else f"; wrong answers labelled {self.chosen:g} times as often"
        )
        return f"{words[self.kind]}; {who}{chosen}"


@dataclass(slots=True)
class LotRuns:
    """After how many labelled rows each run was called worse; `NEVER` where it was not."""

    gone: Counts
    bare: Counts  # by the canary's own requests alone
    by_rows: Counts  # had every row been bet on by itself
    worse_for_them: Truths = field(default_factory=lambda: np.zeros(0, np.bool_))


@dataclass(frozen=True, slots=True)
class _Lot:
    """Labelled rows of a request of each run: those the canary alone had wrong, and live alone."""

    lost: Reals
    won: Reals
    rows: Reals
    asked: int  # rows, labelled or not

    @property
    def behind(self) -> Reals:
        """Return by how much the canary was wrong more often, of all rows."""
        share: Reals = (self.lost - self.won) / self.asked
        return share


def simulate_lots(lots: Lots, runs: int, rows: int, seed: int) -> LotRuns:
    """Return so many runs, over so many labelled rows of the canary's own."""
    draw = np.random.default_rng(seed)
    asking = _Callers(runs, draw) if lots.keyed else None
    found = LotRuns(*(np.full(runs, NEVER) for _ in range(3)))
    wealth, bare, single = (Wealth(pairs.BETTORS, (runs,)) for _ in range(3))
    at = np.zeros(runs)
    for _ in range(rows // lots.rows * (1 if lots.chosen == 1.0 else 3)):
        two: list[_Lot] = []
        for arm in ARMS:
            hard, domain = asking.ask(arm) if asking else _texts(runs, draw)
            two.append(_asked(lots, arm, *_wrong(lots, hard, domain), draw))
        alone = draw.random(runs) < ALONE
        at += two[0].rows
        for lot in two:
            np.multiply(lot.lost, ~alone, out=lot.lost)
            np.multiply(lot.won, ~alone, out=lot.won)
        for lot in two:
            wealth.bet(pairs.log_gains(lot.behind))
        bare.bet(pairs.log_gains(two[0].behind))
        for lot in two:
            lost, won = lot.lost[:, None], lot.won[:, None]
            single.bet(lost * pairs.log_gains(1.0) + won * pairs.log_gains(-1.0))
        for into, by in ((found.gone, wealth), (found.bare, bare), (found.by_rows, single)):
            now = (into == NEVER) & (by.log10() >= PROOF) & (at <= rows)
            into[now] = at[now]
    if asking is not None:
        found.worse_for_them = asking.canary_worse()
    return found


def _asked(lots: Lots, shown: Arm, canary: Reals, live: Reals, draw: np.random.Generator) -> _Lot:
    """Return one request of each run that one version was shown for, as it is labelled."""
    both = np.minimum(canary, live) if lots.kind == "identical" else canary * live
    law = np.stack([both, canary - both, live - both, 1.0 - canary - live + both], axis=1)
    counts = draw.multinomial(lots.rows, np.clip(law, 0.0, 1.0) / law.sum(axis=1, keepdims=True))
    wrong = np.array([1, 1, 0, 0] if shown == "canary" else [1, 0, 1, 0], np.bool_)
    chances = np.where(wrong, 1.0, 1.0 / lots.chosen)
    labelled = draw.binomial(counts, chances).astype(np.float64)
    return _Lot(labelled[:, 1], labelled[:, 2], labelled.sum(axis=1), lots.rows)


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

    def ask(self, side: Arm) -> tuple[Reals, Counts]:
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
