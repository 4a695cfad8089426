import math

import numpy as np
import pytest

from monitoring.assessment.answers import (
    CLASSES_TOLD,
    confidence_quantile,
    largest_classes,
    note_answers,
    shares_told,
)
from monitoring.assessment.memo import Memo
from monitoring.sketches.sketch import Sketch
from tests.unit.monitoring.sketches.made_rows import rows_of

CLASSES = 3


def sketch_of(confidences: list[float], classes: list[int] | None = None) -> Sketch:
    """Return the sketch of rows of texts of 10 tokens."""
    n = len(confidences)
    rows = rows_of(
        n,
        classes=CLASSES,
        confidence=np.array(confidences, np.float32),
        class_index=np.array(classes or [0] * n, np.int64),
        tokens=np.full(n, 10),
    )
    sketch = Sketch.empty(CLASSES)
    sketch.add(rows, None, None, None)
    return sketch


def test_confidence_is_the_mean_of_the_bin_where_the_rank_is() -> None:
    sketch = sketch_of([0.3, 0.5, 0.9, 0.9, 0.9, 0.9, 0.9, 0.9, 0.9, 0.99])
    assert confidence_quantile(sketch, 0.1) == pytest.approx(0.3, abs=1e-6)
    assert confidence_quantile(sketch, 0.5) == pytest.approx(0.9, abs=1e-6)
    assert confidence_quantile(sketch, 0.9) == pytest.approx(0.9, abs=1e-6)
    assert confidence_quantile(sketch, 1.0) == pytest.approx(0.99, abs=1e-6)


def test_quantiles_are_within_a_bin_of_those_of_the_rows() -> None:
    confidences = np.random.default_rng(3).beta(6, 2, 500).astype(np.float32)
    sketch = sketch_of(confidences.tolist())
    for share in (0.1, 0.5, 0.9):
        exact = np.quantile(confidences, share, method="inverted_cdf")
        log_odds = [math.log(p / (1 - p)) for p in (confidence_quantile(sketch, share), exact)]
        assert abs(log_odds[0] - log_odds[1]) <= 1 / 8


def test_no_rows_have_no_confidence() -> None:
    assert math.isnan(confidence_quantile(Sketch.empty(CLASSES), 0.5))


def test_the_largest_classes_come_first_and_of_equals_the_first() -> None:
    sketch = sketch_of([0.5] * 5, [2, 2, 0, 1, 2])
    assert largest_classes(sketch) == ((2, 3), (0, 1), (1, 1))


def test_a_window_is_noted_and_a_window_that_is_gone_leaves_nothing() -> None:
    memo = Memo(rows=4)
    note_answers(memo, sketch_of([0.5] * 4, [1, 1, 1, 0]))
    assert shares_told(memo, ("a", "b", "c")) == {"b": 0.75, "a": 0.25, "c": 0.0}
    assert set(memo.confidence) == {"0.1", "0.5", "0.9"}
    assert memo.tokens == {"0.5": 10.0, "0.95": 10.0}
    for nothing in (None, Sketch.empty(CLASSES)):
        note_answers(memo, nothing)
        assert (memo.class_counts, memo.confidence, memo.tokens) == ((), {}, {})
        assert shares_told(memo, ("a", "b", "c")) == {}


def test_a_window_of_images_has_no_tokens() -> None:
    sketch = sketch_of([0.5] * 4)
    sketch.length_counts[:] = 0
    memo = Memo(rows=4)
    note_answers(memo, sketch)
    assert memo.tokens == {}
    assert memo.confidence


def test_classes_beyond_the_largest_are_told_of_together() -> None:
    names = tuple(f"class {number}" for number in range(CLASSES_TOLD + 2))
    memo = Memo(rows=100, class_counts=tuple((number, 9) for number in range(CLASSES_TOLD)))
    told = shares_told(memo, names)
    assert len(told) == CLASSES_TOLD + 1
    assert told["_other"] == pytest.approx(0.1)
    assert math.fsum(told.values()) == pytest.approx(1.0)


def test_a_class_without_a_name_is_told_of_once_it_was_predicted() -> None:
    assert shares_told(Memo(rows=4, class_counts=((0, 4), (1, 0))), ("a", "1")) == {"a": 1.0}
    memo = Memo(rows=4, class_counts=((0, 3), (1, 1)))
    assert shares_told(memo, ("a", "1")) == {"a": 0.75, "1": 0.25}


def test_classes_of_one_name_are_one() -> None:
    memo = Memo(rows=4, class_counts=((0, 2), (1, 1), (2, 1)))
    assert shares_told(memo, ("_other", "x", "x", "y")) == {"_other": 0.5, "x": 0.5}


def test_a_memo_of_before_says_nothing_of_classes() -> None:
    assert shares_told(Memo(rows=500), ("a", "b")) == {}
