from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.gate.figures import Calibration, Figure, HoldoutFile, Measured, measure
from service.gate.verdict import Check, Thresholds, judge, outcome_of
from tests.fakes.gating import run_of

FILE = HoldoutFile("sha256:holdout", 100)
SOUND = measure(run_of(300, 0.9, live=0.9, bare=1.0), FILE)


def check_of(checks: Sequence[Check], name: str) -> Check:
    (found,) = [check for check in checks if check.name == name]
    return found


def with_live(lower: float, value: float, upper: float) -> Measured:
    return replace(SOUND, live=replace(SOUND.live, difference=Figure(value, lower, upper)))


def with_baseline(lower: float, value: float, upper: float) -> Measured:
    difference = Figure(value, lower, upper)
    return replace(SOUND, baseline=replace(SOUND.baseline, difference=difference))


def with_error(lower: float, value: float, upper: float) -> Measured:
    calibration: Calibration = replace(SOUND.calibration, error=Figure(value, lower, upper))
    return replace(SOUND, calibration=calibration)


def test_a_sound_version_passes_every_check() -> None:
    checks = judge(SOUND, Thresholds(calibration_error_max=0.1))
    assert [check.name for check in checks] == [
        "accuracy_drop_from_live",
        "accuracy_drop_from_baseline",
        "calibration_error",
    ]
    assert all(check.passed for check in checks)
    assert outcome_of(checks) == "validated"


@pytest.mark.parametrize(
    ("difference", "passed"),
    [
        ((-0.10, -0.05, -0.021), False),  # surely more than 2 points worse
        ((-0.10, -0.05, -0.02), True),  # perhaps 2 points worse, which is allowed
        ((-0.10, -0.05, 0.01), True),  # perhaps no worse at all
        ((0.01, 0.05, 0.10), True),
    ],
)
def test_a_version_that_is_surely_worse_than_the_live_one_is_rejected(
    difference: tuple[float, float, float], passed: bool
) -> None:
    checks = judge(with_live(*difference), Thresholds(accuracy_drop_max=0.02))
    check = check_of(checks, "accuracy_drop_from_live")
    assert check.passed is passed
    lower, value, upper = difference
    assert (check.value, check.lower, check.upper) == (-value, -upper, -lower)
    assert check.threshold == 0.02
    assert outcome_of(checks) == ("validated" if passed else "rejected")
    surely = ": surely more than 2 points below it" in check.sentence
    assert surely is not passed
    assert "the live version 1" in check.sentence


@pytest.mark.parametrize(
    ("drop_max", "difference", "passed", "sentence"),
    [
        (0.0, (-0.2, -0.1, -0.01), False, ": surely below it"),
        (0.0, (-0.2, -0.1, 0.0), True, ": not surely below it"),
        (0.05, (-0.2, -0.1, -0.04), True, ": not surely more than 5 points below it"),
        (-0.05, (0.0, 0.02, 0.04), False, ": surely less than 5 points above it"),
        (-0.05, (0.0, 0.02, 0.06), True, ": not surely less than 5 points above it"),
    ],
)
def test_negative_transfer_is_rejected_beyond_what_is_allowed(
    drop_max: float, difference: tuple[float, float, float], passed: bool, sentence: str
) -> None:
    checks = judge(with_baseline(*difference), Thresholds(baseline_drop_max=drop_max))
    check = check_of(checks, "accuracy_drop_from_baseline")
    assert check.passed is passed
    assert sentence in check.sentence
    assert outcome_of(checks) == ("validated" if passed else "rejected")


@pytest.mark.parametrize(
    ("error_max", "lower", "passed"),
    [(0.05, 0.06, False), (0.05, 0.05, True), (0.05, 0.0, True), (None, 0.5, None)],
)
def test_a_calibration_error_that_is_surely_too_large_is_rejected(
    error_max: float | None, lower: float, passed: bool | None
) -> None:
    checks = judge(with_error(lower, 0.6, 0.7), Thresholds(calibration_error_max=error_max))
    check = check_of(checks, "calibration_error")
    assert check.passed is passed
    assert check.threshold == error_max
    assert outcome_of(checks) == ("rejected" if passed is False else "validated")


def test_what_could_not_be_measured_rejects_nothing_and_says_so() -> None:
    checks = judge(measure(run_of(1, 0.9), FILE), Thresholds(calibration_error_max=0.0))
    assert [check.passed for check in checks] == [None, None, None]
    assert [check.value for check in checks] == [None, None, None]
    assert outcome_of(checks) == "validated"
    assert "not compared with the live version: no version is live" in checks[0].sentence
    assert "fewer than two classes" in checks[1].sentence
    assert "too few rows" in checks[2].sentence


@given(
    st.integers(30, 300), st.floats(0.4, 0.99), st.floats(0.4, 0.99), st.floats(0.0, 3.0),
    st.integers(0, 1000),
)  # fmt: skip
def test_no_verdict_depends_on_more_than_its_near_end(
    rows: int, share: float, live: float, bare: float, seed: int
) -> None:
    measured = measure(run_of(rows, share, live=live, bare=bare, seed=seed), FILE)
    thresholds = Thresholds(calibration_error_max=0.1)
    checks = judge(measured, thresholds)
    for check in checks:
        assert check.lower is not None
        assert check.upper is not None
        assert check.value is not None
        assert check.threshold is not None
        assert check.lower <= check.value <= check.upper
        assert check.passed is (check.lower <= check.threshold)
    assert (outcome_of(checks) == "rejected") is any(check.passed is False for check in checks)


def test_two_equal_versions_are_seldom_told_apart() -> None:
    rejected = sum(
        outcome_of(judge(measure(run_of(200, 0.85, live=0.85, seed=seed), FILE), Thresholds()))
        == "rejected"
        for seed in range(200)
    )
    assert rejected <= 6  # 2.5 % on one side, and 2 points of room besides


def test_a_version_that_lost_ten_points_is_found_on_500_rows() -> None:
    found = [
        outcome_of(judge(measure(run_of(500, 0.80, live=0.90, seed=seed), FILE), Thresholds()))
        for seed in range(50)
    ]
    assert found.count("rejected") >= 45
