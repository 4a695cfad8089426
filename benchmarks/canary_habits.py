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

_REQUESTS = 3_000  # of both that have twins, in a trial, about
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
    # Of requests with keys, times the canary's share that its callers ask, at first and at the end.
    keyed: tuple[float, float] | None = None
    silent: float = 0.0  # requests of a caller with a key, who never labels, to one of others
    promised: bool = True  # whether what is supposed of labels holds


def _complaints_then_all(moment: float) -> tuple[float, float]:
    return (1.0, 0.0) if moment < 0.5 else (1.0, 1.0)


def _all_then_complaints(moment: float) -> tuple[float, float]:
    return (1.0, 1.0) if moment < 0.5 else (1.0, 0.0)


def _right_ones_late(_: Arm, right: bool) -> float:
    return 0.5 if right else 0.005


def _canary_late(arm: Arm, _: bool) -> float:
    return 0.3 if arm == "canary" else 0.01


def _live_late(arm: Arm, _: bool) -> float:
    return 0.2 if arm == "live" else 0.01


def _complaints(_: float) -> tuple[float, float]:
    return 1.0, 0.0


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
    Habit(
        "complaints, those about live later",
        chances=_complaints,
        delay=_live_late,
        promised=False,
    ),
    Habit("wrong answers labelled at once, right ones late", delay=_right_ones_late),
    Habit("the same, at 75 %", (75.0,), delay=_right_ones_late),
    Habit("complaints, and a caller with a key who never labels", chances=_complaints, silent=1.0),
    Habit(
        "keys, at 10 %; the canary's callers ask three times as much; complaints",
        (10.0,),
        _complaints,
        keyed=(3.0, 3.0),
        promised=False,
    ),
    Habit(
        "the same, half as much and at the end three times; complaints",
        (10.0,),
        _complaints,
        keyed=(0.5, 3.0),
        promised=False,
    ),
    Habit(
        "the same, all answers, then complaints",
        (10.0,),
        _all_then_complaints,
        keyed=(0.5, 3.0),
        promised=False,
    ),
)


def habits_table(runs: int) -> tuple[Rows, tuple[int, int]]:
    """Return the table of how many are taken out, and of those with a promise, and how many are."""
    draw = np.random.default_rng(7)
    lines = []
    gone_of_all = 0
    for habit in HABITS:
        gone = sum(_gone(habit, draw) for _ in range(runs))
        found = wilson(gone, runs)
        told = f"{found.value:.2%} ({found.lower:.2%} to {found.upper:.2%})"
        lines.append((habit.told, told, "yes" if habit.promised else "no"))
        gone_of_all += gone * habit.promised
    title = f"labels that come otherwise with time, no worse, {_REQUESTS:,} requests with twins"
    columns = ("", "taken out", "promised")
    promised = sum(habit.promised for habit in HABITS)
    return Rows(title, columns, lines), (gone_of_all, runs * promised)


def _gone(habit: Habit, draw: np.random.Generator) -> bool:
    """Return whether one canary was ever called worse."""
    labels = Labels()
    for one in _events(habit, draw):
        own = labels.of(one.shown)
        if one.what == "drawn":
            labels.drawn(one.shown, keyed=one.keyed)
        elif one.what == "twin":
            labels.had(one.shown, keyed=one.keyed)
            labels.twins(one.shown, [one.key], ["a" if one.right else "b"], keyed=one.keyed)
        else:
            own.label(one.key, "a", right=one.right)
            labels.settle()
            if labels.worse.log10() >= _PROOF and labels.of_both:
                return True
    return False


@dataclass(frozen=True, slots=True)
class _Event:
    """What the log tells: of whose answer, and if it or its twin was right."""

    at: float
    shown: Arm
    what: str
    key: int
    right: bool
    keyed: bool


def _events(habit: Habit, draw: np.random.Generator) -> list[_Event]:
    """Return what the log tells, in order."""
    law = laws_of(Setting(0.9, 0.9, 0.3, 50.0), "canary")
    told: list[_Event] = []
    moment, key = 0.0, 0
    while moment < 1.0:
        key += 1
        part = habit.percents[int(moment * len(habit.percents))] / 100.0
        moment += 2.0 * min(part, 1.0 - part) / _REQUESTS / (1.0 + habit.silent)
        silent = draw.random() < habit.silent / (1.0 + habit.silent)
        shown: Arm = "live"  # the silent caller's key leads there
        if not silent:
            first, last = habit.keyed or (1.0, 1.0)
            shown = ARMS[int(draw.random() >= part * (first + (last - first) * moment))]
        own = part if shown == "canary" else 1.0 - part
        if draw.random() >= min(part, 1.0 - part) / own * (1.0 - ALONE):
            continue
        told += _request(habit, draw, key, moment, shown, int(draw.choice(4, p=law)), silent)
    told.sort(key=lambda one: one.at)
    return told


def _request(
    habit: Habit,
    draw: np.random.Generator,
    key: int,
    moment: float,
    shown: Arm,
    case: int,
    silent: bool,
) -> list[_Event]:
    """Return what the log tells of a request that is to have a twin."""
    keyed = silent or habit.keyed is not None
    told = [_Event(moment, shown, "drawn", key, False, keyed)]
    if shown == habit.lost[0] and draw.random() < habit.lost[1]:
        return told
    right = {"canary": case >= 2, "live": case in (1, 3)}
    twin = right["live" if shown == "canary" else "canary"]
    told.append(_Event(moment, shown, "twin", key, twin, keyed))
    wrong_chance, right_chance = habit.chances(moment)
    if not silent and draw.random() < (right_chance if right[shown] else wrong_chance):
        at = moment + draw.exponential(habit.delay(shown, right[shown]))
        told.append(_Event(at, shown, "label", key, right[shown], keyed))
    return told
