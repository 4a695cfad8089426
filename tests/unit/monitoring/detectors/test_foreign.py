import numpy as np
import pytest

from monitoring.detectors.foreign import foreign_distance
from tests.unit.monitoring.detectors.made_windows import draw, map_of


def test_rows_that_are_all_alike_have_nothing_foreign_to_compare_with() -> None:
    varied = draw(100, 1).embeddings
    feature_map = map_of(varied)
    same = np.repeat(varied[:1], 100, axis=0)
    found = foreign_distance(same, feature_map.fixed(same), feature_map.scale)
    assert found == pytest.approx(0, abs=1e-4)


def test_it_is_that_of_rows_as_compact_and_as_far_as_the_farthest_pairs() -> None:
    embeddings = draw(400, 2).embeddings
    feature_map = map_of(embeddings)
    features = feature_map.fixed(embeddings)
    kernel = (features / feature_map.scale) @ (features / feature_map.scale).T
    pairs = np.triu_indices(400, 1)
    rows = embeddings.astype(np.float64)
    nearness = (rows @ rows.T)[pairs]
    far = nearness <= np.quantile(nearness, 0.1)
    expected = 2 * (kernel[pairs].mean() - kernel[pairs][far].mean())
    found = foreign_distance(embeddings, features, feature_map.scale)
    assert found == pytest.approx(expected, rel=1e-6)


def test_a_large_reference_has_about_the_foreign_distance_of_a_part_of_it() -> None:
    embeddings = draw(2000, 3).embeddings
    feature_map = map_of(embeddings)
    features = feature_map.fixed(embeddings)
    whole = foreign_distance(embeddings, features, feature_map.scale)
    part = foreign_distance(embeddings[:500], features[:500], feature_map.scale)
    assert whole == pytest.approx(part, rel=0.05)


def test_a_window_of_another_world_is_about_as_far() -> None:
    embeddings = draw(800, 4).embeddings
    feature_map = map_of(embeddings)
    other = feature_map.fixed(draw(800, 5, foreign=1.0).embeddings).mean(axis=0)
    features = feature_map.fixed(embeddings)
    moved = np.square((other - features.mean(axis=0)) / feature_map.scale).sum()
    found = foreign_distance(embeddings, features, feature_map.scale)
    assert 0.5 < np.sqrt(moved / found) < 2
