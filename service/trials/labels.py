"""What labels say of a canary and of live: the bets of a trial, and the figures that are shown.

Of texts that the canary answered live's twins are known, and of as many that live answered the
canary's. Which of the two the caller saw does not matter to a bet, and so it does not matter if
labels come for wrong answers rather than for right ones (`pairs`).
"""

import math
from typing import TypeVar

from service.trials import pairs, shown
from service.trials.shown import Shown
from service.trials.spans import Arm
from service.trials.wealth import Reals, Wealth

_KINDS = 2 * shown.KINDS  # of rows that are kept, of either version
ROWS_MAX = _KINDS * 100_000  # that all trials of a process keep together, of which each has a part,
ROWS_MIN = _KINDS * 400  # and no less than this

_Real = TypeVar("_Real", float, Reals)

OWN_MIN = 20  # labelled answers of live's own, below which nobody knows how labels are chosen
_PLAIN = 3.0  # standard deviations that chance does not explain

BOTH_MIN = 10  # labelled requests of either version, below which only the other one's are labelled,
APART_MAX = 20.0  # or if they are labelled so many times less often
_STEADY = 20  # requests with twins, so that the first few decide no weight


class Labels:
    """Labels of one trial."""

    def __init__(self, *, drawn: bool = False) -> None:
        """Labels that are `drawn` are of answers that chance chose, and of nothing else.

        They are of the watched version's own answers alone.
        """
        codes: dict[str, int] = {}
        self.canary = Shown("canary", codes)
        self.live = Shown("live", codes)
        self.worse = Wealth(pairs.BETTORS)
        self.better = Wealth(pairs.BETTORS)
        self._drawn = drawn
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

    @property
    def bets(self) -> int:
        """Return how many requests were bet on."""
        return self.canary.bets + self.live.bets

    @property
    def weights(self) -> tuple[float, float]:
        """Return what a request of the canary counts, and one of live: 1, or less of the commoner.

        The draw makes them as common. Callers with keys may ask more or less than their share, and
        twins are dropped where there is no room.
        """
        canary, live = self.canary.requests + _STEADY, self.live.requests + _STEADY
        return min(1.0, live / canary), min(1.0, canary / live)

    def settle(self) -> None:
        """Bet on the requests of which pairs came since the last time, once on each for good."""
        of_canary, of_live = (1.0, 1.0) if self._drawn else self.weights
        for weight, own in ((of_canary, self.canary), (of_live, self.live)):
            for behind in own.settle():
                self.worse.bet(pairs.log_gains(weight * behind))
                self.better.bet(pairs.log_gains(-weight * behind))

    @property
    def of_both(self) -> bool:
        """Return whether answers of both versions get labels; else nothing follows from them."""
        if self._drawn:
            return True
        bets = (self.canary.bets, self.live.bets)
        if min(bets) < BOTH_MIN:
            return False
        canary, live = bets[0] / self.canary.requests, bets[1] / self.live.requests
        return max(canary, live) <= APART_MAX * min(canary, live)

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
    [800000, 80000, 3200]
    """
    return max(ROWS_MIN, ROWS_MAX // max(trials, 1))
