"""How far canary and live are apart: canary less live, with intervals, where rows are enough."""

from dataclasses import dataclass

from service.trials import intervals
from service.trials.intervals import Interval
from service.trials.trial import Trial

LABELLED_MIN = 30  # rows of each, below which nothing is said of accuracy,
REQUESTS_MIN = 100  # and requests of each, of failures and latency


@dataclass(frozen=True, slots=True)
class Difference:
    """Canary less live, and how many rows or requests of each it rests on."""

    interval: Interval
    canary: int
    live: int
    paired: bool = False  # on the same texts


def accuracy(trial: Trial) -> Difference | None:
    """Return the difference of the shares of right answers; this interval holds at all times."""
    canary, live, pairs = trial.labels.canary, trial.labels.live, trial.labels.pairs
    tables = [canary.table] if trial.arms.watched == "live" else [canary.table, live.table]
    if min(table.rows for table in tables) >= LABELLED_MIN:
        counts = [(table.live_wrong, table.canary_wrong, table.rows) for table in tables]
        return Difference(intervals.of_pairs(counts), pairs, pairs, paired=True)
    if min(canary.labelled, live.labelled) >= LABELLED_MIN:
        found = intervals.of_shares(canary.right, canary.labelled, live.right, live.labelled)
        return Difference(found, canary.labelled, live.labelled)
    return None


def failures(trial: Trial) -> Difference | None:
    """Return the difference of the shares of requests that failed; at all times too."""
    canary, live = trial.spans.of["canary"], trial.spans.of["live"]
    asked, other = canary.answered + canary.failed, live.answered + live.failed
    if min(asked, other) < REQUESTS_MIN:
        return None
    found = intervals.of_shares(canary.failed, asked, live.failed, other)
    return Difference(found, asked, other)


def latency(trial: Trial) -> Difference | None:
    """Return the difference of 95th percentiles of seconds; this interval is of one look."""
    canary, live = trial.spans.of["canary"].seconds, trial.spans.of["live"].seconds
    if min(len(canary), len(live)) < REQUESTS_MIN:
        return None
    return Difference(intervals.of_quantiles(canary, live, 0.95), len(canary), len(live))
