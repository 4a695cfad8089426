"""How a version answers of late: classes, confidence and lengths of the primary window.

They are of a sketch alone, so nothing is recomputed at a scrape, and the quantiles are those of its
bins: the confidence is the mean of the bin where the row of the rank is, the length its middle.
"""

import math

import numpy as np

from monitoring.assessment.memo import Memo
from monitoring.sketches.sketch import Sketch
from monitoring.state.head import OTHER

CLASSES_TOLD = 10  # the others are told of together
CONFIDENCE_QUANTILES = ("0.1", "0.5", "0.9")
TOKEN_QUANTILES = ("0.5", "0.95")


def note_answers(memo: Memo, sketch: Sketch | None) -> None:
    """Write down how the rows of a window were answered; None: there is no window."""
    memo.class_counts, memo.confidence, memo.tokens = (), {}, {}
    if sketch is None or not sketch.predictions:
        return
    memo.class_counts = largest_classes(sketch)
    memo.confidence = {
        share: confidence_quantile(sketch, float(share)) for share in CONFIDENCE_QUANTILES
    }
    if sketch.length_counts.any():
        memo.tokens = {share: sketch.length_quantile(float(share)) for share in TOKEN_QUANTILES}


def largest_classes(sketch: Sketch) -> tuple[tuple[int, int], ...]:
    """Return the classes with most rows and how many each has, at most ten; of equals the first."""
    order = np.argsort(-sketch.class_counts, kind="stable")[:CLASSES_TOLD]
    return tuple((int(one), int(sketch.class_counts[one])) for one in order)


def confidence_quantile(sketch: Sketch, share: float) -> float:
    """Return the confidence that a share of the rows does not exceed, within one bin.

    The bins are an eighth of the log-odds. NaN without rows.
    """
    total = int(sketch.confidence_counts.sum())
    if not total:
        return math.nan
    rank = max(1, math.ceil(share * total))
    found = int(np.searchsorted(np.cumsum(sketch.confidence_counts), rank))
    return float(sketch.confidence_means[found])


def shares_told(memo: Memo, names: tuple[str, ...]) -> dict[str, float]:
    """Return the shares of the window's classes by name; the smaller ones as `_other`.

    Names that two classes share are one, since a name is all that tells classes apart here. A class
    that was never predicted has no name yet, only its number, and is left out.
    """
    if not memo.class_counts or not memo.rows:
        return {}
    shares: dict[str, float] = {}
    for number, count in memo.class_counts:
        name = names[number] if number < len(names) else str(number)
        if count or name != str(number):
            shares[name] = shares.get(name, 0.0) + count / memo.rows
    others = memo.rows - sum(count for _, count in memo.class_counts)
    if len(names) > len(memo.class_counts):
        shares[OTHER] = shares.get(OTHER, 0.0) + others / memo.rows
    return shares
