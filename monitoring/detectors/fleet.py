"""Method (g), the fleet detector: did everyone move, or only this tenant?

If the backbone or the pre-processing broke, all tenants move at once, and one alarm is enough.
The detector is an e-detector like the watch (`watch.py`), on the mean over tenants of bounded
pay-offs. A tenant's pay-off is the evidence against its latest rows, cut at 20, over 20: in the
mean at most 1/20 while it is healthy, and 1 soon after it moved. The margin bears a fifth of the
tenants that report, and two at the least, to pay off in full for ever: a few that moved raise
their own alarms and not the fleet's. The mean of bounded pay-offs is bounded however tenants
depend on each other within a round.

A round ends when half of the active tenants have reported, so that those with much traffic do not
speak for all; each counts once in it.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from monitoring.detectors.bets import with_tolerance
from monitoring.rows import FloatArray

TENANTS_MIN = 5  # that report, below which there is no fleet to speak of

_CUT = 20.0  # of a tenant's evidence
_MARGIN = 0.2  # share of the reporting tenants that may have moved
_MARGIN_TENANTS = 2
_STAKES = np.array([0.3, 0.6, 0.9])
_CALM_ROUNDS = 3  # without a sign that everyone moved, after which the alarm is over


@dataclass(slots=True)
class State:
    """What the fleet detector remembers: the reports of a round, and little more."""

    evidence: FloatArray  # [stakes], in alarms: it alarms where the sum comes to 1
    spent: float  # of a false alarm, since the last round
    reports: dict[str, float]  # pay-offs by tenant, of this round
    rounds: int
    alarms: int
    everyone: bool  # whether the alarm is on
    calm: int  # rounds without a sign, while it is
    mean: float | None  # pay-off of the last round

    @staticmethod
    def begin() -> "State":
        """Return the state before any report."""
        return State(
            evidence=np.zeros(len(_STAKES)),
            spent=0.0,
            reports={},
            rounds=0,
            alarms=0,
            everyone=False,
            calm=0,
            mean=None,
        )


def payoff(evidence: Iterable[float]) -> float:
    """Return a tenant's pay-off in [0, 1]: the mean over the evidence of its versions.

    Raises `ValueError` for no evidence.
    """
    cut = [min(each, _CUT) / _CUT for each in evidence]
    if not cut:
        raise ValueError("no evidence to report")
    return math.fsum(cut) / len(cut)


def update(state: State, payoffs: Mapping[str, float], active: int, run_length: float) -> bool:
    """Take the reports of a tick in; return whether the alarm was raised by them.

    `payoffs` are those of the tenants that have one, of `active` tenants with traffic of late. A
    tenant that reports twice in a round is heard once. `run_length`, above 0, is in how many such
    ticks one false alarm is borne.
    """
    state.spent += 1 / run_length
    for tenant, paid in payoffs.items():
        state.reports.setdefault(tenant, paid)
    reporting = len(state.reports)
    if reporting < max(TENANTS_MIN, math.ceil(active / 2)):
        return False
    mean = math.fsum(state.reports.values()) / reporting
    healthy = with_tolerance(1 / _CUT, max(_MARGIN, _MARGIN_TENANTS / reporting))
    state.evidence += state.spent / len(_STAKES)
    state.evidence *= 1 - _STAKES + _STAKES * (mean / healthy)
    state.spent, state.reports, state.mean = 0.0, {}, mean
    state.rounds += 1
    is_raised = bool(state.evidence.sum() >= 1)
    if is_raised:
        state.evidence = np.zeros(len(_STAKES))
        state.alarms += 1
        state.everyone = True
    state.calm = 0 if is_raised or mean > healthy else state.calm + 1
    if state.calm >= _CALM_ROUNDS:
        state.everyone = False
    return is_raised


def evidence_log10(state: State, run_length: float) -> float | None:
    """Return the evidence as a power of ten: an alarm is raised at that of the run length.

    None before the first round, and right after an alarm.
    """
    total = float(state.evidence.sum())
    return math.log10(total) + math.log10(run_length) if total > 0 else None


def reading(state: State, moved: int, watched: int) -> str:
    """Return one plain sentence: `moved` of `watched` adapters are in alarm on their own."""
    if state.everyone:
        return (
            f"everyone moved ({moved} of {watched} adapters in alarm): "
            "suspect the backbone or the pre-processing, not the tenants"
        )
    if moved:
        return f"{moved} of {watched} adapters moved, the others did not"
    if state.mean is None:
        return "no adapter moved; too few tenants report to tell whether everyone did"
    return "no adapter moved"
