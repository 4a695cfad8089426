"""What is to be thought of a canary, in one word and in one sentence."""

import math
from typing import Literal

from service.trials.differences import LABELLED_MIN, REQUESTS_MIN, Difference
from service.trials.trial import Reason, Trial

Verdict = Literal["no_canary", "collecting", "no_difference_yet", "worse", "better", "rolled_back"]


def judge(trial: Trial) -> tuple[Verdict, Reason | None]:
    """Return what is to be thought of a canary, and by what it is worse if it is."""
    if trial.cause is not None:
        return "worse", trial.cause
    if trial.evidence_of_better >= -math.log10(trial.alpha):
        return "better", None
    labels, of = trial.labels, trial.spans.of
    labelled = labels.canary.labelled >= LABELLED_MIN and (
        labels.pairs >= LABELLED_MIN or labels.live.labelled >= LABELLED_MIN
    )
    asked = min(
        of["canary"].answered + of["canary"].failed, of["live"].answered + of["live"].failed
    )
    if labelled or asked >= REQUESTS_MIN:
        return "no_difference_yet", None
    return "collecting", None


def sentence_of(
    trial: Trial,
    verdict: Verdict,
    cause: Reason | None,
    accuracy: Difference | None,
    failures: Difference | None,
) -> str:
    """Return the same in one sentence."""
    canary, live = f"Version {trial.arms.canary}", f"version {trial.arms.live}"
    if cause is not None:
        return f"{canary} {_why(trial, cause, accuracy, failures)}"
    if verdict == "better":
        return f"{canary} is more accurate than {live}{_by(accuracy)}."
    labelled = trial.labels.canary.labelled
    if verdict == "collecting":
        return (
            f"{canary} has answered too little to say anything: {labelled} labelled rows of"
            f" {LABELLED_MIN}, and {trial.spans.of['canary'].answered} requests of {REQUESTS_MIN}."
        )
    if labelled < LABELLED_MIN:
        return (
            f"{canary} neither fails nor lags more often than {live} as far as is known; of its"
            f" accuracy {labelled} labels say too little."
        )
    if not trial.labels.of_both:
        return f"Nothing can be proven of the accuracy of {canary.lower()}: {_missing(trial)}"
    return f"{canary} is neither proven worse than {live} nor better, after {labelled} labels."


def _missing(trial: Trial) -> str:
    """Return why labels are no evidence of accuracy, though the canary has some."""
    canary, live = f"version {trial.arms.canary}", f"version {trial.arms.live}"
    labels = trial.labels
    if not labels.canary.requests and not labels.live.requests:
        return (
            "neither answered texts of the other. `TENANTRY_CANARY_PAIRING` lets it,"
            f" {canary} below 100 percent, and room for it."
        )
    return (
        f"of the requests that both answered, {labels.canary.told} that {canary} answered for the"
        f" caller have labels, and {labels.live.told} of {live}. Label answers of both alike."
    )


def _why(
    trial: Trial, cause: Reason, accuracy: Difference | None, failures: Difference | None
) -> str:
    live = f"version {trial.arms.live}"
    if cause == "quarantine":
        return "gave numbers that are not finite and is out of service."
    if cause == "accuracy":
        count = trial.labels.canary.labelled
        return f"is less accurate than {live}{_by(accuracy)}, after {count} labelled rows."
    of = trial.spans.of
    if cause == "failures":
        count = of["canary"].failed
        return f"fails more often than {live}{_by(failures)}: {count} of its requests did."
    slow = of["canary"].slow
    return (
        f"exceeds {trial.spans.objective_s:g} s more often than {live}: {slow} of its"
        f" {of['canary'].timed} requests without a twin did, and {of['live'].slow} of"
        f" {of['live'].timed}."
    )


def _by(difference: Difference | None) -> str:
    if difference is None:
        return ""
    one = difference.interval
    low, high = sorted((abs(one.lower), abs(one.upper)))
    if one.lower < 0.0 < one.upper:
        return f" by about {100 * abs(one.point):.1f} points"
    return f" by {100 * abs(one.point):.1f} points ({100 * low:.1f} to {100 * high:.1f})"
