import numpy as np
import pytest

from monitoring.detectors.heading import BLOCK, Heading
from monitoring.detectors.newcomers import LEVELS, coarse, newcomer_factors, turn
from monitoring.detectors.prototypes import (
    Steps,
    cross_fitted_nearness,
    nearness,
    prototypes_of,
)
from monitoring.sketches.directions import quantised
from tests.unit.monitoring.detectors.made_windows import HIDDEN, draw

REFERENCE = quantised(draw(400, 0).embeddings)


def shown(traffic: Steps) -> list[float]:
    """Return the share of rows beyond each quantile, after all rows were taken for strangers."""
    heading = Heading.begin(HIDDEN, len(LEVELS))
    sample, unit = coarse(REFERENCE)
    centre = REFERENCE.mean(axis=0)
    own = cross_fitted_nearness(REFERENCE, 0)
    half = len(traffic) // 2
    for block in np.split(traffic[:half], half // BLOCK):
        heading.saw(block)
        turn(heading, centre, sample, unit, own)
    later = traffic[half:]
    near = nearness(later, prototypes_of(REFERENCE, 0))
    beyond = heading.beyond(later @ heading.direction - near)
    return [float((beyond >= len(LEVELS) - number).mean()) for number in range(len(LEVELS))]


def test_rows_of_a_new_topic_are_more_like_it_than_like_anything_typical() -> None:
    assert shown(quantised(draw(320, 1, foreign=1.0).embeddings))[0] > 0.95


def test_rows_like_the_reference_lie_beyond_as_seldom_as_its_own() -> None:
    found = shown(quantised(draw(4000, 2).embeddings))
    assert found == pytest.approx(list(LEVELS), abs=0.06)


def test_rows_in_a_byte_a_number_are_the_rows() -> None:
    sample, unit = coarse(REFERENCE)
    assert sample.dtype == np.int8
    assert np.abs(sample * unit - REFERENCE).max() <= unit / 2 + 1e-3
    zeros, unit = coarse(np.zeros((3, 4), np.float32))
    assert (unit, zeros.any()) == (1.0, np.False_)


def test_a_smaller_reference_pays_less() -> None:
    assert newcomer_factors(100, 0.0).max() < newcomer_factors(1000, 0.0).max()
