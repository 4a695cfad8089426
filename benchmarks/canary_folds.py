"""Canaries through the service's own fold: labels late, in any order, and some of them twice."""

import heapq

import numpy as np

from benchmarks.canary_runs import ALONE, ALPHA, NEVER, Counts, Setting, laws_of
from service.trials.spans import Arm
from service.trials.trial import Arms, Trial

_DELAY_ROWS = 200.0  # of a label, on average, in rows of the canary
_TWICE = 0.1  # labels that come again, some of them corrected
_PAIRLESS = ALONE + 0.05  # answers of the canary that go without a twin, or lose it


def fold_runs(setting: Setting, runs: int, rows: int, seed: int) -> Counts:
    """Return after how many of its own labelled rows each canary was called worse."""
    draw = np.random.default_rng(seed)
    return np.array([_run(setting, rows, draw) for _ in range(runs)], np.int64)


def _run(setting: Setting, rows: int, draw: np.random.Generator) -> int:
    trial = Trial(Arms("acme", "support", 2, 1, 1, 0.0), alpha=ALPHA, objective_s=0.5)
    law = np.array(laws_of(setting)).cumsum()
    told: list[tuple[float, int, str, int, bool]] = []  # when, and what
    order = 0

    def plan(at: float, what: str, key: int, right: bool) -> None:
        nonlocal order
        heapq.heappush(told, (at, order, what, key, right))
        order += 1

    key = 0
    for row in range(rows):
        case = int((draw.random() > law).sum())
        wrong, twin_wrong = case <= 1, case in (0, 2)
        key += 1
        if draw.random() >= _PAIRLESS:
            plan(row + 1.0 + draw.exponential(2.0), "twin", key, not twin_wrong)
        at = row + draw.exponential(_DELAY_ROWS)
        plan(at, "canary", key, not wrong)
        if draw.random() < _TWICE:
            plan(at + draw.exponential(_DELAY_ROWS), "canary", key, bool(draw.random() < 0.5))
        for _ in range(draw.poisson((100.0 - setting.percent) / setting.percent)):
            key += 1
            right = bool(draw.random() < setting.live)
            plan(row + draw.exponential(_DELAY_ROWS), "live", key, right)
    while told:
        _, _, what, of, right = heapq.heappop(told)
        if what == "twin":
            trial.twins([of], ["refund" if right else "other"])
        else:
            arm: Arm = "canary" if what == "canary" else "live"
            trial.labelled(arm, of, "refund", right=right, predicted_s=1.0, audit=False)
        trial.settle()
        if trial.proven is not None:
            return trial.labels.canary.labelled
    return int(NEVER)
