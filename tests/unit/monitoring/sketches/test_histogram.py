"""Bins: quantiles within the stated error, and fine near 0 and 1."""

import math

import numpy as np
import pytest

from monitoring.sketches.histogram import (
    CONFIDENCE_BINS,
    CONFIDENCE_EDGES,
    LENGTH_BINS,
    LENGTH_ERROR,
    PROBABILITY_BINS,
    confidence_bins,
    length_bins,
    length_quantile,
    probability_bins,
)


def counts_of(lengths: list[int]) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return np.bincount(length_bins(np.array(lengths, dtype=np.int64)), minlength=LENGTH_BINS)


def test_every_length_is_found_again_within_the_stated_error() -> None:
    for length in [*range(700), *range(700, 2**16, 997), 2**16 - 1]:
        found = length_quantile(counts_of([length]), 0.5)
        assert abs(found - length) <= (LENGTH_ERROR * length if length >= 32 else 0)


def test_bins_of_lengths_ascend_and_the_last_takes_the_rest() -> None:
    bins = length_bins(np.arange(2**16 + 100))
    assert (np.diff(bins) >= 0).all()
    assert bins[0] == 0
    assert set(bins.tolist()) == set(range(LENGTH_BINS))
    assert length_bins(np.array([2**40])).tolist() == [LENGTH_BINS - 1]


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.95, 1.0])
def test_quantiles_are_those_of_the_sorted_rows(share: float) -> None:
    lengths = np.random.default_rng(0).lognormal(3, 1, 501).astype(np.int64)
    exact = np.sort(lengths)[max(0, math.ceil(share * 501) - 1)]
    found = length_quantile(counts_of(lengths.tolist()), share)
    assert found == pytest.approx(exact, rel=LENGTH_ERROR)


def test_quantiles_of_nothing_are_unknown() -> None:
    assert math.isnan(length_quantile(counts_of([]), 0.5))


def test_bins_of_probabilities_ascend_with_them() -> None:
    values = np.arange(0x3C01, dtype=np.uint16).view(np.float16)  # every float16 from 0 to 1
    bins = probability_bins(values)
    assert (np.diff(bins.astype(np.int64)) >= 0).all()
    assert bins[0] == 0
    assert bins[-1] == PROBABILITY_BINS - 1
    assert bins[-2] < PROBABILITY_BINS - 1  # what is below 1 is not with it


def test_probabilities_near_0_and_near_1_are_told_apart() -> None:
    fine = probability_bins(
        np.array([1e-5, 1e-4, 1e-3, 1e-2, 0.5, 0.99, 0.995, 0.999, 1], dtype=np.float16)
    )
    assert len(set(fine.tolist())) == 9


@pytest.mark.parametrize("value", [np.nan, np.inf, -0.5, 1.001])
def test_what_is_no_probability_has_no_bin(value: float) -> None:
    assert probability_bins(np.array([value], dtype=np.float16))[0] >= PROBABILITY_BINS


def test_bins_of_confidences_ascend_and_begin_at_their_edges() -> None:
    values = np.linspace(0, 1, 10_001, dtype=np.float32)
    bins = confidence_bins(values)
    assert (np.diff(bins) >= 0).all()
    assert bins[0] == 0
    assert bins[-1] == CONFIDENCE_BINS - 1
    assert confidence_bins(CONFIDENCE_EDGES).tolist() == list(range(1, CONFIDENCE_BINS))


@pytest.mark.parametrize("temperature", [0.5, 2.0])
def test_a_calibrated_mean_of_bins_is_near_that_of_the_rows(temperature: float) -> None:
    def calibrated(values: np.ndarray[tuple[int], np.dtype[np.float64]]) -> float:
        return float((1 / (1 + (1 / values - 1) ** (1 / temperature))).mean())

    odds = np.random.default_rng(0).normal(1.5, 2.0, 20_000)
    confidences = 1 / (1 + np.exp(-odds.clip(-3.5, 11)))
    bins = confidence_bins(confidences.astype(np.float32))
    means = np.bincount(bins, confidences) / np.maximum(1, np.bincount(bins))
    assert calibrated(means[bins]) == pytest.approx(calibrated(confidences), abs=1e-4)
