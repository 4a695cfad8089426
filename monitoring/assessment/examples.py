"""Predictions that stand for others: those furthest from the reference, those that were wrong."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from monitoring.assessment.comparison import Comparison
from monitoring.assessment.labels import window_start_us
from monitoring.assessment.policy import Policy
from monitoring.rows import HalfArray
from monitoring.sketches.sample import SampledRow
from monitoring.state.view import View
from monitoring.state.windows import WindowRows
from monitoring.triggers.trigger import Reason
from monitoring.watched import Watched

_SECOND_US = 1_000_000


class Far(NamedTuple):
    """A row, and how far it is from the reference."""

    row: SampledRow
    distance: float  # squared, between its features and the reference's mean


def sampled(view: View, watched: Watched, window: WindowRows | None) -> list[SampledRow]:
    """Return the rows of a window that were sampled with an embedding, oldest hour first."""
    if window is None:
        return []
    start_us, end_us = round(window.start_s * _SECOND_US), round(window.end_s * _SECOND_US)
    return [
        row
        for sample in view.samples(watched, start_us)
        for row in sample.rows
        if start_us <= row.time_us < end_us and row.embedding is not None
    ]


def farthest(rows: Sequence[SampledRow], comparison: Comparison, most: int) -> list[Far]:
    """Return the rows furthest from the reference, the furthest first; none without a reference."""
    reference, feature_map = comparison.reference, comparison.map
    if reference is None or reference.window is None or feature_map is None:
        return []
    embeddings = embeddings_of(rows, feature_map.hidden)
    if embeddings is None:
        return []
    features = feature_map.fixed(embeddings) / feature_map.scale
    mean = reference.window.mean
    apart = 1 - 2 * features @ mean + float(mean @ mean)
    order = np.argsort(-apart, kind="stable")[:most]
    return [Far(rows[place], float(apart[place])) for place in order.tolist()]


def embeddings_of(rows: Sequence[SampledRow], hidden: int) -> HalfArray | None:
    """Return the embeddings of rows [n, hidden]; None without rows, or for another hidden size."""
    vectors = [row.embedding for row in rows if row.embedding is not None]
    if not vectors or len(vectors[0]) != hidden:
        return None
    return np.stack(vectors)


def evidence(
    view: View,
    watched: Watched,
    comparison: Comparison,
    window: WindowRows | None,
    policy: Policy,
    reason: Reason,
    time_us: int,
    most: int,
) -> tuple[str, ...]:
    """Return the predictions that a trigger shows: the furthest ones, or wrong ones first."""
    if reason == "drift":
        found = farthest(sampled(view, watched, window), comparison, most)
        return tuple(far.row.prediction_id for far in found)
    return view.labelled_ids(watched, window_start_us(policy, time_us), most)
