"""Labels made up for tests of what is computed from them."""

import numpy as np
import numpy.typing as npt

from monitoring.labelled import Labelled
from monitoring.rows import FloatArray, TruthArray


def labelled_of(
    confidence: FloatArray,
    right: TruthArray,
    *,
    audit: TruthArray | None = None,
    audit_probability: FloatArray | None = None,
    predicted_us: npt.NDArray[np.int64] | None = None,
    delay_us: npt.NDArray[np.int64] | int = 60_000_000,
) -> Labelled:
    """Return labels; without an audit share, unless one is given."""
    count = len(right)
    when = np.arange(count) * 1_000_000 if predicted_us is None else predicted_us
    return Labelled(
        came_us=when + delay_us,
        predicted_us=when,
        class_index=np.zeros(count, dtype=np.int64),
        confidence=confidence.astype(np.float32),
        right=right,
        audit=np.zeros(count, dtype=np.bool_) if audit is None else audit,
        audit_probability=(
            np.zeros(count, dtype=np.float32) if audit_probability is None else audit_probability
        ),
    )


def drawn_labels(count: int, seed: int, *, too_sure: float = 0.0) -> Labelled:
    """Return labels of predictions that are `too_sure` by so much."""
    random = np.random.default_rng(seed)
    confidence = random.uniform(0.5, 1.0, count)
    return labelled_of(confidence, random.random(count) < confidence - too_sure)
