"""A share that few labels tell, helped by predictions of all rows."""

import math

import numpy as np

from monitoring.rows import FloatArray, TruthArray
from service import measures
from service.measures import UNDEFINED, Estimate

LABELS_MIN = 3  # below it nothing is left to tell how well predictions follow the labels


def helped_share(
    right: TruthArray, predicted: FloatArray, weights: FloatArray, mean: float, count: int
) -> Estimate:
    """Return the share that is right of `count` rows, of which some [n] have labels.

    `predicted` [n] is how often labels are expected to be right, `mean` the same over all rows;
    labels are taken for a sample of those rows. The estimate is y + b (F - f): y the labels' share
    right, f and F the predicted ones of labels and of all N rows, and b in [0, 1] the slope of
    right over predicted. That is prediction-powered inference with a tuned weight (PPI++:
    Angelopoulos, Duchi and Zrnic, 2023), for labels that are among the rows. It is right for any
    predictions; good ones make it more certain.

    The variance is Var(right - b predicted) (1/n - 1/N) + Var(right) / N, where the first is at
    least what it would be were the predictions exact, since of few errors it is seen too small.
    The interval is Wilson's of the labels alone about the new value, shorter by the root of that
    variance over Var(right) / n: never longer than without help. Undefined for fewer than 3
    labels.
    """
    effective = measures.effective_count(weights)
    if effective < LABELS_MIN:
        return UNDEFINED
    alone = measures.share_right(right, weights)
    expected = predicted.astype(np.float64)
    level = float(np.average(expected, weights=weights))
    spread = float(np.average(np.square(expected - level), weights=weights))
    common = float(np.average((expected - level) * (right - alone.value), weights=weights))
    plain = alone.value * (1 - alone.value)
    if common <= 0 or spread <= 0 or plain <= 0:
        return alone
    slope = min(common / spread, 1.0)
    rest = plain - slope * (2 * common - slope * spread)
    rest *= (effective - 1) / (effective - 2)
    exact = float(np.average(expected * (1 - expected), weights=weights))
    rest = max(rest, exact + (1 - slope) ** 2 * spread)
    gained = (1 - rest / plain) * (1 - effective / count)
    if rest >= plain or effective >= count:
        return alone
    value = min(max(alone.value + slope * (mean - level), 0.0), 1.0)
    kept = math.sqrt(1 - gained)
    lower = value - (alone.value - alone.lower) * kept
    upper = value + (alone.upper - alone.value) * kept
    return Estimate(value, max(0.0, lower), min(1.0, upper))
