"""Canaries through the service's own fold: labels late, in any order, and some of them twice."""

import heapq
from collections.abc import Iterator

import numpy as np

from benchmarks.canary_runs import ALONE, ALPHA, ARMS, NEVER, Counts, Reals, Setting, laws_of
from service.trials.spans import Arm
from service.trials.trial import Arms, Trial

_DELAY_ROWS = 200.0  # of a label, on average, in rows of the canary
_TWICE = 0.1  # labels that come again, some of them corrected
_PAIRLESS = ALONE + 0.05  # answers that go without a twin, or lose it


def fold_runs(setting: Setting, runs: int, rows: int, seed: int) -> Counts:
    """Return after how many of its own labelled rows each canary was called worse."""
    draw = np.random.default_rng(seed)
    return np.array([_run(setting, rows, draw) for _ in range(runs)], np.int64)


def _run(setting: Setting, rows: int, draw: np.random.Generator) -> int:
    trial = Trial(Arms("acme", "support", 2, 1, 1, 0.0), alpha=ALPHA, objective_s=0.5)
    told = _Told(setting, draw)
    for row in range(rows):
        told.answer("canary", row, 1.0)
        ours = setting.percent / 100.0
        for _ in range(draw.poisson((1.0 - ours) / ours)):
            told.answer("live", row, min(1.0, ours / (1.0 - ours)))
    for what, arm, of, right in told.in_order():
        if what == "twin":
            trial.twins(arm, [of], ["refund" if right else "other"])
        else:
            trial.labelled(arm, of, "refund", right=right, predicted_s=1.0, audit=False)
        trial.settle()
        if trial.proven is not None:
            return trial.labels.canary.labelled
    return int(NEVER)


class _Told:
    """What the log will say, and when."""

    def __init__(self, setting: Setting, draw: np.random.Generator) -> None:
        self._draw = draw
        laws = {arm: laws_of(setting, arm) for arm in ARMS}
        self._laws: dict[Arm, Reals] = {
            arm: (law / law.sum()).cumsum() for arm, law in laws.items()
        }
        self._heap: list[tuple[float, int, str, Arm, int, bool]] = []
        self._keys = 0

    def answer(self, arm: Arm, row: int, twin_share: float) -> None:
        """Plan one labelled answer, and its twin if it has one."""
        draw = self._draw
        self._keys += 1
        case = int((draw.random() > self._laws[arm]).sum())
        right = {"canary": case >= 2, "live": case in (1, 3)}
        if draw.random() < twin_share * (1.0 - _PAIRLESS):
            other = right["live" if arm == "canary" else "canary"]
            self._plan(row + 1.0 + draw.exponential(2.0), "twin", arm, other)
        at = row + draw.exponential(_DELAY_ROWS)
        self._plan(at, "label", arm, right[arm])
        if draw.random() < _TWICE:
            self._plan(at + draw.exponential(_DELAY_ROWS), "label", arm, bool(draw.random() < 0.5))

    def in_order(self) -> Iterator[tuple[str, Arm, int, bool]]:
        """Yield what is told: a twin or a label, of whose answer, of which, and if it was right."""
        while self._heap:
            _, _, what, arm, key, right = heapq.heappop(self._heap)
            yield what, arm, key, right

    def _plan(self, at: float, what: str, arm: Arm, right: bool) -> None:
        heapq.heappush(self._heap, (at, len(self._heap), what, arm, self._keys, right))
