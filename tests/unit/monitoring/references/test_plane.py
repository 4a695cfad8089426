from dataclasses import replace

import numpy as np
import pytest

from monitoring.references.plane import POINTS_MAX, plane_of
from tests.unit.monitoring.detectors.made_windows import draw, reference_of

ROWS = reference_of(draw(200, 1))


def test_axes_are_orthonormal_and_the_first_tells_most() -> None:
    plane = plane_of(ROWS, seed=0)
    assert plane is not None
    np.testing.assert_allclose(plane.axes.T @ plane.axes, np.eye(2), atol=1e-5)
    spread = plane.points.std(axis=0)
    assert spread[0] > spread[1] > 0
    assert plane.points.mean(axis=0) == pytest.approx([0, 0], abs=0.02)


def test_the_largest_loading_of_an_axis_is_positive() -> None:
    plane = plane_of(ROWS, seed=0)
    assert plane is not None
    largest = plane.axes[np.abs(plane.axes).argmax(axis=0), [0, 1]]
    assert (largest > 0).all()


def test_rows_are_placed_where_the_points_are() -> None:
    assert ROWS.embeddings is not None
    plane = plane_of(ROWS, seed=0)
    assert plane is not None
    assert len(plane.points) == 200
    np.testing.assert_allclose(plane.place(ROWS.embeddings), plane.points, atol=1e-4)
    assert plane.classes.tolist() == ROWS.class_index.tolist()


def test_no_more_points_are_kept_than_are_shown() -> None:
    plane = plane_of(reference_of(draw(POINTS_MAX + 100, 2)), seed=0)
    assert plane is not None
    assert plane.points.shape == (POINTS_MAX, 2)
    assert len(plane.classes) == POINTS_MAX


def test_the_same_rows_and_seed_give_the_same_plane() -> None:
    first, second = (plane_of(reference_of(draw(400, 2)), seed=3) for _ in range(2))
    assert first is not None
    assert second is not None
    assert first.points.tolist() == second.points.tolist()
    assert first.axes.tolist() == second.axes.tolist()


def test_too_few_rows_or_none_with_an_embedding_have_no_plane() -> None:
    assert plane_of(reference_of(draw(2, 1)), seed=0) is None
    assert plane_of(reference_of(draw(50, 1), embedded=False), seed=0) is None


def test_rows_that_are_all_alike_lie_on_a_point() -> None:
    assert ROWS.embeddings is not None
    alike = replace(ROWS, embeddings=np.repeat(ROWS.embeddings[:1], 200, axis=0))
    plane = plane_of(alike, seed=0)
    assert plane is not None
    assert np.isfinite(plane.axes).all()
    assert np.abs(plane.points).max() < 1e-3
