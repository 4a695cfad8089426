import numpy as np
import numpy.typing as npt
import pytest
from sklearn.linear_model import LogisticRegression

from monitoring import codec
from monitoring.detectors.confidence_curve import CONFIDENCE_MAX, ConfidenceCurve, fit

Floats = npt.NDArray[np.float64]


def rows(
    count: int, seed: int, *, intercept: float = 0.0, slope: float = 1.0
) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """Return confidences and whether answers are right, by a line in log-odds."""
    random = np.random.default_rng(seed)
    confidence = random.uniform(0.5, 0.99, count)
    odds = np.log(confidence / (1 - confidence))
    share = 1 / (1 + np.exp(-intercept - slope * odds))
    return confidence, random.random(count) < share


def test_confidence_that_means_what_it_says_is_left_alone() -> None:
    confidence, right = rows(2000, 0)
    found = fit(confidence, right)
    assert found.weights[0] > 0.5
    levels = np.linspace(0.5, 0.99, 20)
    np.testing.assert_allclose(found.at(levels), levels, atol=0.02)


@pytest.mark.parametrize(("intercept", "slope"), [(0.0, 0.5), (0.8, 1.0), (-0.5, 1.5)])
def test_a_line_is_found_again(intercept: float, slope: float) -> None:
    confidence, right = rows(20_000, 1, intercept=intercept, slope=slope)
    found = fit(confidence, right)
    assert found.weights[0] < 1e-6
    levels = np.linspace(0.5, 0.99, 20)
    odds = np.log(levels / (1 - levels))
    expected = 1 / (1 + np.exp(-intercept - slope * odds))
    np.testing.assert_allclose(found.at(levels), expected, atol=0.02)


def test_the_free_curve_is_logistic_regression() -> None:
    confidence, right = rows(3000, 2, intercept=0.4, slope=0.7)
    odds = np.log(confidence / (1 - confidence))
    expected = LogisticRegression(C=1e9).fit(odds[:, None], right)
    line = fit(confidence, right).lines[-1]
    assert line[0] == pytest.approx(float(expected.intercept_[0]), abs=0.01)
    assert line[1] == pytest.approx(float(expected.coef_[0, 0]), abs=0.01)


@pytest.mark.parametrize("count", [20, 200, 1000])
@pytest.mark.parametrize("right", [True, False])
def test_answers_that_are_all_the_same_leave_doubt(count: int, right: bool) -> None:
    confidence, _ = rows(count, 3)
    found = fit(confidence, np.full(count, right))
    mean, variance = found.mean(confidence, np.ones(count, dtype=np.int64))
    assert (mean if right else 1 - mean) == pytest.approx(1.0, abs=2 / count)
    assert 0.0 < variance < 4 / count**1.5


def test_confidences_that_are_all_the_same_give_one_share() -> None:
    right = np.arange(100) < 70
    for level in (0.5, 0.9, 1.0):
        found = fit(np.full(100, level), right)
        mean, variance = found.mean(np.array([level]), np.array([500]))
        assert mean == pytest.approx(0.7, abs=0.03)
        assert np.isfinite(variance)
    certain = fit(np.full(100, 1.0), right)
    assert certain.at(np.array([1.0]))[0] == certain.at(np.array([CONFIDENCE_MAX]))[0]


def test_the_mean_is_that_of_the_curve_over_the_counts() -> None:
    confidence, right = rows(500, 4, slope=0.6)
    found = fit(confidence, right)
    levels, counts = np.array([0.6, 0.8, 0.95]), np.array([5, 10, 85])
    mean, _ = found.mean(levels, counts)
    assert mean == pytest.approx(float(np.average(found.at(levels), weights=counts)))


@pytest.mark.parametrize("slope", [0.5, 0.8, 1.0])
def test_the_variance_is_at_least_the_error_and_at_most_that_of_rows_counted(slope: float) -> None:
    levels, counts = np.linspace(0.55, 0.95, 9), np.ones(9, dtype=np.int64)
    truth = float((1 / (1 + ((1 - levels) / levels) ** slope)).mean())
    made = [fit(*rows(300, seed, slope=slope)).mean(levels, counts) for seed in range(200)]
    means, variances = np.array(made).T
    assert float(np.mean(variances)) > float(np.square(means - truth).mean())
    assert float(np.mean(variances)) < 1.2 * truth * (1 - truth) / 300


def test_a_curve_survives_as_bytes() -> None:
    found = fit(*rows(100, 5))
    kept = codec.decode(codec.encode(found), ConfidenceCurve)
    levels = np.linspace(0.3, 1.0, 30)
    np.testing.assert_array_equal(kept.at(levels), found.at(levels))
    assert len(codec.encode(found)) < 600
