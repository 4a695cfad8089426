"""Many simulated canaries at once: the bets of `service/trials`, on arrays of trials.

Each run is one canary beside one live version, labelled row by labelled row. The bets, the shares
of alpha and the look at how labels were chosen are those of the service; only the loop is another.
"""

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from service.trials import bursts, odds, pairs
from service.trials.labels import CHANCE, OWN_MIN, variance
from service.trials.trial import PARTS, Measure
from service.trials.wealth import Wealth

Reals = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]
Truths = npt.NDArray[np.bool_]

ALPHA = 0.01
NEVER = np.iinfo(np.int64).max
MEASURES: tuple[Measure, ...] = ("accuracy", "failures", "latency")
ALONE = 1 / 8  # of the canary's requests have no twin

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
            "accuracy": Wealth(pairs.BETTORS, (runs,)),
            "failures": Wealth(odds.BETTORS, (runs,)),
            "latency": Wealth(odds.BETTORS, (runs,)),
        }
        self._pairs = np.zeros(runs)
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
        case = (draw.random(runs)[:, None] > laws).sum(axis=1)
        paired = draw.random(runs) >= ALONE
        canary = np.where(paired & (case <= 1), 1.0, 0.0)
        twin = np.where(paired & ((case == 0) | (case == 2)), 1.0, 0.0)
        self._pairs += paired
        self._twins_right += paired - twin
        self._sum += canary - twin
        self._square += (canary - twin) ** 2
        self._by["accuracy"].bet(pairs.log_gains(canary - twin))
        self._hit("accuracy", row, self._sound())
        self._hit("accuracy", row, np.ones(runs, np.bool_), into="unguarded")
        self._look(row)

    def span(self, row: int) -> None:
        """Take a span of requests, of which some failed and others were slow."""
        draw, runs = self._draw, len(self._own)
        share = self._percent / 100.0
        canary = 1 + draw.poisson(_REQUESTS, runs)
        live = 1 + draw.poisson(_REQUESTS * (1.0 - share) / share)
        rates: dict[Measure, float] = {"failures": 0.3, "latency": 1.0}
        for name, rate in rates.items():
            # Bursts of five on average: half of them hit requests at random, half one version.
            size = draw.poisson(rate, runs) * draw.geometric(0.2, runs)
            whole = draw.random(runs) < 0.5
            one = np.where(draw.random(runs) < share, size, 0)
            mine = np.minimum(canary, np.where(whole, one, draw.binomial(size, share)))
            theirs = np.minimum(live, size - np.minimum(size, mine))
            counts = [each.astype(np.float64) for each in (mine, canary, theirs, live)]
            self._by[name].bet(bursts.log_gains(*counts))
            self._hit(name, row, np.ones(runs, np.bool_))

    def _sound(self) -> Truths:
        """Return whether pairs count, of all runs."""
        return sound(self._pairs, self._twins_right, self._own, self._own_right, self._sum)

    def _hit(self, name: Measure, row: int, counts: Truths, into: str | None = None) -> None:
        proof = -np.log10(ALPHA * PARTS[name])
        found = self._into.by[into or name]
        found[counts & (found == NEVER) & (self._by[name].log10() >= proof)] = row

    def _look(self, row: int) -> None:
        """Do what is usual: a z-test of the paired difference, at 1 % on one side."""
        if row < 30:
            return
        whole = np.maximum(self._pairs, 1.0)
        mean = self._sum / whole
        deviation = np.sqrt(np.maximum(self._square / whole - mean**2, 1e-12) / whole)
        beyond = mean > _Z99 * deviation
        for name in ("z every row", "z at 500") if row == 500 else ("z every row",):
            found = self._into.by[name]
            found[beyond & (found == NEVER)] = row


def sound(rows: Reals, twins_right: Reals, own: Reals, own_right: Reals, behind: Reals) -> Truths:
    """Return whether pairs count: `Labels.pairs_count`, of many runs."""
    whole, others = np.maximum(rows, 1.0), np.maximum(own, 1.0)
    ahead = twins_right / whole - own_right / others
    spread = np.sqrt(variance(twins_right, whole) + variance(own_right, others))
    toward = np.where(behind >= 0.0, ahead, -ahead)
    limit = np.minimum(CHANCE * spread, np.abs(behind) / whole / 2.0)
    found: Truths = (own >= OWN_MIN) & (rows > 0) & (toward <= limit)
    return found
