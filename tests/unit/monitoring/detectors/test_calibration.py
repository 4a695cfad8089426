from dataclasses import replace

import numpy as np
import pytest

from monitoring import codec
from monitoring.detectors import calibration
from monitoring.detectors.calibration import Traffic
from monitoring.labelled import Labelled
from monitoring.report import Calibration, Figure
from service import measures
from tests.unit.monitoring.detectors.made_labels import drawn_labels, labelled_of
from tests.unit.monitoring.detectors.made_windows import draw, reference_of


def assess(labelled: Labelled, labels_min: int = 50) -> Calibration:
    return calibration.assess(None, labelled, labels_min=labels_min)


def test_figures_are_those_of_the_shared_measures() -> None:
    labelled = drawn_labels(300, 1, too_sure=0.15)
    found = assess(labelled)
    sure, right = labelled.confidence, labelled.right
    error = measures.calibration_error(sure, right)
    brier = measures.brier_parts(sure, right)
    assert found.error.value == pytest.approx(error.debiased.value)
    assert found.error.lower == pytest.approx(error.debiased.lower)
    assert found.error_square == pytest.approx(error.squared.value)
    assert found.brier.upper == pytest.approx(brier.score.upper)
    assert found.brier_reliability == pytest.approx(brier.reliability)
    assert found.brier_resolution == pytest.approx(brier.resolution)
    assert found.brier_uncertainty == pytest.approx(brier.uncertainty)
    assert found.gap.value == pytest.approx(measures.confidence_gap(sure, right).value)
    assert found.accuracy.value == pytest.approx(right.mean())
    assert found.accuracy.count == found.labels == 300
    assert found.error.lower is not None
    assert found.error.lower > 0


def test_figures_of_ten_labels_are_those_computed_by_hand() -> None:
    sure = np.array([0.8] * 10)
    found = assess(labelled_of(sure, np.arange(10) < 6), labels_min=10)
    assert found.error_square == pytest.approx(0.04 - 0.24 / 9, abs=1e-6)
    assert found.error.value == pytest.approx((0.04 - 0.24 / 9) ** 0.5, abs=1e-6)
    assert found.brier.value == pytest.approx((6 * 0.04 + 4 * 0.64) / 10, abs=1e-6)
    assert found.brier_reliability == pytest.approx(0.04, abs=1e-6)
    assert found.brier_resolution == pytest.approx(0.0, abs=1e-6)
    assert found.brier_uncertainty == pytest.approx(0.24)
    assert found.gap.value == pytest.approx(0.2, abs=1e-6)
    # log(0.6 / 0.4) = log(0.8 / 0.2) / T
    assert found.temperature == pytest.approx(np.log(4) / np.log(1.5), abs=1e-5)
    assert len(found.bins) == 1
    assert found.bins[0].confidence == pytest.approx(0.8, abs=1e-6)
    assert found.bins[0].accuracy.value == pytest.approx(0.6)


def test_the_temperature_is_exact_for_two_classes() -> None:
    random = np.random.default_rng(2)
    logits = 3 * random.standard_normal((400, 2))
    probabilities = measures.apply_temperature(np.exp(logits), 1.0)
    truth = (random.random(400) < measures.apply_temperature(probabilities, 2.0)[:, 1]).astype(int)
    found = assess(labelled_of(probabilities.max(axis=1), probabilities.argmax(axis=1) == truth))
    expected = measures.fit_temperature(probabilities, truth)
    assert found.temperature == pytest.approx(expected, rel=1e-3)


def test_no_temperature_repairs_answers_that_are_all_right() -> None:
    found = assess(labelled_of(np.linspace(0.6, 0.99, 60), np.ones(60, dtype=np.bool_)))
    assert found.temperature is None
    assert found.accuracy.value == 1.0
    assert found.accuracy.lower is not None
    assert found.accuracy.lower < 0.95


@pytest.mark.parametrize("count", [0, 1, 12, 49])
def test_below_the_minimum_nothing_is_known_but_counts_and_delays(count: int) -> None:
    found = calibration.assess(
        None, drawn_labels(count, 3), labels_min=50, traffic=Traffic(0, 100_000_000, 200)
    )
    few = Figure(count=count, unknown=f"too few labels: {count} of 50")
    assert found.error == found.brier == found.gap == found.accuracy == few
    assert found.error_square is None
    assert found.temperature is None
    assert found.brier_reliability is None
    assert found.bins == ()
    assert found.labels == count
    assert found.coverage == count / 200
    assert found.delay_s_median == (60.0 if count else None)


def test_coverage_is_of_predictions_of_the_same_time() -> None:
    labelled = drawn_labels(100, 4)  # predicted at 0 s, 1 s, ... 99 s
    found = calibration.assess(
        None, labelled, labels_min=50, traffic=Traffic(10_000_000, 20_000_000, 40)
    )
    assert found.coverage == 10 / 40
    none = calibration.assess(None, labelled, labels_min=50, traffic=Traffic(0, 1, 0))
    assert none.coverage is None
    lost = calibration.assess(None, labelled, labels_min=50, traffic=Traffic(0, 10**9, 90))
    assert lost.coverage == 1.0
    assert assess(labelled).coverage is None


def test_delays_are_quantiles_and_never_below_0() -> None:
    delays = np.arange(100) * 1_000_000 - 5_000_000  # the clocks of two servers differ
    labelled = drawn_labels(100, 5)
    found = assess(replace(labelled, came_us=labelled.predicted_us + delays))
    assert found.delay_s_median == pytest.approx(44.5)
    assert found.delay_s_p90 == pytest.approx(84.1)
    early = assess(replace(labelled, came_us=labelled.predicted_us - 1))
    assert early.delay_s_median == 0.0


def test_bins_of_the_diagram_have_intervals_and_hold_every_label() -> None:
    found = assess(drawn_labels(400, 6))
    assert len(found.bins) == 15
    assert sum(each.accuracy.count for each in found.bins) == 400
    for each in found.bins:
        assert each.accuracy.value is not None
        assert each.accuracy.lower is not None
        assert each.accuracy.upper is not None
        assert 0 <= each.accuracy.lower <= each.accuracy.value <= each.accuracy.upper <= 1


def test_complaints_do_not_move_figures_where_an_audit_share_is_on() -> None:
    random = np.random.default_rng(7)
    sure = random.uniform(0.6, 1.0, 6000)
    right = random.random(6000) < sure
    audit = random.random(6000) < 0.1
    came = audit | (~right & (random.random(6000) < 0.5))
    probability = np.full(6000, 0.1)
    found = assess(
        labelled_of(sure[came], right[came], audit=audit[came], audit_probability=probability[came])
    )
    assert right[came].mean() < 0.5
    assert found.accuracy.value == pytest.approx(right[audit].mean())
    assert found.gap.value == pytest.approx((sure[audit] - right[audit]).mean(), abs=1e-6)
    assert found.weighted
    assert found.labels == int(came.sum())
    assert found.audited == found.accuracy.count == int(audit.sum())


def test_times_of_another_audit_share_weigh_by_their_traffic() -> None:
    # 4,000 predictions at 0.05, all but a tenth right; 1,000 at 0.2, half of them right.
    right = np.concatenate([np.arange(200) % 10 != 0, np.arange(200) % 2 == 0])
    probability = np.repeat([0.05, 0.2], 200)
    found = assess(
        labelled_of(
            np.full(400, 0.9),
            right,
            audit=np.ones(400, dtype=np.bool_),
            audit_probability=probability,
        )
    )
    assert found.accuracy.value == pytest.approx((4000 * 0.9 + 1000 * 0.5) / 5000)
    plain = measures.wilson(int(right.sum()), 400)
    assert found.accuracy.lower is not None
    assert found.accuracy.upper is not None
    assert found.accuracy.upper - found.accuracy.lower > 0.8 * (plain.upper - plain.lower)


def test_the_reference_s_own_figures_stand_beside() -> None:
    rows = reference_of(draw(400, 8))
    made = calibration.baseline(rows)
    assert made is not None
    found = calibration.assess(made, drawn_labels(60, 9), labels_min=50)
    assert found.reference_accuracy == pytest.approx((rows.class_index == rows.label_index).mean())
    assert found.reference_error is not None
    assert found.reference_error >= 0
    assert codec.decode(codec.encode(made), calibration.Baseline) == made


def test_a_reference_without_labels_has_no_figures() -> None:
    rows = reference_of(draw(60, 10))
    assert calibration.baseline(replace(rows, label_index=np.full(60, -1))) is None
    one = replace(rows, label_index=np.where(np.arange(60) == 0, rows.class_index, -1))
    made = calibration.baseline(one)
    assert made is not None
    found = calibration.assess(made, drawn_labels(60, 11), labels_min=50)
    assert found.reference_error is None
    assert found.reference_accuracy == 1.0


def test_the_order_of_labels_does_not_matter() -> None:
    labelled = drawn_labels(120, 12, too_sure=0.05)
    order = np.random.default_rng(0).permutation(120)
    turned = Labelled(*(getattr(labelled, name)[order] for name in Labelled.__dataclass_fields__))
    first, second = assess(labelled), assess(turned)
    assert first.error_square == pytest.approx(second.error_square)
    assert first.temperature == pytest.approx(second.temperature)
    assert first.brier.upper == pytest.approx(second.brier.upper)
