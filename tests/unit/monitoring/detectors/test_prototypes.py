import numpy as np

from monitoring.detectors.prototypes import (
    GRID,
    PROTOTYPES_MAX,
    cross_fitted_nearness,
    nearness,
    on_grid,
    prototypes_of,
    shuffled,
)
from monitoring.sketches.directions import quantised
from tests.unit.monitoring.detectors.made_windows import draw


def test_each_cluster_has_a_prototype_near_it() -> None:
    steps = quantised(draw(400, 0).embeddings)
    prototypes = prototypes_of(steps, 0)
    for own in range(4):
        mean = steps[draw(400, 0).truth == own].mean(axis=0, keepdims=True)
        centre = on_grid(mean)
        assert (prototypes @ centre[0]).max() > 0.9 * GRID * GRID


def test_there_are_few_prototypes_whatever_the_rows() -> None:
    assert len(prototypes_of(quantised(draw(60, 1).embeddings), 0)) == 15
    assert len(prototypes_of(quantised(draw(3000, 1).embeddings), 0)) == PROTOTYPES_MAX


def test_products_are_exact_whole_numbers() -> None:
    steps = quantised(draw(300, 2).embeddings)
    prototypes = prototypes_of(steps, 0)
    exact = steps.astype(np.int64) @ prototypes.astype(np.int64).T
    assert np.array_equal(nearness(steps, prototypes), exact.max(axis=1))


def test_the_same_rows_and_seed_give_the_same_prototypes() -> None:
    steps = quantised(draw(500, 3).embeddings)
    assert np.array_equal(prototypes_of(steps, 5), prototypes_of(steps, 5))
    assert not np.array_equal(prototypes_of(steps, 5), prototypes_of(steps, 6))


def test_foreign_rows_are_farther_than_nearly_all_of_the_references() -> None:
    steps = quantised(draw(500, 4).embeddings)
    foreign = quantised(draw(200, 5, foreign=1.0).embeddings)
    own = cross_fitted_nearness(steps, 0)
    assert nearness(foreign, prototypes_of(steps, 0)).max() < np.quantile(own, 0.05)


def test_rows_are_farther_from_prototypes_made_without_them() -> None:
    steps = quantised(draw(300, 6).embeddings)
    fresh = nearness(quantised(draw(2000, 7).embeddings), prototypes_of(steps, 0))
    held_out = cross_fitted_nearness(steps, 0)
    assert nearness(steps, prototypes_of(steps, 0)).mean() > held_out.mean()
    assert fresh.mean() >= held_out.mean() - 3 * held_out.std() / np.sqrt(300)


def test_rows_that_are_all_alike_have_prototypes_too() -> None:
    steps = np.repeat(quantised(draw(1, 8).embeddings), 80, axis=0)
    prototypes = prototypes_of(steps, 0)
    assert np.isfinite(prototypes).all()
    assert len(np.unique(prototypes, axis=0)) == 1


def test_a_row_of_zeros_stays_one() -> None:
    assert not on_grid(np.zeros((2, 3))).any()


def test_an_order_holds_each_number_once() -> None:
    assert sorted(shuffled(100, 3).tolist()) == list(range(100))
    assert shuffled(100, 3).tolist() != shuffled(100, 4).tolist()
