from dataclasses import replace

import numpy as np
import pytest

from service import measures
from service.gate.figures import Calibration, Figure, HoldoutFile, Measured, measure, significant
from service.gate.rows import Answers, Run
from tests.fakes.gating import run_of

FILE = HoldoutFile("sha256:holdout", 5000)


def measured_of(run: Run, **how: object) -> Measured:
    return measure(run, FILE, **how)  # type: ignore[arg-type]


def error_of(calibration: Calibration | None) -> float:
    assert calibration is not None
    assert calibration.error.value is not None
    return calibration.error.value


def test_the_figures_are_those_of_the_measures() -> None:
    run = run_of(400, 0.8)
    found = measured_of(run)
    rows, correct = run.own.probabilities, run.correct
    is_right = rows.argmax(axis=1) == correct
    assert found.rows == 400
    assert found.rows_sent == 5000
    assert found.holdout == "sha256:holdout"
    assert found.accuracy.value == pytest.approx(is_right.mean(), abs=1e-6)
    assert found.macro_f1 == pytest.approx(measures.macro_f1(rows.argmax(axis=1), correct))
    assert found.calibration.log_loss == pytest.approx(measures.log_loss(rows, correct), abs=1e-6)
    assert found.latency.p50_s == 0.002
    assert found.latency.jobs == 3


def test_calibrated_answers_need_no_temperature_and_sharp_ones_do() -> None:
    sound, sharp = measured_of(run_of(1500, 0.8)), measured_of(run_of(1500, 0.8, sharpness=3.0))
    assert sound.temperature.fitted == pytest.approx(1.0, abs=0.2)
    assert sharp.temperature.fitted == pytest.approx(3.0, abs=0.5)
    assert error_of(sharp.calibration) > 0.1
    assert error_of(sharp.repaired) < 0.05
    assert sharp.temperature.applied == 1.0
    assert sharp.uncalibrated is None


def test_where_the_temperature_is_fitted_what_is_served_is_what_it_repairs() -> None:
    found = measured_of(run_of(1500, 0.8, sharpness=3.0), fits=True)
    assert found.calibration == found.repaired
    assert error_of(found.uncalibrated) > error_of(found.calibration)
    assert found.temperature.applied == found.temperature.fitted


def test_a_temperature_that_was_given_multiplies_with_the_one_that_would_repair_it() -> None:
    found = measured_of(run_of(1500, 0.8, sharpness=2.0), applied=1.5)
    assert found.temperature.applied == 1.5
    assert found.temperature.fitted == pytest.approx(3.0, abs=0.5)


def test_where_every_row_is_right_the_temperature_is_at_its_bound() -> None:
    run = run_of(200, 0.9)
    rows = np.full((200, 3), 0.05, dtype=np.float32)
    rows[np.arange(200), run.correct] = 0.9
    found = measured_of(replace(run, own=Answers(rows, run.own.embeddings, (0.1,))))
    assert found.temperature.at_bound
    assert found.accuracy.value == 1.0
    assert not measured_of(run).temperature.at_bound


def test_a_few_rows_have_no_cross_fitted_temperature() -> None:
    found = measured_of(run_of(12, 0.8))
    assert found.repaired is None
    assert found.calibration.bins == 1


def test_one_row_has_an_accuracy_and_nothing_that_needs_two() -> None:
    found = measured_of(run_of(1, 0.9))
    assert found.accuracy.value in (0.0, 1.0)
    assert found.calibration.error == Figure(None, None, None)
    assert found.calibration.plug_in is None
    assert found.baseline.difference is None
    assert "fewer than two classes" in (found.baseline.reason or "")


def test_a_better_version_is_better_than_the_live_one() -> None:
    found = measured_of(run_of(1000, 0.9, live=0.7)).live
    assert found.version == 1
    assert found.digest == "sha256:live"
    assert found.reason is None
    assert found.difference is not None
    assert found.difference.lower is not None
    assert found.difference.lower > 0.1


def test_what_cannot_be_compared_says_why() -> None:
    found = measured_of(run_of(100, 0.9)).live
    assert found.difference is None
    assert found.accuracy is None
    assert found.reason == "no version is live"


def test_a_good_backbone_makes_a_poor_adapter_a_negative_transfer() -> None:
    found = measured_of(run_of(1000, 0.6, bare=6.0)).baseline
    assert found.rows == 1000
    assert found.difference is not None
    assert found.difference.upper is not None
    assert found.difference.upper < -0.2


def test_a_temperature_is_kept_to_four_digits_that_count() -> None:
    assert significant(1.23456) == 1.235
    assert significant(0.0123456) == 0.01235
