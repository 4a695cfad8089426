import numpy as np

from monitoring.ingest.features import NOTHING, Wanted, mapped
from monitoring.sketches.features import FeatureMap
from tests.unit.monitoring.sketches.made_rows import unit_rows

NARROW = [FeatureMap.of(8, (width,), 0) for width in (0.5, 1.0)]
WIDE = FeatureMap.of(16, (0.5, 1.0), 0)


def test_features_of_a_mixed_frame_are_those_of_each_version_alone() -> None:
    matrices = {8: unit_rows(20, 8), 16: unit_rows(9, 16)}
    wanted = [
        Wanted(0, 5, NARROW[0]),
        Wanted(0, 4, WIDE),
        Wanted(5, 1, None),
        Wanted(6, 10, NARROW[1]),
        Wanted(16, 4, NARROW[0]),
        Wanted(0, 0, NARROW[1]),
        Wanted(4, 5, WIDE),
    ]
    found = mapped(matrices, wanted, projected=True)
    for want, one in zip(wanted, found, strict=True):
        if want.map is None or not want.count:
            assert one is NOTHING
            continue
        rows = matrices[want.map.hidden][want.first : want.first + want.count]
        expected = want.map.fixed(rows)
        assert one.features is not None
        assert one.projected is not None
        np.testing.assert_array_equal(one.features, expected)
        np.testing.assert_array_equal(one.projected, want.map.directions.projected_of(expected))


def test_the_order_of_versions_in_a_matrix_does_not_matter() -> None:
    matrices = {8: unit_rows(6, 8)}
    parts = [Wanted(4, 2, NARROW[1]), Wanted(0, 4, NARROW[0])]
    found = mapped(matrices, parts, projected=False)
    np.testing.assert_array_equal(found[0].features, NARROW[1].fixed(matrices[8][4:]))  # type: ignore[arg-type]
    np.testing.assert_array_equal(found[1].features, NARROW[0].fixed(matrices[8][:4]))  # type: ignore[arg-type]
    assert found[0].projected is None


def test_a_frame_without_embeddings_has_no_features() -> None:
    assert mapped({}, [Wanted(0, 0, NARROW[0])], projected=True) == [NOTHING]
