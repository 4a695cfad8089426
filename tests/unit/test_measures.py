import doctest
import math
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.calibration import calibration_curve
from sklearn.metrics import accuracy_score, brier_score_loss, f1_score, log_loss

from service import measures
from service.measures import Estimate

Floats = NDArray[np.float64]


def softmax(logits: Floats) -> Floats:
    raised = np.exp(logits - logits.max(axis=1, keepdims=True))
    result: Floats = raised / raised.sum(axis=1, keepdims=True)
    return result


def answers(rows: int, classes: int, seed: int) -> tuple[Floats, NDArray[np.int64]]:
    """Return calibrated probabilities and classes that were drawn from them."""
    random = np.random.default_rng(seed)
    probabilities = softmax(2.0 * random.standard_normal((rows, classes)))
    drawn = (probabilities.cumsum(axis=1) < random.random((rows, 1))).sum(axis=1)
    return probabilities, np.minimum(drawn, classes - 1).astype(np.int64)


def test_the_numbers_in_the_docstrings_are_true() -> None:
    found = doctest.testmod(measures)
    assert found.failed == 0
    assert found.attempted >= 12


@pytest.mark.parametrize("classes", [2, 3, 11])
def test_figures_are_those_of_scikit_learn(classes: int) -> None:
    probabilities, correct = answers(300, classes, seed=classes)
    predicted = probabilities.argmax(axis=1)
    confidence, is_right = probabilities.max(axis=1), predicted == correct
    assert measures.accuracy(predicted, correct) == pytest.approx(
        accuracy_score(correct, predicted)
    )
    assert measures.macro_f1(predicted, correct) == pytest.approx(
        f1_score(correct, predicted, average="macro")
    )
    assert measures.log_loss(probabilities, correct) == pytest.approx(
        log_loss(correct, probabilities, labels=range(classes))
    )
    assert measures.top_label_brier(confidence, is_right) == pytest.approx(
        brier_score_loss(is_right, confidence)
    )


def test_the_plug_in_error_is_that_of_scikit_learn_s_quantile_bins() -> None:
    probabilities, correct = answers(1500, 4, seed=1)
    confidence, is_right = probabilities.max(axis=1), probabilities.argmax(axis=1) == correct
    shares, means = calibration_curve(is_right, confidence, n_bins=15, strategy="quantile")
    found = measures.calibration_error(confidence, is_right)
    assert found.bins == 15
    assert found.plug_in == pytest.approx(np.abs(shares - means).mean(), abs=2e-3)


def test_a_class_that_never_occurs_does_not_count_for_f1() -> None:
    predicted, correct = np.array([0, 5, 5]), np.array([0, 5, 0])
    expected = f1_score(correct, predicted, average="macro")
    assert measures.macro_f1(predicted, correct) == pytest.approx(expected)


def test_nothing_is_known_of_no_rows() -> None:
    none = np.array([], dtype=np.int64)
    nothing, no_truths = np.empty((0, 3)), np.array([], dtype=bool)
    assert math.isnan(measures.accuracy(none, none))
    assert math.isnan(measures.macro_f1(none, none))
    assert math.isnan(measures.log_loss(nothing, none))
    assert math.isnan(measures.top_label_brier(nothing[:, 0], no_truths))
    assert math.isnan(measures.fit_temperature(nothing, none))
    assert math.isnan(measures.brier_parts(nothing[:, 0], no_truths).reliability)
    assert measures.equal_mass_bins(nothing[:, 0], no_truths) is None
    assert measures.effective_count(nothing[:, 0]) == 0.0
    for estimate in (
        measures.wilson(0, 0),
        measures.confidence_gap(nothing[:, 0], no_truths),
        measures.paired_difference(no_truths, no_truths),
        measures.calibration_error(nothing[:, 0], no_truths).squared,
        measures.brier_parts(nothing[:, 0], no_truths).score,
        measures.share_right(no_truths),
    ):
        assert not estimate.is_defined
        assert math.isnan(estimate.lower)
        assert math.isnan(estimate.upper)


def test_one_row_has_no_calibration_error() -> None:
    found = measures.calibration_error(np.array([0.9]), np.array([True]))
    assert not found.squared.is_defined
    assert not found.debiased.is_defined
    assert math.isnan(found.plug_in)


@pytest.mark.parametrize(
    ("right", "count", "lower", "upper"),
    # R: binom::binom.wilson
    [(0, 10, 0.0, 0.2775328), (10, 10, 0.7224672, 1.0), (81, 263, 0.2552, 0.3662)],
)
def test_wilson_s_interval_is_that_of_the_tables(
    right: int, count: int, lower: float, upper: float
) -> None:
    found = measures.wilson(right, count)
    assert found.lower == pytest.approx(lower, abs=1e-4)
    assert found.upper == pytest.approx(upper, abs=1e-4)


def test_wilson_s_interval_covers() -> None:
    random = np.random.default_rng(0)
    for share in (0.5, 0.9, 0.98):
        drawn = random.binomial(100, share, 1000)
        found = [measures.wilson(int(right), 100) for right in drawn]
        assert np.mean([one.lower <= share <= one.upper for one in found]) >= 0.93


def test_the_paired_interval_covers_and_is_narrower_than_that_of_two_samples() -> None:
    random = np.random.default_rng(1)
    covered, widths, apart = [], [], []
    for _ in range(600):
        both = random.random(200) < 0.8
        first = both ^ (random.random(200) < 0.05)
        second = both ^ (random.random(200) < 0.10)
        # P(first) - P(second) = 0.6 (0.10 - 0.05)
        found = measures.paired_difference(first, second)
        covered.append(found.lower <= 0.03 <= found.upper)
        widths.append(found.upper - found.lower)
        shares = [side.mean() * (1 - side.mean()) / 200 for side in (first, second)]
        apart.append(2 * measures.Z95 * math.sqrt(sum(shares)))
    assert np.mean(covered) >= 0.93
    assert np.mean(widths) < np.mean(apart)


def test_two_that_never_differ_are_not_known_to_be_the_same() -> None:
    same = np.ones(50, dtype=bool)
    found = measures.paired_difference(same, same)
    assert found.value == 0.0
    assert found.lower == pytest.approx(-found.upper)
    assert 0.0 < found.upper < 0.06


def test_a_confidence_that_is_too_high_shows_as_a_gap() -> None:
    is_right = np.arange(200) % 4 != 0
    found = measures.confidence_gap(np.full(200, 0.95), is_right)
    assert found.value == pytest.approx(0.2)
    assert found.lower > 0.1


@pytest.mark.parametrize("rows", [100, 200, 500])
def test_the_debiased_error_has_a_fifth_of_the_plug_in_s_bias_and_its_interval_covers(
    rows: int,
) -> None:
    random = np.random.default_rng(rows)
    squares, plain, covered = [], [], []
    for _ in range(500):
        confidence = random.beta(6, 2, rows)
        found = measures.calibration_error(confidence, random.random(rows) < confidence)
        # Perfectly calibrated: the true error is 0.
        squares.append(found.squared.value)
        plain.append(_plain_square(confidence, found, random))
        covered.append(found.squared.lower <= 0.0 <= found.squared.upper)
    assert abs(np.mean(squares)) < np.mean(plain) / 5
    assert np.mean(covered) >= 0.93


def _plain_square(
    confidence: Floats, found: measures.CalibrationError, random: np.random.Generator
) -> float:
    """Return the plug-in square of a draw of the same kind."""
    is_right = random.random(len(confidence)) < confidence
    order = np.argsort(confidence)
    parts = np.array_split(order, found.bins)
    gaps = [float((confidence[part] - is_right[part]).mean()) for part in parts]
    return float(np.mean(np.square(gaps)))


@pytest.mark.parametrize(("shape", "rows"), [((6, 2), 200), ((20, 1), 500), ((2, 2), 300)])
def test_the_interval_covers_an_error_that_is_there(shape: tuple[int, int], rows: int) -> None:
    random = np.random.default_rng(7)

    def halved(confidence: Floats) -> Floats:
        odds = np.sqrt(confidence / (1 - confidence))  # answers were twice as sure as they may be
        result: Floats = odds / (1 + odds)
        return result

    def draw() -> Floats:
        return np.clip(random.beta(*shape, rows), 0.01, 0.99)

    bins = measures.BINS
    truths = []
    for _ in range(200):
        confidence = np.sort(draw())
        gaps = confidence - halved(confidence)
        parts = np.array_split(gaps, bins)
        truths.append(float(np.mean([part.mean() ** 2 for part in parts])))
    truth = float(np.mean(truths))
    covered, values = [], []
    for _ in range(400):
        confidence = draw()
        is_right = random.random(rows) < halved(confidence)
        found = measures.calibration_error(confidence, is_right, bins)
        values.append(found.squared.value)
        covered.append(found.squared.lower <= truth <= found.squared.upper)
    assert np.mean(values) == pytest.approx(truth, rel=0.1)
    assert np.mean(covered) >= 0.93


def test_a_bin_in_which_all_are_right_does_not_claim_to_know_its_error() -> None:
    confidence = np.full(100, 0.97)
    found = measures.calibration_error(confidence, np.ones(100, dtype=bool))
    assert found.squared.upper - found.squared.lower > 0.0005


def test_rows_of_one_confidence_share_a_bin_whatever_their_order() -> None:
    is_right = np.arange(100) < 60
    found = measures.calibration_error(np.full(100, 0.6), is_right)
    assert found.bins == 1
    assert found.plug_in == pytest.approx(0.0)
    steps = np.repeat([0.5, 0.7, 0.9], [35, 40, 25])
    shuffled = np.random.default_rng(0).permutation(100)
    ordered = measures.calibration_error(steps, is_right)
    assert ordered.bins == 3
    other = measures.calibration_error(steps[shuffled], is_right[shuffled])
    assert other.squared.value == pytest.approx(ordered.squared.value)


def test_no_bin_has_a_single_row() -> None:
    random = np.random.default_rng(1)
    for rows in range(2, 120):
        confidence = np.round(random.random(rows), 1)
        found = measures.calibration_error(confidence, random.random(rows) < 0.5)
        assert found.squared.is_defined
        assert math.isfinite(found.squared.upper)


def test_there_are_fewer_bins_for_fewer_rows() -> None:
    def bins(rows: int) -> int:
        confidence = np.linspace(0.5, 1.0, rows)
        return measures.calibration_error(confidence, np.ones(rows, dtype=bool)).bins

    assert [bins(rows) for rows in (5, 19, 20, 100, 149, 150, 5000)] == [1, 1, 2, 10, 14, 15, 15]


def test_a_temperature_is_found_again() -> None:
    probabilities, correct = answers(20_000, 5, seed=3)
    for temperature in (0.5, 1.0, 3.0):
        sharper = measures.apply_temperature(probabilities, temperature)
        found = measures.fit_temperature(sharper, correct)
        assert found == pytest.approx(1 / temperature, rel=0.05)


def test_a_fitted_temperature_is_the_best_one() -> None:
    probabilities, correct = answers(200, 3, seed=4)
    fitted = measures.fit_temperature(probabilities, correct)
    best = measures.log_loss(measures.apply_temperature(probabilities, fitted), correct)
    for other in (0.8 * fitted, 0.99 * fitted, 1.01 * fitted, 1.2 * fitted):
        loss = measures.log_loss(measures.apply_temperature(probabilities, other), correct)
        assert loss > best


def test_where_all_or_none_is_right_the_temperature_is_at_its_bound() -> None:
    probabilities = np.array([[0.9, 0.1], [0.2, 0.8]])
    coldest = measures.fit_temperature(probabilities, np.array([0, 1]))
    hottest = measures.fit_temperature(probabilities, np.array([1, 0]))
    assert (coldest, hottest) == (measures.TEMPERATURE_MIN, measures.TEMPERATURE_MAX)


def test_a_temperature_on_probabilities_is_one_on_logits() -> None:
    logits = 5 * np.random.default_rng(5).standard_normal((50, 7))
    for temperature in (0.3, 1.0, 2.5):
        expected = softmax(logits / temperature)
        found = measures.apply_temperature(softmax(logits), temperature)
        np.testing.assert_allclose(found, expected, rtol=1e-9)


def test_probabilities_that_were_rounded_to_0_stay_small_and_finite() -> None:
    rounded = np.array([[1.0, 0.0, 0.0]], dtype=np.float32)
    found = measures.apply_temperature(rounded, 100.0)
    assert np.isfinite(found).all()
    assert found[0, 0] > found[0, 1] == found[0, 2]
    assert math.isfinite(measures.fit_temperature(rounded, np.array([1])))
    assert math.isfinite(measures.log_loss(rounded, np.array([1])))


def test_cross_fitting_does_not_see_the_row_that_it_is_applied_to() -> None:
    probabilities, correct = answers(60, 3, seed=6)
    before = measures.cross_fitted(probabilities, correct)
    for row in range(10):
        changed = correct.copy()
        changed[row] = (changed[row] + 1) % 3
        np.testing.assert_array_equal(
            measures.cross_fitted(probabilities, changed)[row], before[row]
        )


def test_cross_fitting_is_the_same_each_time_and_needs_a_row_for_each_fold() -> None:
    probabilities, correct = answers(40, 3, seed=8)
    first = measures.cross_fitted(probabilities, correct)
    np.testing.assert_array_equal(first, measures.cross_fitted(probabilities, correct))
    with pytest.raises(ValueError, match="4 rows cannot be dealt to 5 folds"):
        measures.cross_fitted(probabilities[:4], correct[:4])


def test_rounding_leaves_what_is_not_defined() -> None:
    assert Estimate(1 / 3, 0.0, 1.0).rounded(3) == Estimate(0.333, 0.0, 1.0)
    assert not measures.UNDEFINED.rounded().is_defined


def test_calibration_error_and_brier_score_are_those_computed_by_hand() -> None:
    # Four rows at 0.9 of which three are right, four at 0.6 of which one is.
    sure = np.repeat([0.9, 0.6], 4)
    is_right = np.array([True, True, True, False, True, False, False, False])
    found = measures.calibration_error(sure, is_right, bins=2)
    assert found.plug_in == pytest.approx((0.15 + 0.35) / 2)
    # Squares 0.0225 and 0.1225; a share of 3 or 1 in 4 has variance 0.25, of the mean 0.0625.
    assert found.squared.value == pytest.approx((0.0225 + 0.1225) / 2 - 0.0625)
    assert found.debiased.value == pytest.approx(0.1)
    parts = measures.brier_parts(sure, is_right, bins=2)
    score = (3 * 0.01 + 0.81 + 0.16 + 3 * 0.36) / 8
    assert parts.score.value == pytest.approx(score)
    assert parts.reliability == pytest.approx((0.0225 + 0.1225) / 2)
    assert parts.resolution == pytest.approx((0.25**2 + 0.25**2) / 2)
    assert parts.uncertainty == pytest.approx(0.25)


def test_the_parts_of_a_brier_score_add_up_whatever_confidences_a_bin_holds() -> None:
    probabilities, correct = answers(400, 5, seed=11)
    sure, is_right = probabilities.max(axis=1), probabilities.argmax(axis=1) == correct
    weights = np.random.default_rng(0).uniform(1, 20, 400)
    for given in (None, weights):
        parts = measures.brier_parts(sure, is_right, weights=given)
        total = parts.reliability - parts.resolution + parts.uncertainty
        assert total == pytest.approx(parts.score.value)
        expected = brier_score_loss(is_right, sure, sample_weight=given)
        assert parts.score.value == pytest.approx(expected)
        assert measures.top_label_brier(sure, is_right, given) == pytest.approx(expected)


def test_a_row_of_weight_two_is_two_rows() -> None:
    probabilities, correct = answers(200, 3, seed=12)
    sure, is_right = probabilities.max(axis=1), probabilities.argmax(axis=1) == correct
    times = np.random.default_rng(1).integers(1, 4, 200)
    many = np.repeat(np.arange(200), times)
    assert measures.share_right(is_right, times.astype(float)).value == pytest.approx(
        is_right[many].mean()
    )
    assert measures.confidence_gap(sure, is_right, times.astype(float)).value == pytest.approx(
        measures.confidence_gap(sure[many], is_right[many]).value
    )
    assert measures.fit_temperature(probabilities, correct, times.astype(float)) == pytest.approx(
        measures.fit_temperature(probabilities[many], correct[many])
    )


def test_weights_that_are_all_the_same_change_nothing() -> None:
    probabilities, correct = answers(150, 3, seed=13)
    sure, is_right = probabilities.max(axis=1), probabilities.argmax(axis=1) == correct
    weights = np.full(150, 1 / np.float32(0.05))
    plain = measures.calibration_error(sure, is_right)
    weighed = measures.calibration_error(sure, is_right, weights=weights)
    assert weighed.bins == plain.bins == 15
    assert weighed.squared.rounded(9) == plain.squared.rounded(9)
    assert measures.confidence_gap(sure, is_right, weights).rounded(9) == (
        measures.confidence_gap(sure, is_right).rounded(9)
    )
    assert measures.share_right(is_right, weights).rounded(9) == (
        measures.wilson(int(is_right.sum()), 150).rounded(9)
    )
    assert measures.brier_parts(sure, is_right, weights=weights).score.rounded(9) == (
        measures.brier_parts(sure, is_right).score.rounded(9)
    )


def test_one_heavy_row_makes_intervals_wide() -> None:
    sure, is_right = np.linspace(0.6, 0.9, 100), np.arange(100) % 4 != 0
    heavy = np.ones(100)
    heavy[50] = 100.0
    assert measures.effective_count(heavy) == pytest.approx(199**2 / (99 + 100**2))
    plain = measures.share_right(is_right)
    weighed = measures.share_right(is_right, heavy)
    assert weighed.upper - weighed.lower > 3 * (plain.upper - plain.lower)
    gap = measures.confidence_gap(sure, is_right, heavy)
    assert gap.upper - gap.lower > 0.4


SHAPES: dict[str, Callable[[Floats], Floats]] = {
    "calibrated": lambda sure: sure,
    "twice as sure as it may be": lambda sure: 1 / (1 + np.sqrt((1 - sure) / sure)),
    "too timid": lambda sure: np.minimum(sure + 0.05, 1.0),
    "too sure by a tenth": lambda sure: sure - 0.1,
    "only where it is surest": lambda sure: np.where(sure > 0.95, sure - 0.3, sure),
    "of no use": lambda sure: np.full_like(sure, 0.6),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_intervals_cover_whatever_the_shape_of_the_error(shape: str) -> None:
    random = np.random.default_rng(len(shape))
    rows, tries = 200, 600
    many = np.sort(random.beta(8, 1, 200_000).clip(0.3, 1 - 1e-6))
    shares = SHAPES[shape](many)
    parts = np.array_split(many - shares, measures.BINS)
    truths = {
        "square": float(np.mean([part.mean() ** 2 for part in parts])),
        "brier": float((shares * (1 - many) ** 2 + (1 - shares) * many**2).mean()),
        "gap": float((many - shares).mean()),
    }
    covered: dict[str, list[bool]] = {name: [] for name in truths}
    for _ in range(tries):
        sure = random.beta(8, 1, rows).clip(0.3, 1 - 1e-6)
        is_right = random.random(rows) < SHAPES[shape](sure)
        found = {
            "square": measures.calibration_error(sure, is_right).squared,
            "brier": measures.brier_parts(sure, is_right).score,
            "gap": measures.confidence_gap(sure, is_right),
        }
        for name, estimate in found.items():
            covered[name].append(estimate.lower <= truths[name] <= estimate.upper)
    assert min(np.mean(hits) for hits in covered.values()) >= 0.93


def test_weighed_intervals_cover() -> None:
    random = np.random.default_rng(5)
    covered = []
    for _ in range(300):
        sure = random.uniform(0.6, 1.0, 300)
        is_heavy = np.arange(300) < 100  # drawn with a fourth of the others' probability
        is_right = random.random(300) < sure - np.where(is_heavy, 0.05, 0.15)
        weights = np.where(is_heavy, 4.0, 1.0)
        gap = (400 * 0.05 + 200 * 0.15) / 600
        square = measures.calibration_error(sure, is_right, weights=weights).squared
        mean = measures.confidence_gap(sure, is_right, weights)
        share = measures.share_right(is_right, weights)
        covered.append(
            (
                square.lower <= gap**2 <= square.upper,
                mean.lower <= gap <= mean.upper,
                share.lower <= 0.8 - gap <= share.upper,
            )
        )
    assert (np.mean(covered, axis=0) >= 0.93).all()


def test_what_is_too_good_to_be_true_is_not_better_known() -> None:
    # Each bin of ten has as many right as its confidence says: less spread than chance would give.
    sure = np.repeat([0.5, 0.6, 0.7, 0.8, 0.9], 20)
    is_right = np.concatenate([np.arange(20) < round(20 * level) for level in np.unique(sure)])
    found = measures.calibration_error(sure, is_right).squared
    assert found.value < 0
    assert found.lower == found.value
    assert found.upper > 0.005


def test_certain_answers_that_are_all_right_are_not_known_to_stay_so() -> None:
    found = measures.calibration_error(np.ones(100), np.ones(100, dtype=bool))
    assert found.squared.value == 0.0
    assert found.debiased.upper > 0.02
    assert measures.confidence_gap(np.ones(100), np.ones(100, dtype=bool)).upper > 0.02
    assert measures.brier_parts(np.ones(100), np.ones(100, dtype=bool)).score.upper > 0.02


def test_bins_hold_all_rows_and_tell_their_share() -> None:
    random = np.random.default_rng(3)
    sure = random.uniform(0.5, 1, 333)
    is_right = random.random(333) < sure
    parts = measures.equal_mass_bins(sure, is_right)
    assert parts is not None
    assert int(parts.rows.sum()) == 333
    assert np.ptp(parts.rows) <= 1
    np.testing.assert_allclose(parts.effective, parts.rows)
    assert float((parts.share * parts.right).sum()) == pytest.approx(is_right.mean())
    assert float((parts.share * parts.confidence).sum()) == pytest.approx(sure.mean())
    assert (np.diff(parts.confidence) > 0).all()
    assert measures.equal_mass_bins(sure[:3], is_right[:3], bins=2) is None
