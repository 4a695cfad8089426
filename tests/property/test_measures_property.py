"""Measures keep their bounds, and do not care for the order of rows or classes."""

from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from service import measures

Rows = tuple[NDArray[np.float64], NDArray[np.int64]]


@st.composite
def rows(draw: st.DrawFn, least: int = 1) -> Rows:
    count = draw(st.integers(least, 80))
    classes = draw(st.integers(2, 6))
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    logits = draw(st.sampled_from([0.1, 1.0, 10.0])) * random.standard_normal((count, classes))
    raised = np.exp(logits - logits.max(axis=1, keepdims=True))
    return raised / raised.sum(axis=1, keepdims=True), random.integers(0, classes, count)


def figures(probabilities: NDArray[Any], correct: NDArray[Any]) -> list[float]:
    predicted = probabilities.argmax(axis=1)
    sure, is_right = probabilities.max(axis=1), predicted == correct
    return [
        measures.accuracy(predicted, correct),
        measures.macro_f1(predicted, correct),
        measures.log_loss(probabilities, correct),
        measures.top_label_brier(sure, is_right),
        measures.fit_temperature(probabilities, correct),
    ]


@given(rows())
def test_the_order_of_rows_and_classes_does_not_matter(given_rows: Rows) -> None:
    probabilities, correct = given_rows
    random = np.random.default_rng(0)
    order = random.permutation(len(correct))
    renamed = random.permutation(probabilities.shape[1])
    turned = np.empty_like(probabilities)
    turned[:, renamed] = probabilities
    expected = figures(probabilities, correct)
    np.testing.assert_allclose(figures(probabilities[order], correct[order]), expected, rtol=1e-6)
    np.testing.assert_allclose(figures(turned, renamed[correct]), expected, rtol=1e-6)


@given(st.integers(0, 10_000), st.integers(1, 10_000))
def test_wilson_s_interval_holds_the_share_and_stays_within_0_and_1(part: int, count: int) -> None:
    right = part % (count + 1)
    found = measures.wilson(right, count)
    assert 0.0 <= found.lower <= found.value == right / count <= found.upper <= 1.0
    assert found.upper > found.lower


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=300))
def test_a_paired_difference_turns_its_sign_with_its_sides(pairs: list[tuple[bool, bool]]) -> None:
    first, second = (np.array(side) for side in zip(*pairs, strict=True))
    there = measures.paired_difference(first, second)
    back = measures.paired_difference(second, first)
    assert -1.0 <= there.lower <= there.value <= there.upper <= 1.0
    np.testing.assert_allclose(
        [back.value, back.lower, back.upper], [-there.value, -there.upper, -there.lower], atol=1e-12
    )


@given(rows(least=2))
def test_a_calibration_error_lies_in_its_interval_and_below_the_plug_in(given_rows: Rows) -> None:
    probabilities, correct = given_rows
    is_right = probabilities.argmax(axis=1) == correct
    found = measures.calibration_error(probabilities.max(axis=1), is_right)
    assert found.squared.lower <= found.squared.value <= found.squared.upper
    assert 0.0 <= found.debiased.lower <= found.debiased.value <= found.debiased.upper
    assert 0.0 <= found.plug_in <= 1.0
    assert found.squared.value <= 1.0


@given(rows(), st.floats(0.05, 20.0), st.floats(0.05, 20.0))
def test_temperatures_multiply_and_keep_the_order_of_classes(
    given_rows: Rows, first: float, second: float
) -> None:
    probabilities, _ = given_rows
    once = measures.apply_temperature(probabilities, first)
    np.testing.assert_allclose(once.sum(axis=1), 1.0)
    twice = measures.apply_temperature(once, second)
    at_once = measures.apply_temperature(probabilities, first * second)
    # A probability that the first took below what has a logarithm does not come back.
    if once.min() > 1e-30:
        np.testing.assert_allclose(twice, at_once, rtol=1e-6, atol=1e-12)
        np.testing.assert_array_equal(once.argmax(axis=1), probabilities.argmax(axis=1))


@given(rows(least=2), st.integers(0, 2**32), st.sampled_from([1.0, 20.0, 1e4]))
def test_weighed_figures_are_finite_and_lie_in_their_intervals(
    given_rows: Rows, seed: int, most: float
) -> None:
    probabilities, correct = given_rows
    sure, is_right = probabilities.max(axis=1), probabilities.argmax(axis=1) == correct
    weights = np.random.default_rng(seed).choice([1.0, most], len(correct))
    parts = measures.brier_parts(sure, is_right, weights=weights)
    error = measures.calibration_error(sure, is_right, weights=weights)
    assert np.isfinite([parts.reliability, parts.resolution, parts.uncertainty]).all()
    for found in (
        parts.score,
        error.squared,
        error.debiased,
        measures.confidence_gap(sure, is_right, weights),
        measures.share_right(is_right, weights),
    ):
        assert np.isfinite([found.value, found.lower, found.upper]).all()
        assert found.lower <= found.value <= found.upper
