"""Canaries whose labels come in ways that change: through the service's own `Labels`.

Each canary is as good as live. What changes is who gets labels and when, how many of the requests
are whose, and which twins are lost.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from benchmarks.canary_runs import ALONE, ALPHA, ARMS, Setting, laws_of
from benchmarks.report import Rows
from service.measures import wilson
from service.trials.labels import Labels
from service.trials.spans import Arm
from service.trials.trial import PARTS

_REQUESTS = 3_000  # of both that have twins, in a trial
_PROOF = -np.log10(ALPHA * PARTS["accuracy"])

Chances = Callable[[float], tuple[float, float]]  # of a label: of a wrong answer, of a right one
Delay = Callable[[Arm, bool], float]  # of a label, in trials: by the version, and if it was right


@dataclass(frozen=True, slots=True)
class Habit:
    """How labels come to one trial; moments are from 0 to 1."""

    told: str
    percents: tuple[float, ...] = (50.0,)  # one after the other, each as long
    chances: Chances = lambda _: (1.0, 1.0)
    delay: Delay = lambda _, __: 0.01
    lost: tuple[Arm, float] = ("live", 0.0)  # of the twins of one version's requests
    asked: float = 1.0  # times the canary's share that its callers ask


def _complaints_then_all(moment: float) -> tuple[float, float]:
    return (1.0, 0.0) if moment < 0.5 else (1.0, 1.0)


def _all_then_complaints(moment: float) -> tuple[float, float]:
    return (1.0, 1.0) if moment < 0.5 else (1.0, 0.0)


def _right_ones_late(_: Arm, right: bool) -> float:
    return 0.5 if right else 0.005


def _canary_late(arm: Arm, _: bool) -> float:
    return 0.3 if arm == "canary" else 0.01


HABITS = (
    Habit("complaints at first, then all answers", chances=_complaints_then_all),
    Habit("the same, at 65 %", (65.0,), _complaints_then_all),
    Habit("the same, from 10 to 65 %", (10.0, 65.0), _complaints_then_all),
    Habit("the same, from 10 over 50 to 90 %", (10.0, 50.0, 90.0), _complaints_then_all),
    Habit(
        "the same, at 10 %, 40 % of the twins of live's requests lost",
        (10.0,),
        _complaints_then_all,
        lost=("live", 0.4),
    ),
    Habit(
        "all answers, then complaints, at 10 %, 40 % of the twins of the canary's requests lost",
        (10.0,),
        _all_then_complaints,
        lost=("canary", 0.4),
    ),
    Habit("all answers, then complaints", chances=_all_then_complaints),
    Habit("the same, labels of the canary later", chances=_all_then_complaints, delay=_canary_late),
    Habit("wrong answers labelled at once, right ones late", delay=_right_ones_late),
    Habit("the same, at 65 %", (65.0,), delay=_right_ones_late),
    Habit("the same, at 75 %", (75.0,), delay=_right_ones_late),
    Habit(
        "complaints alone, at 10 %, callers with keys ask the canary three times as much",
        (10.0,),
        lambda _: (1.0, 0.0),
        asked=3.0,
    ),
)


def habits_table(runs: int) -> tuple[Rows, tuple[int, int]]:
    """Return the table of how many are taken out, and how many of all there are."""
    draw = np.random.default_rng(7)
    lines = []
    gone_of_all = 0
    for habit in HABITS:
        gone = sum(_gone(habit, draw) for _ in range(runs))
        found = wilson(gone, runs)
        told = f"{found.value:.2%} ({found.lower:.2%} to {found.upper:.2%})"
        lines.append((habit.told, told))
        gone_of_all += gone
    title = (
        f"labels that come otherwise as time goes by, no worse, {_REQUESTS:,} requests with twins"
    )
    return Rows(title, ("", "taken out"), lines), (gone_of_all, runs * len(HABITS))


def _gone(habit: Habit, draw: np.random.Generator) -> bool:
    """Return whether one canary was ever called worse."""
    labels = Labels()
    for shown, what, key, right in _events(habit, draw):
        own = labels.of(shown)
        if what == "twin":
            own.requests += 1
            own.twin(key, "a" if right else "b", own.requests)
            continue
        own.label(key, "a", right=right)
        labels.settle()
        if labels.worse.log10() >= _PROOF and labels.of_both:
            return True
    return False


def _events(habit: Habit, draw: np.random.Generator) -> list[tuple[Arm, str, int, bool]]:
    """Return what the log tells, in order: whose answer's, twin or label, its key, and if right."""
    setting = Setting(0.9, 0.9, 0.3, 50.0)
    law = laws_of(setting, "canary")
    cases = draw.choice(4, _REQUESTS, p=law / law.sum())
    told: list[tuple[float, Arm, str, int, bool]] = []
    for key, case in enumerate(cases.tolist()):
        moment = key / _REQUESTS
        ours = habit.percents[int(moment * len(habit.percents))] / 100.0
        # As many of either, by the share that the rollout says, times what callers ask.
        chance = habit.asked / (habit.asked + (1.0 - ours * habit.asked) / (1.0 - ours))
        shown = ARMS[int(draw.random() >= chance)]
        if draw.random() < ALONE or (shown == habit.lost[0] and draw.random() < habit.lost[1]):
            continue
        right = {"canary": case >= 2, "live": case in (1, 3)}
        told.append((moment, shown, "twin", key, right["live" if shown == "canary" else "canary"]))
        wrong_chance, right_chance = habit.chances(moment)
        if draw.random() < (right_chance if right[shown] else wrong_chance):
            at = moment + draw.exponential(habit.delay(shown, right[shown]))
            told.append((at, shown, "label", key, right[shown]))
    told.sort(key=lambda one: one[0])
    return [one[1:] for one in told]
