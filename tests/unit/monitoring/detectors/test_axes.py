import numpy as np
import pytest

from monitoring.detectors.axes import AXES, FARTHEST, UNIT, axes_of
from monitoring.detectors.prototypes import Steps
from monitoring.sketches.directions import quantised
from tests.unit.monitoring.detectors.made_windows import draw


def made(count: int = 600, seed: int = 0) -> Steps:
    return quantised(draw(count, seed).embeddings)


def test_coordinates_of_the_reference_are_white() -> None:
    steps = made()
    axes = axes_of(steps)
    white = axes.coordinates(steps @ axes.directions.T) / UNIT
    assert np.abs(white.mean(axis=0)).max() < 0.01
    assert np.abs(np.cov(white.T) - np.eye(AXES)).max() < 0.03


def test_the_axes_are_those_of_most_variance() -> None:
    steps = made()
    axes = axes_of(steps)
    centred = steps - steps.mean(axis=0)
    _, singular, vectors = np.linalg.svd(centred.astype(np.float64), full_matrices=False)
    basis, _ = np.linalg.qr(axes.directions.T.astype(np.float64))
    kept = ((centred @ basis) ** 2).sum()
    assert kept > 0.98 * (singular[:AXES] ** 2).sum()
    # the three axes between four clusters stand out, and must be in it
    assert np.linalg.norm(vectors[:3] @ basis, axis=1).min() > 0.99


def test_products_with_the_axes_are_exact() -> None:
    steps = made()
    axes = axes_of(steps)
    exact = steps.astype(np.int64) @ axes.directions.astype(np.int64).T
    assert np.array_equal(steps @ axes.directions.T, exact)


def test_a_row_far_out_is_cut() -> None:
    steps = made()
    axes = axes_of(steps)
    products = (axes.centre + 1e9).astype(np.float32)[None, :]
    assert axes.coordinates(products).tolist() == [[FARTHEST] * AXES]


@pytest.mark.parametrize("hidden", [2, 5])
def test_there_are_no_more_axes_than_dimensions(hidden: int) -> None:
    raw = np.random.default_rng(0).standard_normal((100, hidden))
    unit = (raw / np.linalg.norm(raw, axis=1, keepdims=True)).astype(np.float16)
    axes = axes_of(quantised(unit))
    assert np.isfinite(axes.directions).all()
    assert 0 < (axes.factor > 0).sum() <= hidden


def test_rows_that_are_all_alike_have_no_axes() -> None:
    steps = np.repeat(made(1), 60, axis=0)
    axes = axes_of(steps)
    assert not axes.factor.any()
    assert not axes.coordinates(made(20, 3) @ axes.directions.T).any()
