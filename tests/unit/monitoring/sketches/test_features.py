"""Feature maps: norm 1, near the Gaussian kernel, and the same bits everywhere."""

import numpy as np
import numpy.typing as npt
import pytest

from monitoring.rows import HalfArray
from monitoring.sketches.directions import Fixed
from monitoring.sketches.features import FeatureMap, bandwidths_of, fixed_mixed
from tests.unit.monitoring.sketches.made_rows import unit_rows

Matrix = npt.NDArray[np.float64]
HIDDEN = 64


def distances(embeddings: HalfArray) -> Matrix:
    plain = embeddings.astype(np.float64)
    return np.asarray(((plain[:, None] - plain[None]) ** 2).sum(axis=2), dtype=np.float64)


def kernel(squares: Matrix, bandwidths: tuple[float, ...]) -> Matrix:
    return np.asarray(np.mean([np.exp(-squares / (2 * b)) for b in bandwidths], axis=0))


def norms(fixed: Fixed, scale: float) -> Matrix:
    return np.asarray(np.sqrt((fixed.astype(np.float64) ** 2).sum(axis=1)) / scale)


def test_rows_have_norm_one() -> None:
    chart = FeatureMap.of(HIDDEN, (0.5, 1.0, 2.0), 0)
    fixed = chart.fixed(unit_rows(50, HIDDEN))
    assert fixed.shape == (50, chart.dimensions)
    assert fixed.dtype == np.int32
    assert np.abs(norms(fixed, chart.scale) - 1).max() < 1e-4


def test_products_of_features_are_near_the_gaussian_kernel() -> None:
    embeddings = unit_rows(150, HIDDEN, offset=6.0)
    squares = distances(embeddings)
    bandwidths = bandwidths_of(embeddings)
    errors = []
    for seed in range(4):
        chart = FeatureMap.of(HIDDEN, bandwidths, seed)
        features = chart.fixed(embeddings) / chart.scale
        errors.append(features @ features.T - kernel(squares, bandwidths))
    off_diagonal = np.array(errors)[:, ~np.eye(150, dtype=np.bool_)]
    # independent frequencies alone would give about 0.026: sqrt(mean of variances of cosines / 512)
    assert np.sqrt((off_diagonal**2).mean()) < 0.024
    assert abs(off_diagonal.mean()) < 0.01


def test_the_squared_distance_of_means_is_near_that_of_the_kernel() -> None:
    first, second = unit_rows(200, HIDDEN, 1, 2.0), unit_rows(200, HIDDEN, 2, 3.0)
    both = np.concatenate([first, second])
    bandwidths = bandwidths_of(both)
    exact = kernel(distances(both), bandwidths)
    truth = exact[:200, :200].mean() + exact[200:, 200:].mean() - 2 * exact[:200, 200:].mean()
    chart = FeatureMap.of(HIDDEN, bandwidths, 0)
    means = [chart.fixed(part).sum(axis=0) / len(part) / chart.scale for part in (first, second)]
    assert ((means[0] - means[1]) ** 2).sum() == pytest.approx(truth, rel=0.15)


def test_projected_features_keep_norms_and_distances_on_average() -> None:
    chart = FeatureMap.of(HIDDEN, (0.5, 1.0, 2.0), 0)
    embeddings = unit_rows(300, HIDDEN)
    projected = chart.projected(embeddings)
    assert projected.shape == (300, 32)
    assert projected.dtype == np.int32
    assert (norms(projected, chart.projection_scale) ** 2).mean() == pytest.approx(1, abs=0.06)
    assert np.abs(projected).max() <= 2**15


def test_a_mixed_frame_is_the_same_as_each_map_alone() -> None:
    charts = [FeatureMap.of(HIDDEN, (0.5 * i, 1.0 * i), 0) for i in (1, 2, 3)]
    embeddings = unit_rows(12, HIDDEN)
    which = np.array([0, 2, 1, 1, 0, 2, 2, 2, 0, 0, 1, 0])
    phases = charts[0].directions.phases(embeddings)
    before = phases.copy()
    mixed = fixed_mixed(phases, charts, which)
    assert (phases == before).all()
    for i, chart in enumerate(charts):
        assert (mixed[which == i] == chart.fixed(embeddings[which == i])).all()
        assert (mixed[which == i] == chart.fixed_of(phases[which == i])).all()


def test_maps_of_different_directions_do_not_mix() -> None:
    charts = [FeatureMap.of(HIDDEN, (1.0,), seed) for seed in (0, 1)]
    phases = charts[0].directions.phases(unit_rows(2, HIDDEN))
    with pytest.raises(ValueError, match="different directions"):
        fixed_mixed(phases, charts, np.array([0, 1]))


def test_no_rows_have_no_features() -> None:
    chart = FeatureMap.of(HIDDEN, (1.0,), 0)
    assert chart.fixed(unit_rows(0, HIDDEN)).shape == (0, 1024)
    assert chart.projected(unit_rows(0, HIDDEN)).shape == (0, 32)


def test_what_determines_features_determines_the_id() -> None:
    ids = [
        FeatureMap.of(hidden, bandwidths, seed).id
        for hidden, bandwidths, seed in (
            (16, (1.0, 2.0), 0),
            (16, (1.0, 2.1), 0),
            (16, (1.0, 2.0), 1),
            (17, (1.0, 2.0), 0),
        )
    ]
    assert len(set(ids)) == 4
    assert FeatureMap.of(16, (1.0, 2.0), 0).id == ids[0]


@pytest.mark.parametrize("bandwidths", [(), (0.0,), (1.0, -1.0), (float("nan"),), (float("inf"),)])
def test_bandwidths_that_are_none_are_refused(bandwidths: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="bandwidths"):
        FeatureMap.of(16, bandwidths, 0)


@pytest.mark.parametrize("hidden", [16, 1024, 4096])
def test_the_smallest_bandwidth_still_rounds_phases_right(hidden: int) -> None:
    chart = FeatureMap.of(hidden, (2.0**-8,), 0)
    longest = np.sqrt((chart.directions.matrix.astype(np.float64) ** 2).sum(axis=0)).max()
    assert longest * 2**13 * 1.125 * chart.multipliers.max() < 2**22


def test_features_are_cosines_and_sines_of_the_phases() -> None:
    chart = FeatureMap.of(HIDDEN, (0.3, 1.7), 5)
    embeddings = unit_rows(40, HIDDEN)
    widths = np.sqrt(np.array([0.3, 1.7]))[np.arange(512) % 2]
    phases = chart.directions.phases(embeddings).astype(np.float64)
    angles = phases / chart.directions.grid / widths
    fixed = chart.fixed(embeddings) / 2**13
    assert np.abs(fixed[:, 0::2] - np.cos(angles)).max() < 5e-4
    assert np.abs(fixed[:, 1::2] - np.sin(angles)).max() < 5e-4


def test_bandwidths_follow_the_median_squared_distance() -> None:
    embeddings = np.zeros((3, 4), dtype=np.float16)
    embeddings[0, 0] = embeddings[1, 1] = 1.0
    embeddings[2, 0] = -1.0  # squared distances 2, 4, 2
    assert bandwidths_of(embeddings) == (0.5, 1.0, 2.0)


def test_rows_that_repeat_do_not_count_for_bandwidths() -> None:
    embeddings = np.zeros((10, 4), dtype=np.float16)
    embeddings[:, 0] = 1.0
    embeddings[0] = (0.0, 1.0, 0.0, 0.0)
    assert bandwidths_of(embeddings)[2] == 2.0


@pytest.mark.parametrize("count", [0, 1, 5])
def test_rows_that_do_not_differ_have_no_bandwidths(count: int) -> None:
    embeddings = np.zeros((count, 4), dtype=np.float16)
    embeddings[:, 0] = 1.0
    with pytest.raises(ValueError, match="no two embeddings differ"):
        bandwidths_of(embeddings)


def test_bandwidths_of_many_rows_are_near_those_of_all() -> None:
    embeddings = unit_rows(2500, 16)
    squares = distances(embeddings)[np.triu_indices(2500, 1)]
    assert bandwidths_of(embeddings)[2] == pytest.approx(np.median(squares), rel=0.02)
