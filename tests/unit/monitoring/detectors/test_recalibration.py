import numpy as np
import numpy.typing as npt
import pytest

from monitoring import codec
from monitoring.detectors.recalibration import Recalibration, fit
from service import measures

Floats = npt.NDArray[np.float64]


def answers(
    rows: int, seed: int, *, temperature: float = 1.0, biases: tuple[float, ...] = (0, 0, 0)
) -> tuple[npt.NDArray[np.float16], npt.NDArray[np.int64]]:
    """Return probabilities, and labels of softmax(log(p) / T + b)."""
    random = np.random.default_rng(seed)
    logits = 2 * random.standard_normal((rows, len(biases)))
    truth = np.exp(logits / temperature + np.array(biases))
    truth /= truth.sum(axis=1, keepdims=True)
    labels = (truth.cumsum(axis=1) < random.random((rows, 1))).sum(axis=1)
    shown = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return shown.astype(np.float16), labels


def test_temperature_and_biases_are_found_again() -> None:
    found = fit(*answers(20_000, 0, temperature=2.0, biases=(1.0, 0.0, -0.5)), seed=0)
    assert found.scale == pytest.approx(0.5, abs=0.03)
    np.testing.assert_allclose(found.biases - found.biases[1], [1.0, 0.0, -0.5], atol=0.08)


def test_the_fit_is_the_best_of_its_neighbours() -> None:
    probabilities, labels = answers(400, 1, temperature=0.7, biases=(0.3, -0.3, 0.0))
    found = fit(probabilities, labels, seed=0)

    def loss(scale: float, biases: Floats) -> float:
        raised = np.exp(scale * np.log(probabilities.astype(np.float64)) + biases)
        given = raised / raised.sum(axis=1, keepdims=True)
        ridge = 0.25 * (np.square(biases).sum() + (scale - 1) ** 2)
        return measures.log_loss(given, labels) * len(labels) + float(ridge)

    best = loss(found.scale, found.biases)
    for column in range(3):
        for step in (-0.02, 0.02):
            moved = found.biases.copy()
            moved[column] += step
            assert loss(found.scale, moved) > best
    assert loss(found.scale + 0.02, found.biases) > best
    assert loss(found.scale - 0.02, found.biases) > best


def test_mean_recalibrated_probabilities_are_the_shares_of_the_labels() -> None:
    probabilities, labels = answers(5000, 2, biases=(1.0, 0.0, 0.0))
    found = fit(probabilities, labels, seed=0)
    np.testing.assert_allclose(found.source, np.bincount(labels) / 5000, atol=1e-3)
    likelihoods = found.likelihoods(probabilities)
    np.testing.assert_allclose((likelihoods * found.source).sum(axis=1), 1.0)
    np.testing.assert_allclose(likelihoods.mean(axis=0), 1.0)


def test_classes_without_a_label_are_left_out() -> None:
    probabilities, labels = answers(600, 3)
    kept = labels != 1
    found = fit(probabilities[kept], labels[kept], seed=0)
    np.testing.assert_array_equal(found.classes, [0, 2])
    assert found.likelihoods(probabilities).shape == (600, 2)


def test_probabilities_that_were_rounded_to_0_and_1_stay_finite() -> None:
    certain = np.eye(3, dtype=np.float16)[np.arange(60) % 3]
    found = fit(certain, np.arange(60) % 3, seed=0)
    assert np.isfinite(found.likelihoods(certain)).all()
    assert np.isfinite(found.likelihoods_drawn(certain)).all()
    wrong = fit(certain, (np.arange(60) // 20), seed=0)
    assert np.isfinite(wrong.likelihoods(certain)).all()


def test_draws_vary_as_fits_of_other_references_do() -> None:
    found = [fit(*answers(300, seed, temperature=1.5), seed=seed) for seed in range(60)]
    scales = np.std([each.scale for each in found])
    drawn = np.mean([each.scales_drawn.std(ddof=1) for each in found])
    assert drawn == pytest.approx(scales, rel=0.35)
    apart = np.std([each.biases[0] - each.biases[1] for each in found])
    drawn_apart = np.mean(
        [(each.biases_drawn[:, 0] - each.biases_drawn[:, 1]).std(ddof=1) for each in found]
    )
    assert drawn_apart == pytest.approx(apart, rel=0.35)


def test_the_same_seed_gives_the_same_bits_and_bytes_keep_them() -> None:
    given = answers(200, 4)
    first, second = fit(*given, seed=5), fit(*given, seed=5)
    assert codec.encode(first) == codec.encode(second)
    assert codec.encode(codec.decode(codec.encode(first), Recalibration)) == codec.encode(first)
    other = fit(*given, seed=6)
    assert not np.array_equal(other.scales_drawn, first.scales_drawn)


def test_nothing_is_fitted_to_no_rows() -> None:
    with pytest.raises(ValueError, match="no rows"):
        fit(np.empty((0, 3), dtype=np.float16), np.empty(0, dtype=np.int64), seed=0)
