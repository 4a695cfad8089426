"""References and windows, drawn from populations, in the forms that detectors take."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.monitoring.data import Population
from monitoring.detectors import window_test
from monitoring.labelled import Labelled
from monitoring.references.rows import ReferenceRows
from monitoring.rows import IntArray, Rows
from monitoring.sketches.features import FeatureMap, bandwidths_of
from monitoring.sketches.sketch import Sketch


def reference_rows(of: Population) -> ReferenceRows:
    """Return rows as a version's reference."""
    count = len(of)
    return ReferenceRows(
        labels=of.labels,
        class_index=of.class_index,
        label_index=of.label_index,
        probabilities=of.probabilities,
        embeddings=of.embeddings,
        base_embeddings=None,
        tokens=np.full(count, 12, np.int64),
        unknown=np.zeros(count, np.int64),
        truncated=np.zeros(count, np.bool_),
    )


def rows(of: Population, start_us: int = 0, step_us: int = 1_000_000) -> Rows:
    """Return rows as predictions, one a step."""
    count = len(of)
    number = np.arange(count, dtype=np.int64)
    nothing: list[str | None] = [None] * count
    confidence = of.probabilities[number, of.class_index].astype(np.float32)
    return Rows(
        time_us=start_us + step_us * number,
        order=number,
        prediction_ids=[""] * count,
        class_index=of.class_index,
        confidence=confidence,
        probabilities=of.probabilities,
        embedded=number,
        embeddings=of.embeddings,
        based=number[:0],
        base_embeddings=of.embeddings[:0],
        tokens=np.full(count, 12, np.int64),
        unknown=np.zeros(count, np.int64),
        truncated=np.zeros(count, np.bool_),
        characters=np.full(count, -1, np.int64),
        text_bytes=np.full(count, -1, np.int64),
        replaced=np.full(count, -1, np.int64),
        fingerprint=np.zeros(count, np.int64),
        groups=nothing,
        audit=np.zeros(count, np.bool_),
        texts=nothing,
    )


def labelled(confidence: NDArray[np.float32], right: NDArray[np.bool_]) -> Labelled:
    """Return labels that came by themselves, one a second."""
    count = len(right)
    when = 1_000_000 * np.arange(count, dtype=np.int64)
    return Labelled(
        came_us=when,
        predicted_us=when,
        class_index=np.zeros(count, np.int64),
        confidence=confidence,
        right=right,
        audit=np.zeros(count, np.bool_),
        audit_probability=np.zeros(count, np.float32),
    )


@dataclass(frozen=True, slots=True)
class Reference:
    """A reference with the baseline of its window test."""

    rows: Population
    rest: IntArray  # rows of the population that are not in it
    map: FeatureMap
    baseline: window_test.Baseline

    def window(self, of: Population) -> Sketch:
        """Return the sketch of a window."""
        sketch = Sketch.empty(len(of.labels), self.map)
        features = self.map.fixed(of.embeddings)
        projected = self.map.directions.projected_of(features)
        sketch.add(rows(of), features, projected, None)
        return sketch

    def assess(self, window: Sketch, tolerance: float) -> window_test.Assessment:
        """Return the assessment of a window."""
        return window_test.assess(self.baseline, window, tolerance=tolerance)


def reference(population: Population, size: int, seed: int) -> Reference:
    """Draw a reference from a population, without replacement."""
    order = np.random.default_rng(seed).permutation(len(population))
    own = population.taken(order[:size])
    feature_map = FeatureMap.of(own.embeddings.shape[1], bandwidths_of(own.embeddings), 0)
    baseline = window_test.baseline(reference_rows(own), feature_map, seed=seed)
    assert baseline is not None, "the reference is large enough"
    return Reference(own, order[size:], feature_map, baseline)


def mixed(
    usual: Population, other: Population, share: float, draw: np.random.Generator, count: int
) -> Population:
    """Draw a window of which a share, rounded, is of the other kind; in random order."""
    foreign = round(share * count)
    first = usual.taken(draw.choice(len(usual), count - foreign, replace=False))
    second = other.taken(draw.choice(len(other), foreign, replace=False))
    return joined(first, second).taken(draw.permutation(count))


def joined(first: Population, second: Population) -> Population:
    """Return the rows of both."""
    return Population(
        first.name,
        first.labels,
        np.concatenate([first.embeddings, second.embeddings]),
        np.concatenate([first.probabilities, second.probabilities]),
        np.concatenate([first.class_index, second.class_index]),
        np.concatenate([first.label_index, second.label_index]),
        np.concatenate([first.domain, second.domain]),
    )
