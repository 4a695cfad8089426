"""Method (g), the budget: one knob, false alarms a week over the whole fleet.

What is claimed: while nothing changed, the detectors together raise on average no more alarms a
week than the budget. Nothing is claimed of the share of alarms that are false: e-detectors are no
e-values, and for a finite run length no bound of the worst false-discovery rate but the trivial
one holds (Dandapanthula and Ramdas, arXiv 2501.04130).

A continuous watch spends by time: a row's share of a false alarm is the time since the row before
it, over a week, times what the watch may spend in a week. So its run length in rows follows its
traffic from one row to the next, without an estimate, and no rush of rows can overspend.
"""

import math
from dataclasses import dataclass

import numpy as np

from monitoring.rows import FloatArray, IntArray

WEEK_US = 7 * 86_400 * 10**6

_WATCHES, _FLEET, _LABELS = 0.7, 0.1, 0.2
_DAY_US = 86_400 * 10**6


@dataclass(frozen=True, slots=True)
class Budget:
    """False alarms a week, by what may raise them; they add up to the knob."""

    watches: float  # all continuous watches together
    fleet: float  # the fleet detector
    labels: float  # all tests of labels together

    @staticmethod
    def of(alarms_per_week: float) -> "Budget":
        """Return how the knob is divided; raise `ValueError` where it is not above 0."""
        if not 0 < alarms_per_week < math.inf:
            raise ValueError(f"a budget of {alarms_per_week} false alarms a week")
        return Budget(
            watches=_WATCHES * alarms_per_week,
            fleet=_FLEET * alarms_per_week,
            labels=_LABELS * alarms_per_week,
        )


def run_lengths(
    time_us: IntArray, latest_us: int | None, *, alarms_per_week: float, detectors: int = 1
) -> tuple[FloatArray, int | None]:
    """Return the run length at each row [n], and the latest time, for the next call.

    `latest_us` is what the last call returned, None at the first. `alarms_per_week` is what
    `detectors` of a kind share evenly; it and their number may change between calls. A row that
    is not later than those before it may spend nothing: its run length is infinite. No row spends
    more than a day's share. Time that falls back by more than a day is a clock that was wrong
    before, and goes on from there.
    """
    latest, gaps = latest_us, np.zeros(len(time_us))
    for row, time in enumerate(time_us.tolist()):
        if latest is None or time > latest or time < latest - _DAY_US:
            gaps[row] = 0 if latest is None else min(max(0, time - latest), _DAY_US)
            latest = time
    share = alarms_per_week / detectors / WEEK_US
    spends = gaps > 0
    lengths = np.full(len(gaps), math.inf)
    lengths[spends] = 1 / (gaps[spends] * share)
    return lengths, latest


def run_length(*, alarms_per_week: float, detectors: int, events_per_week: float) -> float | None:
    """Return in how many events one of `detectors` raises one false alarm, at this traffic.

    For people: detectors go by `run_lengths`. None where there is no traffic.
    """
    return events_per_week * detectors / alarms_per_week if events_per_week > 0 else None


def level(*, alarms_per_week: float, detectors: int, decisions_per_week: float) -> float:
    """Return at which p value each of the detectors' decisions may alarm.

    The expected number of false alarms is the sum of the levels, however decisions depend on each
    other. Raises `ValueError` for fewer than one detector, or decisions that are not above 0.
    """
    if detectors < 1 or not decisions_per_week > 0:
        raise ValueError(f"{detectors} detectors of {decisions_per_week} decisions a week")
    return min(1.0, alarms_per_week / (detectors * decisions_per_week))
