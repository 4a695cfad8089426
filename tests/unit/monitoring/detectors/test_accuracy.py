from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest

from monitoring import codec
from monitoring.detectors import accuracy
from monitoring.references.rows import ReferenceRows
from monitoring.report import Accuracy
from monitoring.sketches.histogram import confidence_bins
from monitoring.sketches.sketch import CONFIDENCE_SCALE, Sketch
from service import measures
from tests.unit.monitoring.detectors.made_labels import labelled_of
from tests.unit.monitoring.detectors.made_windows import draw, reference_of

Floats = npt.NDArray[np.float64]


def window_of(confidence: Floats) -> Sketch:
    """Return a sketch of confidences, with nothing else in it."""
    sketch = Sketch.empty(2)
    sure = confidence.astype(np.float32)
    bins = confidence_bins(sure)
    np.add.at(sketch.confidence_counts, bins, 1)
    steps = np.rint(sure.astype(np.float64) * CONFIDENCE_SCALE).astype(np.int64)
    np.add.at(sketch.confidence_sums, bins, steps)
    sketch.predictions = len(confidence)
    return sketch


def reference_from(confidence: Floats, right: npt.NDArray[np.bool_]) -> ReferenceRows:
    count = len(confidence)
    none = np.zeros(count, dtype=np.int64)
    return ReferenceRows(
        labels=("no", "yes"),
        class_index=none + 1,
        label_index=right.astype(np.int64),
        probabilities=np.stack([1 - confidence, confidence], axis=1).astype(np.float16),
        embeddings=None,
        base_embeddings=None,
        tokens=none,
        unknown=none,
        truncated=none > 0,
    )


def traffic(count: int, random: np.random.Generator) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """Return answers that are too timid: 0.1 more often right than they say."""
    confidence = random.uniform(0.5, 0.9, count)
    return confidence, random.random(count) < confidence + 0.1


def made(count: int, seed: int = 0) -> accuracy.Baseline:
    found = accuracy.baseline(reference_from(*traffic(count, np.random.default_rng(seed))))
    assert found is not None
    return found


def assess(baseline: accuracy.Baseline | None, confidence: Floats) -> Accuracy:
    return accuracy.assess(baseline, window_of(confidence), is_reliable=True, labels_min=50)


def test_the_estimate_is_the_mean_of_the_curve() -> None:
    baseline = made(2000)
    confidence, right = traffic(500, np.random.default_rng(1))
    found = assess(baseline, confidence).estimate
    assert found.value == pytest.approx(baseline.curve.at(confidence).mean(), abs=1e-4)
    assert found.value == pytest.approx(right.mean(), abs=0.04)
    assert found.count == 500
    assert found.unknown is None


def test_fewer_rows_of_reference_or_window_make_it_less_certain() -> None:
    def width(reference: int, window: int) -> float:
        confidence, _ = traffic(window, np.random.default_rng(2))
        found = assess(made(reference), confidence).estimate
        assert found.lower is not None
        assert found.upper is not None
        return found.upper - found.lower

    assert width(2000, 1000) < width(200, 1000)
    assert width(2000, 1000) < width(2000, 100)


def test_the_interval_covers_the_share_that_is_right_of_the_window() -> None:
    random = np.random.default_rng(3)
    covered = []
    for _ in range(300):
        baseline = accuracy.baseline(reference_from(*traffic(200, random)))
        confidence, right = traffic(300, random)
        found = assess(baseline, confidence).estimate
        assert found.lower is not None
        assert found.upper is not None
        covered.append(
            (found.lower <= right.mean() <= found.upper, found.lower <= 0.8 <= found.upper)
        )
    assert (np.mean(covered, axis=0) >= 0.93).all()


def test_a_model_that_grows_unsure_is_estimated_lower() -> None:
    baseline = made(2000)
    random = np.random.default_rng(4)
    sure, unsure = random.uniform(0.8, 0.9, 300), random.uniform(0.5, 0.6, 300)
    first, second = assess(baseline, sure).estimate, assess(baseline, unsure).estimate
    assert first.lower is not None
    assert second.upper is not None
    assert second.upper < first.lower


def test_labels_help_and_correct() -> None:
    random = np.random.default_rng(5)
    confidence = random.uniform(0.5, 0.9, 500)
    right = random.random(500) < confidence - 0.2  # 0.3 worse than the reference promised
    labelled = labelled_of(confidence[:200], right[:200])
    found = accuracy.assess(
        made(2000), window_of(confidence), labelled, is_reliable=False, labels_min=50
    )
    assert not found.reliable
    assert found.estimate.lower is not None
    assert found.estimate.lower > 0.7  # led astray
    assert found.helped.lower is not None
    assert found.helped.upper is not None
    assert found.helped.lower <= right.mean() <= found.helped.upper
    alone = measures.share_right(right[:200])
    assert found.helped.upper - found.helped.lower <= alone.upper - alone.lower
    assert found.helped.count == 200


@pytest.mark.parametrize("count", [0, 49])
def test_too_few_labels_do_not_help(count: int) -> None:
    confidence, right = traffic(500, np.random.default_rng(6))
    labelled = labelled_of(confidence[:count], right[:count])
    found = accuracy.assess(
        made(500), window_of(confidence), labelled, is_reliable=True, labels_min=50
    )
    assert found.helped.value is None
    assert found.helped.unknown == f"too few labels: {count} of 50"
    assert found.estimate.value is not None


def test_complaints_do_not_help_where_an_audit_share_is_on() -> None:
    confidence, right = traffic(1000, np.random.default_rng(7))
    audit = np.arange(1000) % 5 == 0
    came = audit | ~right
    labelled = labelled_of(
        confidence[came],
        right[came],
        audit=audit[came],
        audit_probability=np.full(int(came.sum()), 0.2),
    )
    found = accuracy.assess(
        made(500), window_of(confidence), labelled, is_reliable=True, labels_min=50
    )
    assert found.helped.count == 200
    assert found.helped.value == pytest.approx(right[audit].mean(), abs=0.03)


def test_without_labels_in_the_reference_nothing_is_known() -> None:
    rows = reference_of(draw(100, 8))
    assert accuracy.baseline(replace(rows, label_index=np.full(100, -1))) is None
    few = np.where(np.arange(100) < 19, rows.label_index, -1)
    assert accuracy.baseline(replace(rows, label_index=few)) is None
    found = assess(None, np.full(10, 0.9))
    assert found.estimate.unknown == "the reference has too few labels"
    assert found.helped.value is None
    assert not found.reliable


def test_an_empty_window_has_no_estimate() -> None:
    found = assess(made(100), np.empty(0))
    assert found.estimate.value is None
    assert found.estimate.unknown == "no rows in the window"


def test_a_baseline_is_small_and_survives_as_bytes() -> None:
    baseline = made(300)
    data = codec.encode(baseline)
    assert len(data) < 700
    kept = codec.decode(data, accuracy.Baseline)
    confidence, _ = traffic(100, np.random.default_rng(9))
    assert assess(kept, confidence) == assess(baseline, confidence)
