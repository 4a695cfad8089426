import math
from dataclasses import replace

import numpy as np
import pytest

from monitoring import codec
from monitoring.detectors.window_test import Assessment, Baseline, assess, baseline
from monitoring.errors import Incompatible
from monitoring.sketches.features import FeatureMap
from tests.unit.monitoring.detectors.made_windows import (
    Drawn,
    draw,
    map_of,
    part_of,
    reference_of,
    window_of,
)

REFERENCE = draw(800, 0)
MAP = map_of(REFERENCE.embeddings)
BASE_MAP = map_of(REFERENCE.base_embeddings)


def baseline_of(drawn: Drawn, feature_map: FeatureMap = MAP, seed: int = 1) -> Baseline:
    made = baseline(reference_of(drawn), feature_map, seed=seed)
    assert made is not None
    return made


BASELINE = baseline_of(REFERENCE)


def assessed(window: Drawn, tolerance: float = 0.1, made: Baseline = BASELINE) -> Assessment:
    return assess(made, window_of(window, MAP, BASE_MAP), tolerance=tolerance)


def test_windows_like_the_reference_are_significant_as_often_as_p_says() -> None:
    found: list[float] = []
    for reference in range(20):
        both = draw(700, 500 + reference)
        feature_map = map_of(both.embeddings[:200])
        made = baseline_of(part_of(both, slice(0, 200)), feature_map)
        for start in range(200, 700, 50):
            window = part_of(both, slice(start, start + 50))
            pvalue = assess(made, window_of(window, feature_map), tolerance=0.1).pvalue
            assert pvalue is not None
            found.append(pvalue)
    shares = [float(np.mean(np.array(found) <= level)) for level in (0.05, 0.25, 0.5)]
    assert shares == pytest.approx([0.05, 0.25, 0.5], abs=0.06)


def test_the_interval_covers_the_distance_of_the_worlds_that_rows_were_drawn_from() -> None:
    covered = {0.0: 0, 0.1: 0, 0.4: 0}
    for share in covered:
        true = _distance(draw(20_000, 21, foreign=share), draw(20_000, 22))
        for seed in range(40):
            found = assessed(draw(150, 1000 + seed, foreign=share))
            square = true / found.tolerance
            covered[share] += found.effect.lower <= square <= found.effect.upper
    assert min(covered.values()) >= 36, covered


def test_the_effect_of_foreign_rows_is_1_at_the_tolerated_share() -> None:
    effects = [assessed(draw(400, seed, foreign=0.2), tolerance=0.2).effect for seed in range(9)]
    assert 0.3 < np.median([each.value for each in effects]) < 3


def test_effect_and_tolerance_are_squared_distances() -> None:
    window = draw(300, 3, foreign=0.5)
    narrow, wide = assessed(window, 0.05), assessed(window, 0.1)
    assert wide.tolerance == pytest.approx(4 * narrow.tolerance)
    assert narrow.effect.value == pytest.approx(4 * wide.effect.value)
    assert wide.effect.value == pytest.approx(wide.statistic / wide.tolerance)
    assert wide.statistic == narrow.statistic


def test_other_content_is_told_from_another_class_mix() -> None:
    content = assessed(draw(500, 4, foreign=0.5))
    assert content.effect.lower > 1
    assert content.content.lower > 1
    assert content.reading.startswith("beyond tolerance: other content")
    mix = assessed(draw(500, 5, mix=(0.7, 0.1, 0.1, 0.1)))
    assert mix.effect.lower > 1
    assert mix.reweighted.lower < 0 < mix.reweighted.upper
    assert mix.reading.startswith("beyond tolerance: another class mix")


def test_far_windows_have_the_least_p_there_is() -> None:
    assert assessed(draw(100, 6, foreign=0.8)).pvalue == 1 / 500


@pytest.mark.parametrize("rows", [50, 51, 77, 100, 200])
def test_windows_up_to_a_quarter_of_the_reference_are_tested(rows: int) -> None:
    found = assessed(draw(rows, 7))
    assert found.pvalue is not None
    assert 0 < found.pvalue <= 1
    assert found.pvalue_unknown is None


def test_a_larger_window_has_an_effect_and_no_p() -> None:
    found = assessed(draw(201, 8))
    assert found.pvalue is None
    assert found.pvalue_unknown == "reference too small: 201 rows, of which its 800 bear 200"
    assert found.effect.lower < found.effect.value < found.effect.upper
    assert found.effect_unknown is None


def test_a_small_reference_has_effects_and_no_p() -> None:
    made = baseline_of(draw(60, 9))
    found = assessed(draw(80, 10), made=made)
    assert found.effect.is_defined
    assert found.pvalue is None
    assert found.pvalue_unknown == "reference too small: 80 rows, of which its 60 bear 15"


def test_a_reference_below_50_rows_has_no_baseline() -> None:
    assert baseline(reference_of(draw(49, 11)), MAP, seed=0) is None


def test_a_reference_without_embeddings_has_no_baseline() -> None:
    without = reference_of(REFERENCE, embedded=False)
    assert baseline(without, MAP, seed=0) is None
    assert baseline(without, BASE_MAP, seed=0, base=True) is None


@pytest.mark.parametrize(
    ("rows", "reason"), [(0, "no embeddings in the window"), (49, "too few rows: 49 of 50")]
)
def test_small_windows_are_unknown_and_say_why(rows: int, reason: str) -> None:
    found = assessed(draw(rows, 12))
    assert math.isnan(found.statistic)
    assert not found.effect.is_defined
    assert not found.reweighted.is_defined
    assert found.pvalue is None
    assert found.effect_unknown == found.pvalue_unknown == found.reweighted_unknown == reason
    assert found.reading == f"unknown: {reason}"


def test_a_reference_whose_rows_are_all_alike_has_no_unit_to_measure_in() -> None:
    same = replace(REFERENCE, embeddings=np.repeat(REFERENCE.embeddings[:1], 800, axis=0))
    found = assessed(draw(100, 13), made=baseline_of(same))
    assert found.effect_unknown == "the reference's rows are all alike"


def test_a_window_of_one_row_over_and_over_is_far_and_has_figures() -> None:
    window = draw(100, 14)
    same = replace(window, embeddings=np.repeat(window.embeddings[:1], 100, axis=0))
    found = assessed(same)
    assert found.effect.lower > 1
    assert math.isfinite(found.effect.upper)


def test_the_bare_backbone_has_a_test_of_its_own() -> None:
    made = baseline(reference_of(REFERENCE), BASE_MAP, seed=1, base=True)
    window = draw(300, 15, foreign=0.6)
    sketch = window_of(replace(window, embeddings=REFERENCE.embeddings[:300]), MAP, BASE_MAP)
    found = assess(made, sketch, tolerance=0.1, base=True)
    assert found.rows == 150  # every second row has an embedding of the bare backbone
    assert found.effect.lower > 1
    assert found.reweighted_unknown == "the bare backbone's features are not kept by class"
    assert assess(BASELINE, sketch, tolerance=0.1).effect.value < 1


def test_features_of_another_map_are_refused() -> None:
    with pytest.raises(Incompatible, match="a window of map"):
        assess(BASELINE, window_of(draw(60, 16), BASE_MAP), tolerance=0.1)


def test_a_window_of_other_classes_is_refused() -> None:
    window = window_of(draw(60, 19, classes=3), MAP, BASE_MAP)
    with pytest.raises(ValueError, match="3 classes, 4 in the reference"):
        assess(BASELINE, window, tolerance=0.1)


@pytest.mark.parametrize("rows", [60, 1500])
def test_a_baseline_is_bounded(rows: int) -> None:
    made = baseline_of(draw(rows, 17))
    assert len(codec.encode(made)) < 100_000


def _distance(first: Drawn, second: Drawn) -> float:
    means = [MAP.fixed(each.embeddings).mean(axis=0) / MAP.scale for each in (first, second)]
    return float(np.square(means[0] - means[1]).sum())
