import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.neighbors import NearestCentroid

from service.gate.centroids import NO_CLASS, nearest_centroids
from service.gate.rows import Indices


def clouds(rows: int, apart: float, seed: int = 0) -> tuple[NDArray[np.float64], Indices]:
    random = np.random.default_rng(seed)
    correct = random.integers(0, 3, rows)
    middles = apart * np.eye(3, 6)
    return random.standard_normal((rows, 6)) + middles[correct], correct


def test_classes_that_lie_apart_are_told_apart() -> None:
    embeddings, correct = clouds(300, 8.0)
    assert (nearest_centroids(embeddings, correct) == correct).mean() > 0.98


def test_labels_that_have_nothing_to_do_with_the_text_are_guessed() -> None:
    embeddings, _ = clouds(3000, 0.0)
    correct = np.random.default_rng(1).integers(0, 3, 3000)
    share = float((nearest_centroids(embeddings, correct) == correct).mean())
    assert share == pytest.approx(1 / 3, abs=0.04)


def test_a_row_never_votes_for_itself() -> None:
    # Each row is alone in its direction: only its own vote could ever tell its class.
    embeddings = np.eye(200)
    correct = np.arange(200) % 2
    assert (nearest_centroids(embeddings, correct) == correct).mean() < 0.7


def test_each_fold_is_judged_by_the_centroids_of_the_others() -> None:
    embeddings, correct = clouds(60, 2.0)
    units = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
    left_out = np.array(
        [
            NearestCentroid()
            .fit(np.delete(units, row, axis=0), np.delete(correct, row))
            .predict(units[row : row + 1])[0]
            for row in range(60)
        ]
    )
    found = nearest_centroids(embeddings, correct, folds=60)
    assert (found == left_out).mean() > 0.9


def test_the_length_of_an_embedding_does_not_matter() -> None:
    embeddings, correct = clouds(90, 2.0)
    scales = np.random.default_rng(2).uniform(0.1, 10.0, (90, 1))
    np.testing.assert_array_equal(
        nearest_centroids(embeddings, correct), nearest_centroids(scales * embeddings, correct)
    )


def test_a_class_of_one_row_is_not_judged() -> None:
    embeddings, correct = clouds(30, 3.0)
    correct[0] = 7
    found = nearest_centroids(embeddings, correct)
    assert found[0] == NO_CLASS
    assert set(found[1:].tolist()) <= {0, 1, 2}


def test_two_rows_of_each_class_are_enough() -> None:
    embeddings = np.array([[1.0, 0.0], [0.9, 0.1], [0.0, 1.0], [0.1, 0.9]])
    correct = np.array([0, 0, 1, 1])
    np.testing.assert_array_equal(nearest_centroids(embeddings, correct), correct)


@pytest.mark.parametrize("correct", [[0, 0, 0], [0, 1, 2], [0, 0, 1], []])
def test_without_two_classes_of_two_rows_there_is_nothing_to_compare(correct: list[int]) -> None:
    embeddings = np.ones((len(correct), 2))
    found = nearest_centroids(embeddings, np.array(correct, dtype=np.int64))
    assert (found == NO_CLASS).all()


def test_an_embedding_of_zeros_is_no_error() -> None:
    embeddings, correct = clouds(20, 3.0)
    embeddings[3] = 0.0
    assert np.isin(nearest_centroids(embeddings, correct), [0, 1, 2]).all()
