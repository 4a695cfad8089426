"""Answers as ranked labels, which is how Text Embeddings Inference and Hugging Face tell them."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from service.engine.adapter import FloatArray

_LEAST = np.finfo(np.float32).smallest_subnormal  # whose logarithm is -103


def ranked(
    labels: Sequence[str],
    probabilities: FloatArray,
    top: int | None = None,
    *,
    logarithms: bool = False,
) -> list[list[dict[str, Any]]]:
    """Return for each row of `probabilities` [texts, labels] its labels and scores, best first.

    `top` keeps the best so many; labels of the same score stay in the version's order. With
    `logarithms` a score is the natural logarithm of the probability, and -103 where that is 0.
    """
    scores = np.log(np.maximum(probabilities, _LEAST)) if logarithms else probabilities
    order = np.argsort(-probabilities, axis=1, kind="stable")[:, :top].tolist()
    return [
        [{"label": labels[at], "score": row[at]} for at in best]
        for row, best in zip(scores, order, strict=True)
    ]
