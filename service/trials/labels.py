"""What labels say of a canary and of live: the bets of a trial, and the figures that are shown.

The first label of an answer is bet on, a later one only corrects the figures: a bet cannot be taken
back. Labels and twins come in any order. A request is bet on once, by those of its pairs that were
there together; what comes of it later is shown and not bet on. What is kept is bounded; the oldest
goes.
"""

import math
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from service.trials import pairs
from service.trials.wealth import Reals, Wealth

ROWS_MAX = 500_000  # that all trials of a process keep together, of which each gets its part,
ROWS_MIN = 2_000  # and no less than this

_KINDS = 5  # of rows that are kept
_CODES = 1 << 16  # classes of an adapter, at most

_Value = TypeVar("_Value")
_Real = TypeVar("_Real", float, Reals)

OWN_MIN = 20  # labelled answers of live's own, below which nobody knows how labels are chosen
CHANCE = 2.0  # standard deviations that chance may explain,
_PLAIN = 3.0  # and those that it does not

_NONE, _WRONG, _RIGHT = 0, 1, 2  # what is known of a twin


@dataclass(slots=True)
class Table:
    """Answers of the canary and their twins, by who was right."""

    both_right: int = 0
    canary_wrong: int = 0  # and its twin right
    live_wrong: int = 0
    both_wrong: int = 0

    @property
    def rows(self) -> int:
        """Return how many there are."""
        return self.both_right + self.canary_wrong + self.live_wrong + self.both_wrong

    @property
    def live_right(self) -> int:
        """Return in how many of them live was right."""
        return self.both_right + self.canary_wrong

    def add(self, canary: bool, twin: bool, count: int = 1) -> None:
        """Count a pair; both say who was right."""
        if canary and twin:
            self.both_right += count
        elif twin:
            self.canary_wrong += count
        elif canary:
            self.live_wrong += count
        else:
            self.both_wrong += count


@dataclass(slots=True)
class Tally:
    """One version's own labelled answers."""

    labelled: int = 0
    right: int = 0


@dataclass(frozen=True, slots=True)
class _Awaited:
    """A labelled answer of the canary whose twin has not come: the first label, and the last."""

    label: int  # its code, as the next
    right: bool
    label_now: int
    right_now: bool


@dataclass(slots=True)
class _Lot:
    """Pairs of one request that are not bet on yet."""

    rows: int = 0
    behind: int = 0  # those that the canary alone had wrong, less those that live alone had


class Labels:
    """Labels of one trial."""

    def __init__(self, *, drawn: bool = False) -> None:
        """Labels that are `drawn` are of answers that chance chose, and of nothing else."""
        self._drawn = drawn
        self.worse = Wealth(pairs.BETTORS)
        self.better = Wealth(pairs.BETTORS)
        self.canary = Tally()
        self.live = Tally()
        self.table = Table()
        self._kept_max = ROWS_MAX // _KINDS
        self._codes: dict[str, int] = {}  # of classes
        # What live said, by the key of the canary's answer: the request's number and the code.
        self._twins: dict[int, int] = {}
        self._awaited: dict[int, _Awaited] = {}  # labels without a twin so far
        self._known: dict[int, int] = {}  # labelled answers: the canary's right, and its twin
        self._known_live: dict[int, bool] = {}
        self._lots: dict[int, _Lot] = {}  # by request
        self._settled: dict[int, None] = {}  # requests that were bet on

    def keep(self, rows_max: int) -> None:
        """Keep no more rows than so many; forget the oldest."""
        self._kept_max = max(1, rows_max // _KINDS)
        for kept in self._every():
            if len(kept) > self._kept_max:
                newest = list(kept.items())[-self._kept_max :]
                kept.clear()  # and its memory, which deleting keys one by one would keep
                kept.update(newest)

    @property
    def kept(self) -> int:
        """Return how many rows are kept."""
        return sum(len(kept) for kept in self._every())

    def _every(self) -> tuple[dict[int, Any], ...]:
        return (self._twins, self._awaited, self._known, self._known_live, self._settled)

    def twin(self, key: int, said: str, request: int) -> None:
        """Take what live said of the text of a canary's answer, one of a request's."""
        awaited = self._awaited.pop(key, None)
        code = self._code(said)
        self._keep(self._twins, key, request * _CODES + code)
        if awaited is not None:
            self._pair(request, awaited.right, code == awaited.label)
            self._enter(key, awaited.right_now, code == awaited.label_now)

    def of_canary(self, key: int, label: str, *, right: bool) -> None:
        """Take the label of an answer of the canary."""
        code, twin = self._code(label), self._twins.get(key)
        known = self._known.get(key)
        if known is not None:
            self._correct(key, known, code, right, twin)
            return
        self.canary.labelled += 1
        self.canary.right += right
        self._keep(self._known, key, int(right))
        if twin is None:
            self._keep(self._awaited, key, _Awaited(code, right, code, right))
        else:
            request, said = divmod(twin, _CODES)
            self._pair(request, right, said == code)
            self._enter(key, right, said == code)

    def of_live(self, key: int, *, right: bool) -> None:
        """Take the label of an answer of live's own."""
        known = self._known_live.get(key)
        if known is not None:
            self.live.right += right - known
            self._known_live[key] = right
            return
        self.live.labelled += 1
        self.live.right += right
        self._keep(self._known_live, key, right)

    def settle(self) -> None:
        """Bet on the requests of which pairs came since the last time, once on each for good."""
        lots, self._lots = self._lots, {}
        for request, lot in lots.items():
            self._keep(self._settled, request, None)
            behind = lot.behind / lot.rows
            self.worse.bet(pairs.log_gains(behind))
            self.better.bet(pairs.log_gains(-behind))

    @property
    def pairs_count(self) -> bool:
        """Return whether pairs may be believed.

        Where labels come for wrong answers rather than for right ones, complaints say, live seems
        better on texts that the canary answered than on those that it answered itself, which the
        draw does not know of. Pairs count while that explains at most half of what they say, and
        is within what chance does; and once enough of live's own answers are labelled to tell.
        """
        if self._drawn:
            return True
        if self.live.labelled < OWN_MIN or not self.table.rows:
            return False
        ahead, spread = self._ahead()
        behind = (self.table.canary_wrong - self.table.live_wrong) / self.table.rows
        toward = ahead if behind >= 0.0 else -ahead
        return toward <= min(CHANCE * spread, abs(behind) / 2.0)

    @property
    def told_by_answers(self) -> bool:
        """Return whether it is plain that which rows are labelled depends on the answers."""
        if self.live.labelled < OWN_MIN or not self.table.rows:
            return False
        ahead, spread = self._ahead()
        return abs(ahead) > _PLAIN * spread

    def _ahead(self) -> tuple[float, float]:
        """Return by how much live is better beside the canary than alone, and its deviation."""
        own, table = self.live, self.table
        ahead = table.live_right / table.rows - own.right / own.labelled
        spread = variance(table.live_right, table.rows) + variance(own.right, own.labelled)
        return ahead, math.sqrt(spread)

    def _code(self, name: str) -> int:
        return self._codes.setdefault(name, len(self._codes))

    def _enter(self, key: int, right: bool, twin_right: bool) -> None:
        self._known[key] = int(right) + 4 * (_RIGHT if twin_right else _WRONG)
        self.table.add(right, twin_right)

    def _pair(self, request: int, right: bool, twin_right: bool) -> None:
        """Take a pair for the bet on its request, unless that is made."""
        if request in self._settled:
            return
        lot = self._lots.setdefault(request, _Lot())
        lot.rows += 1
        lot.behind += twin_right - right

    def _correct(self, key: int, known: int, label: int, right: bool, twin: int | None) -> None:
        """Let the figures follow a later label."""
        was_right, was_twin = bool(known & 1), known >> 2
        self.canary.right += right - was_right
        if was_twin == _NONE:
            self._known[key] = int(right)
            awaited = self._awaited.get(key)
            if awaited is not None:
                self._awaited[key] = replace(awaited, label_now=label, right_now=right)
            return
        twin_right = was_twin == _RIGHT if twin is None else twin % _CODES == label
        self.table.add(was_right, was_twin == _RIGHT, -1)
        self._enter(key, right, twin_right)

    def _keep(self, kept: dict[int, _Value], key: int, value: _Value) -> None:
        kept[key] = value
        if len(kept) > self._kept_max:
            del kept[next(iter(kept))]


def variance(right: _Real, rows: _Real) -> _Real:
    """Return the variance of a share of right answers; never 0, so that few rows prove nothing."""
    share = (right + 1.0) / (rows + 2.0)
    variance: _Real = share * (1.0 - share) / rows
    return variance


def rows_of_each(trials: int) -> int:
    """Return how many rows each of so many trials may keep.

    >>> [rows_of_each(trials) for trials in (1, 10, 10_000)]
    [500000, 50000, 2000]
    """
    return max(ROWS_MIN, ROWS_MAX // max(trials, 1))
