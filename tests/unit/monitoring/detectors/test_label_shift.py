from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest

from monitoring import codec
from monitoring.detectors import label_shift
from monitoring.detectors.counts_test import counts_test
from monitoring.report import ClassMix
from monitoring.sketches.sketch import Sketch
from tests.unit.monitoring.detectors.made_windows import Drawn, draw, part_of, reference_of

REFERENCE = draw(600, 0)


def made(drawn: Drawn = REFERENCE) -> label_shift.Baseline:
    found = label_shift.baseline(reference_of(drawn), seed=3)
    assert found is not None
    return found


def window_of(predicted: npt.NDArray[np.int64], classes: int = 4) -> Sketch:
    """Return a sketch of predicted classes, with nothing else in it."""
    sketch = Sketch.empty(classes)
    np.add.at(sketch.class_counts, predicted, 1)
    sketch.predictions = len(predicted)
    return sketch


def assess(baseline: label_shift.Baseline | None, drawn: Drawn) -> ClassMix:
    return label_shift.assess(
        baseline,
        window_of(drawn.predicted),
        drawn.probabilities,
        np.ones(len(drawn)),
        seed=3,
    )


def test_a_healthy_window_shows_no_sign() -> None:
    found = assess(made(), draw(500, 1))
    assert found.refused is None
    assert found.pvalue is not None
    assert found.pvalue > 0.01
    assert label_shift.reading_of(found) == "no sign of another class mix"
    for each in found.classes:
        assert each.prior.lower is not None
        assert each.prior.upper is not None
        assert each.prior.lower < 0.25 < each.prior.upper
        assert each.prior.count == 500


def test_another_mix_shows_in_both() -> None:
    mix = (0.55, 0.25, 0.15, 0.05)
    drawn = draw(500, 2, mix=mix)
    found = assess(made(), drawn)
    expected = counts_test(
        np.bincount(REFERENCE.predicted, minlength=4), np.bincount(drawn.predicted, minlength=4)
    )
    assert found.statistic == expected.statistic
    assert found.pvalue == expected.pvalue < 1e-6
    assert "another class mix, or inputs that look like other classes" in (
        label_shift.reading_of(found)
    )
    for each, share in zip(found.classes, mix, strict=True):
        assert each.prior.lower is not None
        assert each.prior.upper is not None
        assert each.prior.lower - 0.02 <= share <= each.prior.upper + 0.02
    assert [each.label for each in found.classes] == [f"class {i}" for i in range(4)]
    assert sum(each.reference or 0 for each in found.classes) == pytest.approx(1.0)
    assert sum(each.now or 0 for each in found.classes) == pytest.approx(1.0)


def test_a_class_that_the_reference_never_saw_is_marked() -> None:
    without = part_of(REFERENCE, REFERENCE.truth != 2)
    found = assess(made(without), draw(300, 3))
    assert found.refused is None
    assert found.classes[2].prior.value is None
    assert found.classes[2].prior.unknown == "no row of the reference has this label"
    assert found.classes[2].now is not None
    assert sum(each.prior.value or 0 for each in found.classes) == pytest.approx(1.0)


def test_classes_that_cannot_be_told_apart_have_no_priors() -> None:
    alike = replace(
        REFERENCE,
        probabilities=np.random.default_rng(0)
        .dirichlet(np.ones(4), len(REFERENCE))
        .astype(np.float16),
    )
    baseline = made(alike)
    assert baseline.fitted is None
    assert baseline.condition is not None
    assert baseline.condition > label_shift.CONDITION_MAX
    found = assess(baseline, alike)
    assert found.refused is not None
    assert found.refused.startswith("condition number of the confusion matrix")
    assert found.condition == baseline.condition
    assert all(each.prior.unknown == found.refused for each in found.classes)
    assert found.statistic is not None  # the plain signal needs none of it


def test_the_condition_number_is_that_of_the_confusion_matrix() -> None:
    clear = made()
    assert clear.condition is not None
    assert 1 <= clear.condition < 2
    assert clear.refused is None


@pytest.mark.parametrize(
    ("keep", "reason"),
    [
        (0, "the reference has too few labels: 0 of 50"),
        (49, "the reference has too few labels: 49 of 50"),
    ],
)
def test_a_reference_of_few_labels_still_gives_the_plain_signal(keep: int, reason: str) -> None:
    rows = reference_of(REFERENCE)
    few = replace(rows, label_index=np.where(np.arange(600) < keep, rows.label_index, -1))
    baseline = label_shift.baseline(few, seed=3)
    found = assess(baseline, draw(300, 4, mix=(0.7, 0.1, 0.1, 0.1)))
    assert found.refused == reason
    assert found.pvalue is not None
    assert found.pvalue < 1e-6
    assert found.classes[0].reference is not None


def test_a_reference_of_one_class_has_no_priors() -> None:
    only = part_of(REFERENCE, REFERENCE.truth == 1)
    assert made(only).refused == "the reference has rows of a single class"


def test_a_small_sample_has_no_priors() -> None:
    found = assess(made(), draw(49, 5))
    assert found.refused == "too few sampled rows: 49 of 50"
    drawn = draw(100, 6)
    uneven = np.where(np.arange(100) == 0, 100.0, 1.0)
    weighed = label_shift.assess(
        made(), window_of(drawn.predicted), drawn.probabilities, uneven, seed=3
    )
    assert weighed.refused == "too few sampled rows: 4 of 50"


def test_an_empty_window_and_an_absent_reference_say_so() -> None:
    found = assess(made(), draw(0, 7))
    assert found.statistic is None
    assert found.pvalue is None
    assert label_shift.reading_of(found) == "too few predictions to compare classes"
    assert all(each.now is None for each in found.classes)
    nothing = assess(None, draw(100, 8))
    assert nothing.refused == "no reference"
    assert nothing.classes == ()
    assert label_shift.baseline(reference_of(draw(0, 9)), seed=3) is None


def test_a_window_of_other_classes_is_refused() -> None:
    with pytest.raises(ValueError, match="5 classes, 4 in the reference"):
        label_shift.assess(
            made(),
            window_of(np.zeros(3, dtype=np.int64), classes=5),
            np.ones((3, 5), dtype=np.float16),
            np.ones(3),
            seed=3,
        )


def test_the_same_seed_gives_the_same_figures_also_from_a_baseline_kept_as_bytes() -> None:
    baseline = made()
    kept = codec.decode(codec.encode(baseline), label_shift.Baseline)
    drawn = draw(200, 10)
    assert assess(kept, drawn) == assess(baseline, drawn) == assess(made(), drawn)
