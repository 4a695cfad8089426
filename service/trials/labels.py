"""What labels say of a canary and of live: the bets of a trial, and the figures that are shown.

The first label of an answer is bet on, a later one only corrects the figures: a bet cannot be taken
back. Labels and twins come in any order. What waits for its other half is bounded; the oldest goes.
"""

import math
from collections import deque
from dataclasses import dataclass, field, replace
from typing import TypeVar

from service.trials import odds, pairs, strata
from service.trials.wealth import Reals, Wealth

TWINS_MAX = 100_000  # of one trial; beyond it the oldest twins are forgotten, and never paired
OTHERS_MAX = 4_096  # rows of live that wait for one of the canary
_WITH_TWIN = 16  # rows of live beside one pair, at most
_STRATUM = 4  # rows of each in a stratum, at least,
_STRATUM_LIVE = 64  # and of live at most

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


@dataclass(slots=True)
class Bets:
    """What is bet in one direction: that the canary is worse, or that it is better."""

    by_pairs: Wealth = field(default_factory=lambda: Wealth(pairs.BETTORS))
    by_strata: Wealth = field(default_factory=lambda: Wealth(odds.BETTORS))


@dataclass(frozen=True, slots=True)
class _Awaited:
    """A labelled answer of the canary whose twin has not come: the first label, and the last."""

    label: str
    right: bool
    label_now: str
    right_now: bool


class Labels:
    """Labels of one trial."""

    def __init__(self, *, drawn: bool = False) -> None:
        """Labels that are `drawn` are of answers that chance chose, and of nothing else."""
        self._drawn = drawn
        self.worse = Bets()
        self.better = Bets()
        self.canary = Tally()
        self.live = Tally()
        self.table = Table()
        self._twins: dict[int, str] = {}  # what live said, by the key of the canary's answer
        self._awaited: dict[int, _Awaited] = {}  # labels without a twin so far
        self._known: dict[int, int] = {}  # labelled answers: the canary's right, and its twin
        self._known_live: dict[int, bool] = {}
        self._with_twins: deque[bool] = deque(maxlen=OTHERS_MAX)  # live's rows, for pairs,
        self._live_rows: deque[bool] = deque(maxlen=OTHERS_MAX)  # and for strata: was it wrong?
        self._canary_rows: deque[bool] = deque(maxlen=OTHERS_MAX)

    def twin(self, key: int, said: str) -> bool:
        """Take what live said of the text of a canary's answer; return whether it was awaited."""
        awaited = self._awaited.pop(key, None)
        _keep(self._twins, key, said)
        if awaited is None:
            return False
        self._bet(awaited.right, said == awaited.label)
        self._enter(key, awaited.right_now, said == awaited.label_now)
        return True

    def of_canary(self, key: int, label: str, *, right: bool) -> None:
        """Take the label of an answer of the canary."""
        said = self._twins.get(key)
        known = self._known.get(key)
        if known is not None:
            self._correct(key, known, label, right, said)
            return
        self.canary.labelled += 1
        self.canary.right += right
        _keep(self._known, key, int(right))
        self._canary_rows.append(not right)
        self._stratify()
        if said is None:
            _keep(self._awaited, key, _Awaited(label, right, label, right))
        else:
            self._bet(right, said == label)
            self._enter(key, right, said == label)

    def of_live(self, key: int, *, right: bool) -> None:
        """Take the label of an answer of live's own."""
        known = self._known_live.get(key)
        if known is not None:
            self.live.right += right - known
            self._known_live[key] = right
            return
        self.live.labelled += 1
        self.live.right += right
        _keep(self._known_live, key, right)
        self._with_twins.append(not right)
        self._live_rows.append(not right)
        self._stratify()

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

    def _enter(self, key: int, right: bool, twin_right: bool) -> None:
        self._known[key] = int(right) + 4 * (_RIGHT if twin_right else _WRONG)
        self.table.add(right, twin_right)

    def _bet(self, right: bool, twin_right: bool) -> None:
        count = min(_WITH_TWIN, len(self._with_twins))
        others = [self._with_twins.popleft() for _ in range(count)]
        mean = sum(others) / count if count else 0.0
        wrong, twin_wrong = float(not right), float(not twin_right)
        self.worse.by_pairs.bet(pairs.log_gains(wrong, twin_wrong, mean, count))
        # Signs turned: right answers instead of wrong ones.
        self.better.by_pairs.bet(pairs.log_gains(1.0 - wrong, 1.0 - twin_wrong, 1.0 - mean, count))

    def _stratify(self) -> None:
        """Bet on a stratum as soon as there are rows enough, whatever they say."""
        canary, live = self._canary_rows, self._live_rows
        if len(canary) < _STRATUM or len(live) < _STRATUM:
            return
        mine = sum(canary.popleft() for _ in range(_STRATUM))
        rows = min(_STRATUM_LIVE, len(live))
        others = sum(live.popleft() for _ in range(rows))
        self.worse.by_strata.bet(strata.log_gains(mine, _STRATUM, others, rows))
        right = (_STRATUM - mine, _STRATUM, rows - others, rows)
        self.better.by_strata.bet(strata.log_gains(*right))

    def _correct(self, key: int, known: int, label: str, right: bool, said: str | None) -> None:
        """Let the figures follow a later label."""
        was_right, twin = bool(known & 1), known >> 2
        self.canary.right += right - was_right
        if twin == _NONE:
            self._known[key] = int(right)
            awaited = self._awaited.get(key)
            if awaited is not None:
                self._awaited[key] = replace(awaited, label_now=label, right_now=right)
            return
        twin_right = twin == _RIGHT if said is None else said == label
        self.table.add(was_right, twin == _RIGHT, -1)
        self._enter(key, right, twin_right)


def variance(right: _Real, rows: _Real) -> _Real:
    """Return the variance of a share of right answers; never 0, so that few rows prove nothing."""
    share = (right + 1.0) / (rows + 2.0)
    variance: _Real = share * (1.0 - share) / rows
    return variance


def _keep(kept: dict[int, _Value], key: int, value: _Value) -> None:
    kept[key] = value
    if len(kept) > TWINS_MAX:
        del kept[next(iter(kept))]
