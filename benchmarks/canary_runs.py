"""Many simulated canaries at once: the bets of `service/trials`, on arrays of trials.

Each run is one canary beside one live version, labelled row by labelled row. The bets, the shares
of alpha and the look at how labels were chosen are those of the service; only the loop is another.
"""

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from service.trials import bursts, odds, pairs, strata
from service.trials.labels import CHANCE, OWN_MIN, variance
from service.trials.trial import PARTS
from service.trials.wealth import Wealth

Reals = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]
Truths = npt.NDArray[np.bool_]

ALPHA = 0.01
NEVER = np.iinfo(np.int64).max
MEASURES = ("pairs", "strata", "failures", "latency")

_STRATUM, _STRATUM_LIVE, _WITH_TWIN = 4, 64, 16
_Z99 = 2.3263479
_ROWS_A_SPAN = 5  # labelled rows of the canary between two spans of requests
_REQUESTS = 50.0  # of the canary in a span


@dataclass(frozen=True, slots=True)
class Setting:
    """What a canary is like."""

    live: float  # accuracy
    canary: float
    together: float  # share of the texts that are as hard for one as for the other
    percent: float
    chosen: float = 1.0  # how much likelier a wrong answer is labelled than a right one


@dataclass(slots=True)
class Runs:
    """After how many labelled rows each run was called worse; `NEVER` where it was not."""

    settings: list[Setting]
    of: Counts  # [runs], the number of its setting
    by: dict[str, Counts] = field(default_factory=dict)

    @property
    def gone(self) -> Counts:
        """Return when the controller takes each canary out."""
        first: Counts = np.min([self.by[name] for name in MEASURES], axis=0)
        return first

    def each(self, name: str) -> Counts:
        """Return when, by one measure, or by `gone`, all of them."""
        return self.gone if name == "gone" else self.by[name]


def simulate(
    settings: list[Setting], each: int, rows: int, seed: int, *, requests: bool = False
) -> Runs:
    """Return `each` runs of every setting, over so many labelled rows of the canary's own.

    With `requests` the canary's requests fail and lag in bursts, no more often than live's.
    """
    of = np.repeat(np.arange(len(settings)), each)
    runs = Runs(settings, of)
    for name in (*MEASURES, "unguarded", "z every row", "z at 500"):
        runs.by[name] = np.full(len(of), NEVER)
    laws = np.array([laws_of(setting) for setting in settings])[of].cumsum(axis=1)
    alone = np.array([_wrong(1 - setting.live, setting.chosen) for setting in settings])[of]
    percent = np.array([setting.percent for setting in settings])[of]
    trial = _Trials(len(of), alone, percent, np.random.default_rng(seed), runs)
    for row in range(1, rows + 1):
        trial.label(row, laws)
        if requests and row % _ROWS_A_SPAN == 0:
            trial.span(row)
    return runs


def _wrong(wrong: float, chosen: float) -> float:
    """Return the share of wrong answers among the labelled ones."""
    return wrong * chosen / (wrong * chosen + 1.0 - wrong)


def laws_of(setting: Setting) -> tuple[float, float, float, float]:
    """Return the law of a labelled pair: both wrong, the canary, live, neither."""
    canary, live = 1.0 - setting.canary, 1.0 - setting.live
    both = setting.together * min(canary, live) + (1.0 - setting.together) * canary * live
    weighed = np.array(
        [
            both * setting.chosen,
            (canary - both) * setting.chosen,
            live - both,
            1.0 - canary - live + both,
        ]
    )
    first, second, third, fourth = (weighed / weighed.sum()).tolist()
    return first, second, third, fourth


class _Trials:
    """The state of all runs."""

    def __init__(
        self, runs: int, alone: Reals, percent: Reals, draw: np.random.Generator, into: Runs
    ) -> None:
        self._draw = draw
        self._into = into
        self._alone = alone
        self._percent = percent
        self._by = {
            "pairs": Wealth(pairs.BETTORS, (runs,)),
            "strata": Wealth(odds.BETTORS, (runs,)),
            "failures": Wealth(odds.BETTORS, (runs,)),
            "latency": Wealth(odds.BETTORS, (runs,)),
        }
        self._table = _strata_table()
        self._waiting = np.zeros(runs, np.int64)  # rows of live, for pairs
        self._waiting_strata = np.zeros(runs, np.int64)
        self._wrong = np.zeros(runs, np.int64)  # of the canary, in the open stratum
        self._twins_right = np.zeros(runs)
        self._own = np.zeros(runs)
        self._own_right = np.zeros(runs)
        self._sum = np.zeros(runs)
        self._square = np.zeros(runs)

    def label(self, row: int, laws: Reals) -> None:
        """Take one labelled row of each canary, and those of live that came meanwhile."""
        draw, runs = self._draw, len(self._own)
        live = draw.poisson((100.0 - self._percent) / self._percent)
        self._own += live
        self._own_right += live - draw.binomial(live, self._alone)
        self._waiting = np.minimum(self._waiting + live, 4_096)
        self._waiting_strata = np.minimum(self._waiting_strata + live, 4_096)
        case = (draw.random(runs)[:, None] > laws).sum(axis=1)
        canary = np.where(case <= 1, 1.0, 0.0)
        twin = np.where((case == 0) | (case == 2), 1.0, 0.0)
        self._twins_right += 1.0 - twin
        others = np.minimum(_WITH_TWIN, self._waiting)
        self._waiting -= others
        mean = draw.binomial(others, self._alone) / np.maximum(others, 1)
        self._sum += canary - twin
        self._square += (canary - twin) ** 2
        self._by["pairs"].bet(pairs.log_gains(canary, twin, mean, others.astype(np.float64)))
        self._hit("pairs", row, self._sound(row))
        self._hit("pairs", row, np.ones(runs, np.bool_), into="unguarded")
        self._wrong += canary.astype(np.int64)
        if row % _STRATUM == 0:
            self._stratify(row)
        self._look(row)

    def span(self, row: int) -> None:
        """Take a span of requests, of which some failed and others were slow."""
        draw, runs = self._draw, len(self._own)
        share = self._percent / 100.0
        canary = 1 + draw.poisson(_REQUESTS, runs)
        live = 1 + draw.poisson(_REQUESTS * (1.0 - share) / share)
        for name, rate in (("failures", 0.3), ("latency", 1.0)):
            # Bursts of five on average: half of them hit requests at random, half one version.
            size = draw.poisson(rate, runs) * draw.geometric(0.2, runs)
            whole = draw.random(runs) < 0.5
            one = np.where(draw.random(runs) < share, size, 0)
            mine = np.minimum(canary, np.where(whole, one, draw.binomial(size, share)))
            theirs = np.minimum(live, size - np.minimum(size, mine))
            counts = [each.astype(np.float64) for each in (mine, canary, theirs, live)]
            self._by[name].bet(bursts.log_gains(*counts))
            self._hit(name, row, np.ones(runs, np.bool_))

    def _stratify(self, row: int) -> None:
        ready = self._waiting_strata >= _STRATUM
        rows = np.where(ready, np.minimum(_STRATUM_LIVE, self._waiting_strata), 0)
        wrong = self._draw.binomial(rows, self._alone)
        gains = self._table[rows, self._wrong, wrong]
        self._by["strata"].bet(np.where(ready[:, None], gains, 0.0))
        self._waiting_strata -= rows
        self._wrong[:] = 0  # where live's rows are too few, the canary's are not kept here
        self._hit("strata", row, np.ones(len(rows), np.bool_))

    def _sound(self, row: int) -> Truths:
        """Return whether pairs count: `Labels.pairs_count`, of all runs."""
        own = np.maximum(self._own, 1.0)
        ahead = self._twins_right / row - self._own_right / own
        beside = variance(self._twins_right, np.full_like(own, row))
        spread = np.sqrt(beside + variance(self._own_right, own))
        behind = self._sum / row
        toward = np.where(behind >= 0.0, ahead, -ahead)
        limit = np.minimum(CHANCE * spread, np.abs(behind) / 2.0)
        sound: Truths = (self._own >= OWN_MIN) & (toward <= limit)
        return sound

    def _hit(self, name: str, row: int, counts: Truths, into: str | None = None) -> None:
        proof = -np.log10(ALPHA * PARTS[name])
        found = self._into.by[into or name]
        found[counts & (found == NEVER) & (self._by[name].log10() >= proof)] = row

    def _look(self, row: int) -> None:
        """Do what is usual: a z-test of the paired difference, at 1 % on one side."""
        if row < 30:
            return
        mean = self._sum / row
        deviation = np.sqrt(np.maximum(self._square / row - mean**2, 1e-12) / row)
        beyond = mean > _Z99 * deviation
        for name in ("z every row", "z at 500") if row == 500 else ("z every row",):
            found = self._into.by[name]
            found[beyond & (found == NEVER)] = row


def _strata_table() -> Reals:
    """Return what a stratum gives [rows of live, wrong of the canary, wrong of live, bettors]."""
    most = _STRATUM_LIVE
    table = np.zeros((most + 1, _STRATUM + 1, most + 1, len(odds.BETTORS)))
    for rows in range(_STRATUM, most + 1):
        for mine in range(_STRATUM + 1):
            for wrong in range(rows + 1):
                table[rows, mine, wrong] = strata.log_gains(mine, _STRATUM, wrong, rows)
    return table
