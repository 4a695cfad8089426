import doctest
import math

import numpy as np
import pytest
from scipy.stats import ks_2samp

from monitoring.detectors import class_shift
from monitoring.detectors.class_shift import Assessment, assess, baseline, kolmogorov_smirnov
from monitoring.sketches.histogram import probability_bins
from tests.unit.monitoring.detectors.made_windows import (
    Drawn,
    draw,
    map_of,
    part_of,
    reference_of,
    window_of,
)

EVEN = draw(600, 0)
MAP = map_of(EVEN.embeddings)


def shift_of(window: Drawn, reference: Drawn = EVEN) -> Assessment:
    return assess(baseline(reference_of(reference)), window_of(window, MAP))


def test_the_numbers_in_the_docstrings_are_true() -> None:
    found = doctest.testmod(class_shift)
    assert found.failed == 0
    assert found.attempted >= 1


def test_distances_are_those_of_scipy_over_the_same_bins() -> None:
    window = draw(200, 1, mix=(0.4, 0.2, 0.2, 0.2))
    before, now = probability_bins(EVEN.probabilities), probability_bins(window.probabilities)
    distances = [ks_2samp(before[:, i], now[:, i]).statistic for i in range(4)]
    found = shift_of(window)
    assert found.statistic == pytest.approx(max(distances))
    assert found.worst == int(np.argmax(distances))
    assert found.rows == 200


@pytest.mark.parametrize("distance", [0.02, 0.05, 0.08, 0.12, 0.2])
@pytest.mark.parametrize(("rows", "others"), [(50, 200), (300, 1000), (5000, 2000)])
def test_p_is_about_the_exact_one(distance: float, rows: int, others: int) -> None:
    first = np.arange(rows) / rows
    second = np.arange(others) / others + distance
    exact = ks_2samp(first, second, method="exact")
    found = kolmogorov_smirnov(float(exact.statistic), rows, others)
    assert found == pytest.approx(float(exact.pvalue), abs=0.02, rel=0.35)


def test_p_is_that_of_the_worst_class_times_the_classes() -> None:
    window = draw(200, 2, mix=(0.32, 0.24, 0.22, 0.22))
    found = shift_of(window)
    assert found.pvalue == pytest.approx(4 * kolmogorov_smirnov(found.statistic, 200, 600))


def test_without_a_change_it_is_rarely_significant() -> None:
    significant = 0
    for seed in range(100):
        both = draw(500, 100 + seed)
        found = shift_of(part_of(both, slice(400, 500)), part_of(both, slice(0, 400)))
        assert found.pvalue is not None
        significant += found.pvalue <= 0.05
    assert significant <= 9  # 0.05 at most; 10 of 100 happen once in 35


def test_another_class_mix_is_found() -> None:
    found = shift_of(draw(200, 3, mix=(0.6, 0.2, 0.1, 0.1)))
    assert found.pvalue is not None
    assert found.pvalue < 1e-6
    assert found.worst == 0


def test_a_window_equal_to_the_reference_has_p_1() -> None:
    found = shift_of(EVEN)
    assert (found.statistic, found.pvalue) == (0, 1)


@pytest.mark.parametrize(
    ("rows", "reason"), [(0, "no rows in the window"), (49, "too few rows: 49 of 50")]
)
def test_small_windows_are_unknown_and_say_why(rows: int, reason: str) -> None:
    found = shift_of(draw(rows, 4))
    assert math.isnan(found.statistic)
    assert (found.pvalue, found.worst, found.unknown) == (None, None, reason)


def test_small_references_have_no_baseline() -> None:
    assert baseline(reference_of(draw(49, 5))) is None
    found = assess(None, window_of(draw(100, 6), MAP))
    assert found.unknown == "no reference"


def test_a_window_of_other_classes_is_refused() -> None:
    with pytest.raises(ValueError, match="3 classes, 4 in the reference"):
        assess(baseline(reference_of(EVEN)), window_of(draw(60, 7, classes=3), MAP))
