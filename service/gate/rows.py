"""Which rows of a hold-out are measured, and what running them gave."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from service.engine.adapter import FloatArray
from service.engine.pixels import ImageFigures
from service.uploads.holdout import HoldoutRow

Indices = NDArray[np.int64]


def drawn(rows: Sequence[HoldoutRow], rows_max: int, digest: str) -> list[HoldoutRow]:
    """Return at most `rows_max` of the rows, in their order.

    The draw is made from the file's digest, so that the same file is measured on the same rows
    each time.
    """
    if len(rows) <= rows_max:
        return list(rows)
    random = np.random.default_rng(int(digest.removeprefix("sha256:")[:16], 16))
    chosen = np.sort(random.choice(len(rows), rows_max, replace=False))
    return [rows[index] for index in chosen.tolist()]


@dataclass(frozen=True, slots=True)
class TextFacts:
    """What tokenising a row told."""

    tokens: int
    unknown: int  # tokens that are the tokenizer's unknown one
    truncated: bool


RowFacts = TextFacts | ImageFigures  # what is known of a row, text or image


@dataclass(frozen=True, slots=True)
class Answers:
    """What one adapter answered to the rows, in their order."""

    probabilities: FloatArray  # [rows, labels]
    embeddings: FloatArray  # [rows, hidden], mean-pooled, not normalised
    text_s: tuple[float, ...]  # compute seconds a text, one figure a job


@dataclass(frozen=True, slots=True)
class LiveAnswers:
    """What the live version answered to the same rows, or why that cannot be compared."""

    version: int | None = None  # None: none is live
    digest: str | None = None
    probabilities: FloatArray | None = None  # [rows, labels], in the order of the new labels
    reason: str = ""  # why there are none


@dataclass(frozen=True, slots=True)
class Run:
    """A hold-out that was run; arrays are in the order of its rows."""

    correct: Indices  # [rows], into the labels
    facts: tuple[RowFacts, ...]
    own: Answers
    live: LiveAnswers
    bare: FloatArray  # [rows, hidden], of the backbone without an adapter


@dataclass(frozen=True, slots=True)
class ReferenceRows:
    """What a version answered before anybody asked it: what later answers are compared with."""

    correct: Indices  # [rows]
    predicted: Indices  # [rows]
    probabilities: FloatArray  # [rows, labels], as they are served
    embeddings: FloatArray  # [rows, hidden], mean-pooled with the version's adapter
    base_embeddings: FloatArray  # [rows, hidden], without it
    facts: tuple[RowFacts, ...]
