"""What tenants of a fleet report to its detector, without a change and with one.

A tenant has a reference, 300 healthy rows after it, and then minutes of traffic in which it is as
before or changed. Its watch reports at the end of each minute, as in the sidecar. Fleets are drawn
from many such tenants.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from benchmarks.monitoring.data import Population, populations
from benchmarks.monitoring.windows import reference_rows
from monitoring.assessment.policy import Policy
from monitoring.detectors import watch
from monitoring.detectors.budget import Budget
from monitoring.rows import FloatArray, HalfArray

POLICY = Policy()
SIZES = (200, 500, 1000)
MINUTES = 240
HEALTHY = 60  # of them before the change
BEFORE = 300  # rows before the first minute
WEEK = 7 * 24 * 60  # minutes
_UNIT = 1e12  # run length at which evidence is noted, to be scaled

Change = Callable[[HalfArray, HalfArray, np.random.Generator], HalfArray]


def _unit(rows: FloatArray) -> HalfArray:
    found: HalfArray = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float16)
    return found


def _replaced(share: float) -> Change:
    def change(usual: HalfArray, other: HalfArray, draw: np.random.Generator) -> HalfArray:
        return np.where(draw.random(len(usual))[:, None] < share, other, usual)

    return change


def _towards(length: float) -> Change:
    """All rows move in one direction, the same of all tenants."""

    def change(usual: HalfArray, _other: HalfArray, _draw: np.random.Generator) -> HalfArray:
        direction = np.random.default_rng(5).normal(size=usual.shape[1])
        direction *= length / np.linalg.norm(direction)
        return _unit(usual.astype(np.float32) + direction.astype(np.float32))

    return change


def _mixed(share: float) -> Change:
    """Each dimension is mixed with another one's, the same of all tenants."""

    def change(usual: HalfArray, _other: HalfArray, _draw: np.random.Generator) -> HalfArray:
        places = np.random.default_rng(6).permutation(usual.shape[1])
        rows = usual.astype(np.float32)
        return _unit((1 - share) * rows + share * rows[:, places])

    return change


CHANGES: dict[str, Change] = {
    "large: another backbone": _mixed(1.0),
    "large: one direction, by 1": _towards(1.0),
    "moderate: half another backbone": _mixed(0.5),
    "moderate: one direction, by 0.6": _towards(0.6),
    "moderate: 40 % other rows": _replaced(0.4),
    "small: one direction, by 0.3": _towards(0.3),
    "small: 20 % other rows": _replaced(0.2),
}
LARGE = next(iter(CHANGES))


@dataclass(frozen=True, slots=True)
class Traffic:
    """How many rows come in a minute."""

    name: str
    per_minute: float  # the median of tenants
    spread: float = 0.5  # standard deviation of its logarithm over tenants
    awake: float = 1.0  # share of minutes in which a tenant has traffic, in a stretch of its own


BUSY = Traffic("20 rows a minute", 20.0)
QUIET = Traffic("2 rows a minute", 2.0)
UNALIKE = Traffic("no common pattern", 6.0, spread=1.5, awake=0.5)
TRAFFIC = (BUSY, QUIET, UNALIKE)


@dataclass(frozen=True, slots=True)
class Piece:
    """Some tenants of one kind."""

    tenants: tuple[int, ...]
    traffic: Traffic
    change: str | None


@dataclass(frozen=True, slots=True)
class Stream:
    """What one tenant reported, by minute, and how far its own watch was."""

    reports: tuple[float | None, ...]
    evidence: tuple[float, ...]  # its power of ten, at a run length of one row a false alarm
    rows_a_minute: float

    def alarm(self, tenants: int) -> int | None:
        """Return the minute of its own first alarm after the change, in a fleet of so many."""
        budget = Budget.of(POLICY.alarms_per_week).watches / tenants
        length = math.log10(self.rows_a_minute * WEEK / budget)
        beyond = (minute for minute in range(HEALTHY, MINUTES) if self.evidence[minute] >= length)
        return next(beyond, None)


@cache
def _populations() -> list[Population]:
    return populations()


def streams(piece: Piece) -> list[Stream]:
    """Let some tenants live through the minutes."""
    return [_lived(number, piece) for number in piece.tenants]


def _lived(number: int, piece: Piece) -> Stream:
    traffic = piece.traffic
    draw = np.random.default_rng([number, TRAFFIC.index(traffic), 23])
    population = _populations()[number % 3]
    other = _populations()[(number + 1) % 3].embeddings
    order = draw.permutation(len(population))
    size = SIZES[number // 3 % len(SIZES)]
    own, rest = population.taken(order[:size]), population.embeddings[order[size:]]
    baseline = watch.baseline(
        reference_rows(own), seed=POLICY.seed, tolerance=POLICY.drift_tolerance
    )
    assert baseline is not None
    state = watch.State.begin(baseline)
    watch.update(baseline, state, rest[draw.integers(len(rest), size=BEFORE)], _UNIT)
    watch.taken(state)
    rate = traffic.per_minute * math.exp(traffic.spread * draw.normal())
    first = draw.random() * MINUTES
    reports: list[float | None] = []
    evidence: list[float] = []
    for minute in range(MINUTES):
        is_awake = (minute - first) % MINUTES < traffic.awake * MINUTES
        count = int(draw.poisson(rate)) if is_awake else 0
        rows = rest[draw.integers(len(rest), size=count)]
        foreign = other[draw.integers(len(other), size=count)]
        if piece.change is not None and minute >= HEALTHY:
            rows = CHANGES[piece.change](rows, foreign, draw)
        alarmed = watch.update(baseline, state, rows, _UNIT)
        reached = watch.evidence_log10(state, _UNIT)
        evidence.append(math.inf if alarmed else -math.inf if reached is None else reached)
        reports.append(watch.taken(state))
    return Stream(tuple(reports), tuple(evidence), rate)


def dealt(streams_: Sequence[Stream], tenants: int, fleet: int) -> list[Stream]:
    """Return the tenants of a fleet; twice the same one only where there are not enough."""
    draw = np.random.default_rng([tenants, fleet, 31])
    places = draw.choice(len(streams_), size=tenants, replace=tenants > len(streams_))
    return [streams_[place] for place in places.tolist()]
