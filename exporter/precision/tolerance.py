"""How far a variant may be from fp32, and how that is judged.

A variant outside any of its limits is not shipped. Each limit has a reason:

- *Probability, worst and mean.* What an app sees. The worst answer of a set is one that lies
  between two labels, so it says little of the rest; the mean is what a threshold in an app feels.
- *Labels that agree.* Judged on a calibration set only: among random texts and random heads most
  answers lie between two labels.
- *Accuracy.* Refused where the set shows that more than the limit was lost, that is where even the
  lower end of the interval of the paired difference lies above it; a loss that no set of this size
  can tell from luck is bounded by the labels that agree.
- *Calibration.* How much the debiased calibration error may grow; refused, too, where even the
  lower end of the interval of the growth lies above the limit.
- *Embedding.* Relative, of the worst input; drift is judged on embeddings. What such an error does
  to drift itself was not measured, so the limit only says what a well-made variant keeps to.
- *Neighbour.* The same input alone and beside others, adversaries among them. Not 0, since a pass
  of another shape adds up in another order, and a sum that differs in its last bit may round to
  the next bf16, fp16 or int8 value. Beside other neighbours in the same places an answer must be
  the same to the last bit, which the tests hold every variant to.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from service.engine.bundle import Measured
from service.measures import Estimate

RANDOM = "random"  # the name of the set that is made where none was given


@dataclass(frozen=True, slots=True)
class Tolerance:
    """Limits of one variant; see the module for the reason of each."""

    max_probability_error: float
    mean_probability_error: float
    label_agreement: float  # at least
    accuracy_loss: float
    calibration_error_growth: float
    max_embedding_error: float
    max_neighbour_error: float


@dataclass(frozen=True, slots=True)
class Cost:
    """What a variant costs where the set has labels, with intervals."""

    loss: Estimate  # how much more often fp32 is right
    growth: Estimate  # of the debiased calibration error; undefined for too few rows


def breaches(found: Measured, cost: Cost | None, tolerance: Tolerance) -> list[str]:
    """Return what lies outside the tolerance, in words; nothing where the variant passes.

    `cost` is None where the set has no labels. A figure that is not a number lies outside.
    """
    return [
        f"{what} {value:.3g} ({sign} {limit:g} allowed)"
        for what, value, limit, sign in _compared(found, cost, tolerance)
        if not (value >= limit if sign == "at least" else value <= limit)
    ]


def _compared(
    found: Measured, cost: Cost | None, tolerance: Tolerance
) -> Iterator[tuple[str, float, float, str]]:
    for what in ("max_probability_error", "mean_probability_error", "max_embedding_error"):
        yield what.replace("_", " "), getattr(found, what), getattr(tolerance, what), "at most"
    yield (
        "max neighbour error",
        found.max_neighbour_error,
        tolerance.max_neighbour_error,
        "at most",
    )
    if found.data != RANDOM:
        yield "label agreement", found.label_agreement, tolerance.label_agreement, "at least"
    if cost is None:
        return
    yield "accuracy lost, at the least,", cost.loss.lower, tolerance.accuracy_loss, "at most"
    if cost.growth.is_defined:
        limit = tolerance.calibration_error_growth
        yield "growth of the calibration error, at the least,", cost.growth.lower, limit, "at most"
