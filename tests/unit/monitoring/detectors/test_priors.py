import numpy as np
import numpy.typing as npt
import pytest

from monitoring.detectors.priors import priors
from monitoring.detectors.recalibration import Recalibration, fit

CENTRES = np.array([[0.0, 0.0], [1.6, 0.0], [0.0, 1.6]])


def rows(
    shares: list[float], count: int, seed: int
) -> tuple[npt.NDArray[np.float16], npt.NDArray[np.int64]]:
    """Return answers to inputs that are normal about a class's centre, and the classes."""
    random = np.random.default_rng(seed)
    labels = random.choice(3, count, p=shares)
    inputs = CENTRES[labels] + random.standard_normal((count, 2))
    scores = inputs @ CENTRES.T - 0.5 * np.square(CENTRES).sum(axis=1)
    raised = np.exp(1.7 * scores)  # the true posterior at equal shares, but for the 1.7
    return (raised / raised.sum(axis=1, keepdims=True)).astype(np.float16), labels


def fitted(count: int = 1000, seed: int = 0) -> Recalibration:
    return fit(*rows([1 / 3, 1 / 3, 1 / 3], count, seed), seed=seed)


def test_another_mix_is_found() -> None:
    given, labels = rows([0.7, 0.2, 0.1], 3000, 1)
    found = priors(fitted(5000), given, np.ones(3000), seed=0)
    predicted = np.bincount(given.argmax(axis=1), minlength=3) / 3000
    values = np.array([each.value for each in found])
    truth = np.bincount(labels, minlength=3) / 3000
    assert values.sum() == pytest.approx(1.0)
    assert np.abs(values - truth).max() < 0.04
    assert np.abs(values - truth).sum() < np.abs(predicted - truth).sum() / 2


def test_the_reference_s_own_rows_have_the_reference_s_shares() -> None:
    given, labels = rows([0.5, 0.3, 0.2], 800, 2)
    recalibration = fit(given, labels, seed=0)
    found = priors(recalibration, given, np.ones(800), seed=0)
    np.testing.assert_allclose([each.value for each in found], recalibration.source, atol=1e-6)


def test_intervals_cover() -> None:
    shares = [0.6, 0.3, 0.1]
    covered = []
    for seed in range(120):
        recalibration = fitted(400, seed)
        given, _ = rows(shares, 300, 1000 + seed)
        found = priors(recalibration, given, np.ones(300), seed=seed)
        covered.append(
            [one.lower <= share <= one.upper for one, share in zip(found, shares, strict=True)]
        )
    assert np.mean(covered) >= 0.92


def test_a_small_reference_makes_intervals_wide() -> None:
    given, _ = rows([0.6, 0.3, 0.1], 500, 3)

    def width(count: int) -> float:
        found = priors(fitted(count), given, np.ones(500), seed=0)
        return float(np.mean([one.upper - one.lower for one in found]))

    assert width(100) > 1.2 * width(4000)


def test_a_class_that_is_gone_is_not_known_to_be() -> None:
    given, _ = rows([0.5, 0.5, 0.0], 200, 4)
    found = priors(fitted(3000), given, np.ones(200), seed=0)[2]
    assert found.value < 0.05
    assert found.lower == pytest.approx(0.0, abs=0.02)
    assert found.upper >= 3 / 200


def test_a_row_that_stands_for_three_is_three_rows() -> None:
    given, _ = rows([0.6, 0.3, 0.1], 200, 5)
    weights = np.random.default_rng(0).integers(1, 4, 200)
    weighed = priors(fitted(), given, weights.astype(float), seed=0)
    many = np.repeat(given, weights, axis=0)
    plain = priors(fitted(), many, np.ones(len(many)), seed=0)
    np.testing.assert_allclose(
        [one.value for one in weighed], [one.value for one in plain], atol=1e-5
    )
    assert weighed[0].upper - weighed[0].lower > plain[0].upper - plain[0].lower


def test_the_same_seed_gives_the_same_figures() -> None:
    given, _ = rows([0.6, 0.3, 0.1], 200, 6)
    assert priors(fitted(), given, np.ones(200), seed=1) == priors(
        fitted(), given, np.ones(200), seed=1
    )
