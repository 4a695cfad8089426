"""What labels say of a canary and of live: the bets of a trial, and the figures that are shown.

Of texts that the canary answered live's twins are known, and of as many that live answered the
canary's. Which of the two the caller saw does not matter to a bet, and so it does not matter if
labels come for wrong answers rather than for right ones (`pairs`).
"""

import math
from collections.abc import Sequence
from typing import TypeVar

from service.trials import pairs, shown
from service.trials.shown import Lots, Shown
from service.trials.spans import Arm
from service.trials.wealth import Reals, Wealth

_KINDS = 2 * shown.KINDS  # of rows that are kept, of either version
ROWS_MAX = _KINDS * 100_000  # that all trials of a process keep together, of which each has a part,
ROWS_MIN = _KINDS * 400  # and no less than this

_Real = TypeVar("_Real", float, Reals)

OWN_MIN = 20  # labelled answers of live's own, below which nobody knows how labels are chosen
_PLAIN = 3.0  # standard deviations that chance does not explain
_ALIKE = 0.5  # and those that are next to none

TOLD_MIN = 3  # labelled requests of either version, below which only the other one's are labelled
_STEADY = 5.0  # requests with twins, so that the first few decide no weight
_LASTS = 400.0  # requests with twins, after which older ones are mostly forgotten

_ARMS: tuple[Arm, Arm] = ("canary", "live")


class Twinned:
    """How many requests of either version were to have twins of late, and how many had."""

    def __init__(self, *, keyed: bool) -> None:
        """Of requests that a key drew, or of those that chance did."""
        self._keyed = keyed
        self._drawn = dict.fromkeys(_ARMS, 0.0)
        self._had = dict.fromkeys(_ARMS, 0.0)

    def drawn(self, arm: Arm) -> None:
        """Count a request that was to have a twin."""
        self._drawn[arm] += 1.0

    def had(self, arm: Arm) -> None:
        """Count a request that had one."""
        for counts in (self._drawn, self._had):
            for each in _ARMS:
                counts[each] *= 1.0 - 1.0 / _LASTS
        self._had[arm] += 1.0

    def weight(self, arm: Arm) -> float:
        """Return what a request that has one counts now: 1, or less of the commoner version.

        Where chance draws, requests of both that are to have twins are as common, but twins of one
        may be dropped more often. Callers with keys may ask more or less than their share, too.
        """
        other: Arm = "live" if arm == "canary" else "canary"
        return min(1.0, self._common(other) / self._common(arm))

    def _common(self, arm: Arm) -> float:
        had = self._had[arm] + _STEADY
        return had if self._keyed else had / (max(self._drawn[arm], self._had[arm]) + _STEADY)


class Labels:
    """Labels of one trial."""

    def __init__(self, *, drawn: bool = False) -> None:
        """Labels that are `drawn` are of answers that chance chose, and of nothing else.

        They are of the watched version's own answers alone.
        """
        codes: dict[str, int] = {}
        self._lots: Lots = {}
        self.canary = Shown("canary", codes, self._lots)
        self.live = Shown("live", codes, self._lots)
        self.worse = Wealth(pairs.BETTORS)
        self.better = Wealth(pairs.BETTORS)
        self.bets = 0
        self._drawn = drawn
        self._are_apart = False
        self._twinned = {keyed: Twinned(keyed=keyed) for keyed in (False, True)}
        self.keep(ROWS_MAX)

    def keep(self, rows_max: int) -> None:
        """Keep no more rows than so many; forget the oldest."""
        each_max = max(1, rows_max // _KINDS)
        self.canary.keep(each_max)
        self.live.keep(each_max)

    def of(self, arm: Arm) -> Shown:
        """Return the labels of one version's own answers."""
        return self.canary if arm == "canary" else self.live

    @property
    def kept(self) -> int:
        """Return how many rows are kept."""
        return self.canary.kept + self.live.kept

    @property
    def pairs(self) -> int:
        """Return how many labelled texts both versions answered."""
        return self.canary.table.rows + self.live.table.rows

    def drawn(self, arm: Arm, *, keyed: bool) -> None:
        """Take a request that is to have a twin."""
        self._twinned[keyed].drawn(arm)

    def had(self, arm: Arm, *, keyed: bool) -> None:
        """Take a request that has a twin, before what twins said of it and of those near it."""
        self._twinned[keyed].had(arm)

    def twins(self, arm: Arm, keys: Sequence[int], names: Sequence[str], *, keyed: bool) -> None:
        """Take what the other one said of the texts of one of a version's requests."""
        weight = 1.0 if self._drawn else self._twinned[keyed].weight(arm)
        self.of(arm).twins(keys, names, weight)

    def settle(self) -> None:
        """Bet on the requests of which pairs came since the last time, once on each for good."""
        for lot in self._lots.values():
            behind = self.of(lot.version).settle(lot)
            self.bets += 1
            self.worse.bet(pairs.log_gains(behind))
            self.better.bet(pairs.log_gains(-behind))
            deviations = self._apart()
            self._are_apart = deviations > (_ALIKE if self._are_apart else _PLAIN)
        self._lots.clear()

    @property
    def of_both(self) -> bool:
        """Return whether answers of both versions get labels alike, as far as is known.

        Only then do bets prove anything. Once they plainly did not, they have to be level again:
        labels of one version that merely come later are made up for.
        """
        few = min(self.canary.told, self.live.told) < TOLD_MIN
        return self._drawn or not (few or self._are_apart)

    def _apart(self) -> float:
        """Return by how many deviations labels are not alike.

        Requests on which neither was ahead get labels as often whichever answered, however good
        the two are and whatever labels depend on, if that goes for both alike.
        """
        canary, live = self.canary, self.live
        alike = canary.alike + live.alike
        if not alike or not canary.requests or not live.requests:
            return 0.0
        share = canary.requests / (canary.requests + live.requests)
        return abs(canary.alike - share * alike) / math.sqrt(alike * share * (1.0 - share))

    @property
    def told_by_answers(self) -> bool:
        """Return whether it is plain that which rows are labelled depends on the answers.

        Where labels come for wrong answers rather than for right ones, complaints say, live seems
        better on texts that the canary answered than on those that it answered itself, which the
        draw does not know of.
        """
        own, table = self.live, self.canary.table
        if own.labelled < OWN_MIN or not table.rows:
            return False
        ahead = table.live_right / table.rows - own.right / own.labelled
        spread = variance(table.live_right, table.rows) + variance(own.right, own.labelled)
        return abs(ahead) > _PLAIN * math.sqrt(spread)


def variance(right: _Real, rows: _Real) -> _Real:
    """Return the variance of a share of right answers; never 0, so that few rows prove nothing."""
    share = (right + 1.0) / (rows + 2.0)
    variance: _Real = share * (1.0 - share) / rows
    return variance


def rows_of_each(trials: int) -> int:
    """Return how many rows each of so many trials may keep.

    >>> [rows_of_each(trials) for trials in (1, 10, 10_000)]
    [1000000, 100000, 4000]
    """
    return max(ROWS_MIN, ROWS_MAX // max(trials, 1))
