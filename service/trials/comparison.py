"""What is told of a trial: rows, figures, differences with intervals, evidence and a verdict."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from service.trials import differences
from service.trials.differences import Difference
from service.trials.spans import Arm
from service.trials.trial import MEASURES, Arms, Measure, Reason, Trial
from service.trials.verdicts import Verdict, judge, sentence_of


@dataclass(frozen=True, slots=True)
class ArmFigures:
    """One version's own rows; None: undefined."""

    version: int
    rows: int
    requests: int
    failed: int
    labelled: int
    accuracy: float | None
    failure_ratio: float | None
    latency_p50_s: float | None
    latency_p95_s: float | None
    slow_ratio: float | None

    def document(self) -> dict[str, Any]:
        """Return it as it goes over the wire."""
        return {
            name: _rounded(value) if isinstance(value := getattr(self, name), float) else value
            for name in self.__slots__
        }


@dataclass(frozen=True, slots=True)
class Comparison:
    """One trial at one moment."""

    arms: Arms
    percent: float
    canary: ArmFigures
    live: ArmFigures
    paired: int  # labelled rows that both answered
    agreement: float | None
    agreement_rows: int
    objective_s: float
    labels_told_by_answers: bool
    evidence: dict[Measure, float]
    proof: float
    verdict: Verdict
    sentence: str
    cause: Reason | None = None  # of being worse
    accuracy: Difference | None = None
    failures: Difference | None = None
    latency: Difference | None = None

    @property
    def differences(self) -> dict[str, Difference | None]:
        """Return the differences by name."""
        return {
            "accuracy": self.accuracy,
            "failures": self.failures,
            "latency_p95_s": self.latency,
        }

    def figures(self) -> dict[str, Any]:
        """Return everything that was measured, as JSON takes it."""
        return {
            "since": self.arms.begun_s,
            "percent": self.percent,
            "canary": self.canary.document(),
            "live": self.live.document(),
            "paired": self.paired,
            "agreement": {"rows": self.agreement_rows, "ratio": _rounded(self.agreement)},
            "latency_objective_s": self.objective_s,
            "labels_told_by_answers": self.labels_told_by_answers,
            "differences": {
                name: None if one is None else _told(one) for name, one in self.differences.items()
            },
            "evidence_log10": {name: _rounded(value) for name, value in self.evidence.items()},
            "proof_log10": _rounded(self.proof),
        }


def compare(trial: Trial, percent: float) -> Comparison:
    """Return what is known of a trial now."""
    accuracy, failures = differences.accuracy(trial), differences.failures(trial)
    verdict, cause = judge(trial)
    labels = trial.labels
    return Comparison(
        arms=trial.arms,
        percent=percent,
        canary=_figures(trial, "canary"),
        live=_figures(trial, "live"),
        paired=labels.pairs,
        agreement=_share(trial.agreement.same, trial.agreement.rows),
        agreement_rows=trial.agreement.rows,
        objective_s=trial.spans.objective_s,
        labels_told_by_answers=labels.told_by_answers,
        evidence={measure: trial.evidence(measure) for measure in MEASURES},
        proof=-math.log10(trial.alpha),
        verdict=verdict,
        sentence=sentence_of(trial, verdict, cause, accuracy, failures),
        cause=cause,
        accuracy=accuracy,
        failures=failures,
        latency=differences.latency(trial),
    )


def _figures(trial: Trial, arm: Arm) -> ArmFigures:
    requests = trial.spans.of[arm]
    shown = trial.labels.of(arm)
    seconds = np.array(requests.seconds)
    p50, p95 = (None, None)
    if len(seconds):
        p50, p95 = (float(np.quantile(seconds, level)) for level in (0.5, 0.95))
    return ArmFigures(
        version=trial.arms.canary if arm == "canary" else trial.arms.live,
        rows=requests.rows,
        requests=requests.answered,
        failed=requests.failed,
        labelled=shown.labelled,
        accuracy=_share(shown.right, shown.labelled),
        failure_ratio=_share(requests.failed, requests.answered + requests.failed),
        latency_p50_s=p50,
        latency_p95_s=p95,
        slow_ratio=_share(requests.slow, requests.timed),
    )


def _told(difference: Difference) -> dict[str, Any]:
    one = difference.interval
    return {
        "point": _rounded(one.point),
        "lower": _rounded(one.lower),
        "upper": _rounded(one.upper),
        "canary": difference.canary,
        "live": difference.live,
        "paired": difference.paired,
    }


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 6)
