"""One trial: a canary beside the live version, from the moment that both answer.

Folds what the log says of the two, in the log's order, so that whoever reads the same log comes to
the same state: a process that begins again, or another one beside it. Says when the canary is
proven worse, and by what.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from service.trials.labels import Labels
from service.trials.spans import Arm, Spans

Measure = Literal["accuracy", "failures", "latency"]
Reason = Literal["accuracy", "failures", "latency", "quarantine"]
MEASURES: tuple[Measure, ...] = ("accuracy", "failures", "latency")

# How alpha is shared out, as a union bound: accuracy is what canaries fail by.
PARTS: dict[Measure, float] = {"accuracy": 0.85, "failures": 0.1, "latency": 0.05}
_LOG_PARTS = {name: math.log10(part) for name, part in PARTS.items()}
_AGREEING_MAX = 4_096  # answers of the canary that wait for their twins


@dataclass(frozen=True, slots=True)
class Arms:
    """Which two versions a trial compares, and since when.

    Another percent is the same trial; another version on either side is another one. Where `live`
    is `watched`, the live version stands in the canary's place, and in live's stands the one that
    was live before it and answers in the shadow: of that there are twins, and no rows of its own.
    """

    tenant: str
    adapter: str
    canary: int
    live: int
    revision: int  # the first of the rollout that had both
    begun_s: float
    watched: Literal["canary", "live"] = "canary"

    def twins_of(self, arm: Arm) -> tuple[str, int]:
        """Return the role and the version of the rows that the other one has under an arm's ids."""
        if self.watched == "live":
            return "shadow", self.live
        return "paired", self.live if arm == "canary" else self.canary

    def arm_of(self, role: str | None, version: int | None) -> Arm | None:
        """Return which of the two answered by itself; None: neither."""
        if (role, version) == (self.watched, self.canary):
            return "canary"
        if self.watched == "canary" and (role, version) == ("live", self.live):
            return "live"
        return None


@dataclass(slots=True)
class Agreement:
    """How often canary and live said the same of the same text."""

    rows: int = 0
    same: int = 0


class Trial:
    """What is known of the two arms so far."""

    def __init__(self, arms: Arms, *, alpha: float, objective_s: float) -> None:
        """With a probability of `alpha` at most, a canary that is no worse is called worse."""
        self.arms = arms
        self.alpha = alpha
        self.labels = Labels(drawn=arms.watched == "live")
        self.spans = Spans(objective_s)
        self.agreement = Agreement()
        self.quarantined = False
        self.proven: Measure | None = None
        """By which measure the canary was found worse; once it is, it stays."""
        self._proof = -math.log10(alpha)
        self._said: dict[int, str] = {}

    def keep(self, rows_max: int) -> None:
        """Keep no more rows than so many."""
        self.labels.keep(rows_max)

    def answered(
        self,
        arm: Arm,
        seconds: list[float],
        rows: int,
        written_s: float,
        *,
        requests: int | None = None,
    ) -> None:
        """Take requests that were answered, with the seconds of those that tell of latency.

        `requests` is how many they are; None: all of them tell.
        """
        count = len(seconds) if requests is None else requests
        if self.spans.answered(arm, count, seconds, rows, written_s):
            self._judge()

    def failed(self, arm: Arm, count: int, written_s: float) -> None:
        """Take requests that failed."""
        if self.spans.failed(arm, count, written_s):
            self._judge()

    def said(self, key: int, name: str) -> None:
        """Take the class of one answer of the canary."""
        self._said[key] = name
        if len(self._said) > _AGREEING_MAX:
            del self._said[next(iter(self._said))]

    def twins(
        self, arm: Arm, keys: Sequence[int], names: Sequence[str], *, keyed: bool = False
    ) -> None:
        """Take what the other one said of the texts of one of a version's requests."""
        if arm == "canary":
            for key, name in zip(keys, names, strict=True):
                self._agree(key, name)
        self.labels.twins(arm, keys, names, keyed=keyed)

    def _agree(self, key: int, name: str) -> None:
        said = self._said.pop(key, None)
        if said is not None:
            self.agreement.rows += 1
            self.agreement.same += said == name

    def labelled(
        self, arm: Arm, key: int, label: str, *, right: bool, predicted_s: float, audit: bool
    ) -> None:
        """Take a label, for `settle`; one for an answer from before the trial is none of its own.

        Of a live version only audited answers count: drawn at random, whatever was answered.
        """
        if predicted_s < int(self.arms.begun_s) or (self.arms.watched == "live" and not audit):
            return
        self.labels.of(arm).label(key, label, right=right)

    def settle(self) -> None:
        """Bet on what labels told since the last time: at the end of each frame of the log."""
        self.labels.settle()
        self._judge()

    @property
    def cause(self) -> Reason | None:
        """Return why the canary should not answer any more; None: nothing says so."""
        return "quarantine" if self.quarantined else self.proven

    def evidence(self, measure: Measure) -> float:
        """Return the evidence that the canary is worse, as a logarithm (base 10).

        Of each measure, -log10(alpha) and more is proof.
        """
        if measure == "failures":
            wealth = self.spans.failures
        elif measure == "latency":
            wealth = self.spans.latency
        else:
            wealth = self.labels.worse
        if measure == "accuracy" and not (self.labels.of_both or self.proven == "accuracy"):
            return _LOG_PARTS[measure]  # as at the beginning
        return float(wealth.log10()) + _LOG_PARTS[measure]

    @property
    def evidence_of_better(self) -> float:
        """Return the evidence that the canary is more accurate than live."""
        if not self.labels.of_both:
            return _LOG_PARTS["accuracy"]
        return float(self.labels.better.log10()) + _LOG_PARTS["accuracy"]

    def _judge(self) -> None:
        if self.proven is not None:
            return
        for measure in MEASURES:
            if self.evidence(measure) >= self._proof:
                self.proven = measure
                return
