import numpy as np

from monitoring.sketches.features import FeatureMap
from monitoring.sketches.sketch import Sketch
from monitoring.state.merging import counts_of, merged
from tests.unit.monitoring.sketches.made_rows import rows_of

MAPS = [FeatureMap.of(16, (width,), 0) for width in (0.5, 1.0)]


def sketch(number: int) -> Sketch:
    rows, mapping = rows_of(9, seed=number), MAPS[number]
    made = Sketch.empty(5, mapping)
    features = mapping.fixed(rows.embeddings)
    made.add(rows, features, mapping.directions.projected_of(features), None)
    return made


def test_sketches_of_one_map_add_up() -> None:
    one = sketch(0)
    assert merged(one, one) == one.merge(one)


def test_of_two_maps_the_newer_ones_features_stay_and_all_counts() -> None:
    older, newer = sketch(0), sketch(1)
    both = merged(older, newer)
    assert (both.map_id, both.embedded, both.predictions) == (MAPS[1].id, newer.embedded, 18)
    assert both.main_sum is not None
    assert newer.main_sum is not None
    np.testing.assert_array_equal(both.main_sum, newer.main_sum)
    np.testing.assert_array_equal(both.class_embedded, newer.class_embedded)
    np.testing.assert_array_equal(both.class_counts, older.class_counts + newer.class_counts)
    assert both.inputs.rows == 18


def test_counts_without_features_change_nothing_of_the_sketch() -> None:
    one = sketch(0)
    before = one.to_bytes()
    plain = counts_of(one)
    assert (plain.embedded, plain.map_id, plain.main_sum) == (0, None, None)
    assert plain.class_counts.sum() == 9
    plain.tally[:] = 0
    plain.bitmap[:] = 255
    assert one.to_bytes() == before
