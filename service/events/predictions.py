"""Prediction events on their way to the log: one block a request, arrays as the batcher gave them.

A block is made on the hot path, so it copies nothing: conversion, normalising and redaction wait
for the log's own thread.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from service.events.image_figures import ImageFigures
from service.events.text_figures import TextFigures

FloatArray = npt.NDArray[np.float32]
IntArray = npt.NDArray[Any]

# `paired`: live's answer to what a canary answered, or the other way round, under the same ids.
Role = Literal["live", "canary", "paired", "shadow", "pinned"]


@dataclass(frozen=True, slots=True)
class PredictionBlock:
    """What one version answered to one request; sequences are in the order of its texts.

    The arrays must not change after they were given to the log.
    """

    tenant: str
    adapter: str
    version: int
    digest: str
    backbone: str
    precision: str
    provider: str
    role: Role
    revision: int
    time_s: float  # wall clock
    ids: Sequence[str]  # [n]; of a shadow or a pair, the ids that the caller got: labels find it
    request_id: str
    trace_id: str | None
    class_index: IntArray  # [n]
    probabilities: FloatArray  # [n, classes]
    embeddings: FloatArray | None  # [n, hidden], not normalised
    base_embeddings: FloatArray | None  # [n or len(base_rows), hidden], of the bare backbone
    tokens: Sequence[int | None]  # [n], None of images, and so the next two
    unknown: Sequence[int | None]  # [n], tokens that the vocabulary lacks
    truncated: Sequence[bool | None]  # [n]
    queue_s: float
    compute_s: float
    group: str | None
    audit: Sequence[bool]  # [n]
    audit_probability: float
    texts: Sequence[str] | None  # [n], by opt-in; redacted before they are written
    labels: tuple[str, ...] = ()  # the classes' names; given: the log can be read without registry
    base_rows: Sequence[int] | None = None  # the rows of `base_embeddings`; None: all
    sample: float = 1.0  # the share of the tenant's predictions that is logged
    figures: TextFigures | None = None  # of the texts, whether or not they are given
    images: ImageFigures | None = None  # of images, where those were asked
    alone: bool | None = None  # beside a canary: whether no other version answered it, by the draw,
    keyed: bool | None = None  # and whether a routing key drew who answers the caller
    trace: object | None = None  # which the write is told of; None: the request is not recorded

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def bytes(self) -> int:
        """Return about how much memory it holds while it waits."""
        size = self.probabilities.nbytes + 200 * len(self.ids)
        if self.embeddings is not None:
            size += self.embeddings.nbytes
        if self.base_embeddings is not None:
            size += self.base_embeddings.nbytes
        if self.figures is not None or self.images is not None:
            size += 160 * len(self.ids)
        if self.texts is not None:
            size += 4 * sum(map(len, self.texts))
        return size


def select(
    block: PredictionBlock,
    *,
    sample: float,
    embedding: bool,
    text: bool,
    draw: Sequence[float] | npt.NDArray[np.float64],
) -> PredictionBlock | None:
    """Return what a tenant's settings let the log keep of a block, None where that is nothing.

    `draw` holds a number in [0, 1) a text; those below `sample` stay. It is looked at only where
    `sample` is below 1.
    """
    if not embedding and (block.embeddings is not None or block.base_embeddings is not None):
        block = replace(block, embeddings=None, base_embeddings=None, base_rows=None)
    if not text and block.texts is not None:
        block = replace(block, texts=None)
    if sample >= 1.0:
        return block
    kept = np.flatnonzero(np.asarray(draw) < sample)
    if not len(kept):
        return None
    return _rows(replace(block, sample=sample), kept)


def _rows(block: PredictionBlock, kept: npt.NDArray[np.intp]) -> PredictionBlock:
    base, base_rows = block.base_embeddings, None
    if base is not None:
        of = list(range(len(block))) if block.base_rows is None else list(block.base_rows)
        place = {int(row): number for number, row in enumerate(kept)}
        both = [(number, place[row]) for number, row in enumerate(of) if row in place]
        base = base[[number for number, _ in both]]
        base_rows = [row for _, row in both]
    rows = kept.tolist()
    return replace(
        block,
        ids=[block.ids[row] for row in rows],
        class_index=np.asarray(block.class_index)[kept],
        probabilities=block.probabilities[kept],
        embeddings=None if block.embeddings is None else block.embeddings[kept],
        base_embeddings=base,
        base_rows=base_rows,
        tokens=[block.tokens[row] for row in rows],
        unknown=[block.unknown[row] for row in rows],
        truncated=[block.truncated[row] for row in rows],
        audit=[block.audit[row] for row in rows],
        texts=None if block.texts is None else [block.texts[row] for row in rows],
        figures=None if block.figures is None else block.figures.rows(rows),
        images=None if block.images is None else block.images.rows(rows),
    )
