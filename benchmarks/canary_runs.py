"""Many simulated canaries at once: the bets of `service/trials`, on arrays of trials.

Each run is one canary beside one live version, labelled row by labelled row, with as many requests
of either that have twins. The bets and how alpha is shared out are those of the service.
"""

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from service.trials import bursts, odds, pairs
from service.trials.spans import Arm
from service.trials.trial import PARTS, Measure
from service.trials.wealth import Wealth

Reals = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]
Truths = npt.NDArray[np.bool_]

ALPHA = 0.01
NEVER = np.iinfo(np.int64).max
MEASURES: tuple[Measure, ...] = ("accuracy", "failures", "latency")
ALONE = 1 / 10  # of the requests have no twin, at least
ARMS: tuple[Arm, ...] = ("canary", "live")
PROOF = -np.log10(ALPHA * PARTS["accuracy"])

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
    for name in (*MEASURES, "bare", "z every row", "z at 500"):
        runs.by[name] = np.full(len(of), NEVER)
    trial = _Trials(settings, np.random.default_rng(seed), runs)
    for row in range(1, rows + 1):
        trial.label(row)
        if requests and row % _ROWS_A_SPAN == 0:
            trial.span(row)
    return runs


def laws_of(setting: Setting, shown: Arm) -> Reals:
    """Return the law of a labelled text that one showed: both wrong, the canary, live, neither.

    Its sum is how often such a text is labelled, where one that is answered rightly always is.
    """
    canary, live = 1.0 - setting.canary, 1.0 - setting.live
    both = setting.together * min(canary, live) + (1.0 - setting.together) * canary * live
    law = np.array([both, canary - both, live - both, 1.0 - canary - live + both])
    wrong = [0, 1] if shown == "canary" else [0, 2]
    law[wrong] *= setting.chosen
    weighed: Reals = law
    return weighed


def share_of(setting: Setting) -> float:
    """Return the share of the canary's requests that have twins."""
    ours = setting.percent / 100.0
    return min(ours, 1.0 - ours) / ours * (1.0 - ALONE)


def live_a_row(setting: Setting) -> float:
    """Return how many labelled texts of live's both answered, for each labelled one of canary's."""
    likelier = laws_of(setting, "live").sum() / laws_of(setting, "canary").sum()
    return float(share_of(setting) * likelier)


class _Trials:
    """The state of all runs."""

    def __init__(self, settings: list[Setting], draw: np.random.Generator, into: Runs) -> None:
        self._draw = draw
        self._into = into
        runs = len(into.of)
        self._percent = np.array([setting.percent for setting in settings])[into.of]
        self._shares = np.array([share_of(setting) for setting in settings])[into.of]
        self._live_a_row = np.array([live_a_row(setting) for setting in settings])[into.of]
        self._laws: dict[Arm, Reals] = {}
        for arm in ARMS:
            laws = np.array([laws_of(setting, arm) for setting in settings])
            self._laws[arm] = (laws / laws.sum(axis=1, keepdims=True))[into.of].cumsum(axis=1)
        self._by = {
            "accuracy": Wealth(pairs.BETTORS, (runs,)),
            "failures": Wealth(odds.BETTORS, (runs,)),
            "latency": Wealth(odds.BETTORS, (runs,)),
        }
        self._bare = Wealth(pairs.BETTORS, (runs,))
        self._bets = np.zeros(runs)
        self._sum = np.zeros(runs)
        self._square = np.zeros(runs)

    def label(self, row: int) -> None:
        """Take one labelled row of each canary, and those of live that both answered meanwhile."""
        draw = self._draw
        paired = draw.random(len(self._shares)) < self._shares
        behind = paired * self._drawn("canary")
        self._bare.bet(pairs.log_gains(behind))
        self._bet(behind, paired)
        others = draw.poisson(self._live_a_row)
        for number in range(int(others.max())):
            now = number < others
            self._bet(now * self._drawn("live"), now)
        self._hit("accuracy", row)
        bare = self._into.by["bare"]
        bare[(bare == NEVER) & (self._bare.log10() >= PROOF)] = row
        self._look(row)

    def _bet(self, behind: Reals, of: Truths) -> None:
        self._bets += of
        self._sum += behind
        self._square += behind**2
        self._by["accuracy"].bet(pairs.log_gains(behind))

    def _drawn(self, shown: Arm) -> Reals:
        """Return by how much the canary is wrong more often, of one labelled text of one's own."""
        case = (self._draw.random(len(self._shares))[:, None] > self._laws[shown]).sum(axis=1)
        behind: Reals = np.where(case == 1, 1.0, np.where(case == 2, -1.0, 0.0))
        return behind

    def span(self, row: int) -> None:
        """Take a span of requests, of which some failed and others were slow."""
        draw, runs = self._draw, len(self._shares)
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
            self._hit(name, row)

    def _hit(self, name: Measure, row: int) -> None:
        proof = -np.log10(ALPHA * PARTS[name])
        found = self._into.by[name]
        found[(found == NEVER) & (self._by[name].log10() >= proof)] = row

    def _look(self, row: int) -> None:
        """Do what is usual: a z-test of the same bets, at 1 % on one side."""
        if row < 30:
            return
        whole = np.maximum(self._bets, 1.0)
        mean = self._sum / whole
        deviation = np.sqrt(np.maximum(self._square / whole - mean**2, 1e-12) / whole)
        beyond = mean > _Z99 * deviation
        for name in ("z every row", "z at 500") if row == 500 else ("z every row",):
            found = self._into.by[name]
            found[beyond & (found == NEVER)] = row
