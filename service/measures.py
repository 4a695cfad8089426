"""Measures of answers: what the exporter's proof, the upload gate and the sidecar agree on."""

import numpy as np
from numpy.typing import NDArray


def accuracy(predicted: NDArray[np.int64], correct: NDArray[np.int64]) -> float:
    """Return the share of rows predicted right, in [0, 1]; NaN for no rows."""
    if len(predicted) == 0:
        return float("nan")
    return float((predicted == correct).mean())


def label_agreement(first: NDArray[np.float32], second: NDArray[np.float32]) -> float:
    """Return the share of rows [rows, labels] with the same most probable label; NaN for none."""
    return accuracy(first.argmax(axis=-1), second.argmax(axis=-1))
