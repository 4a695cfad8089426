import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitoring.detectors import null
from monitoring.detectors.null import DRAWS, ROWS_MIN, Null, drawn, sizes_of
from monitoring.sketches.directions import Fixed
from tests.unit.monitoring.detectors.made_windows import draw, map_of

SCALE = 8192 * np.sqrt(512)


def features_of(count: int, seed: int = 0) -> Fixed:
    embeddings = draw(count, seed).embeddings
    return map_of(embeddings).fixed(embeddings)


@given(rows=st.integers(50, 50_000))
def test_sizes_reach_from_50_to_a_quarter_by_at_most_doubling(rows: int) -> None:
    sizes = sizes_of(rows)
    assert sizes[-1] == rows // 4
    assert sizes[0] == min(ROWS_MIN, rows // 4)
    assert (np.diff(sizes) > 0).all()
    assert (sizes[1:] <= 2.03 * sizes[:-1]).all()


def test_a_draw_is_the_distance_of_some_rows_from_all_others() -> None:
    features = features_of(60)
    found = drawn(features, SCALE, seed=3)
    assert found.sizes.tolist() == [15]
    bits = np.random.PCG64(3).random_raw(DRAWS * 60).reshape(DRAWS, 60)
    expected = []
    for one in bits:
        rows = features[np.argsort(one)] / SCALE
        kernel = rows @ rows.T
        np.fill_diagonal(kernel, 0)
        within = kernel[:15, :15].sum() / (15 * 14) + kernel[15:, 15:].sum() / (45 * 44)
        distance = within - 2 * kernel[:15, 15:].mean()
        expected.append(distance / (1 / 15 + 1 / 45))
    assert found.draws[0] == pytest.approx(np.sort(expected), abs=1e-3 * np.std(expected))


def test_the_same_seed_draws_the_same_to_the_bit_whatever_the_chunks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    features = features_of(300)
    first = drawn(features, SCALE, seed=5)
    monkeypatch.setattr(null, "_CHUNK", 77)
    monkeypatch.setattr(null, "_BLOCK", 31)
    assert drawn(features, SCALE, seed=5).draws.tobytes() == first.draws.tobytes()
    assert drawn(features, SCALE, seed=6).draws.tobytes() != first.draws.tobytes()


def made() -> Null:
    ascending = np.linspace(0, 1, DRAWS)
    return Null(np.array([50, 200]), np.stack([ascending, 2 * ascending]))


def test_p_is_never_0_and_1_when_every_draw_is_as_large() -> None:
    assert made().pvalue(50, 99.0) == 1 / (DRAWS + 1)
    assert made().pvalue(50, -1.0) == 1.0


def test_p_counts_draws_that_are_equal() -> None:
    assert made().pvalue(50, 1.0) == 2 / (DRAWS + 1)


def test_between_two_sizes_p_is_between_theirs() -> None:
    assert made().pvalue(200, 0.9) > made().pvalue(100, 0.9) > made().pvalue(50, 0.9)
    middle = (made().pvalue(50, 0.9) + made().pvalue(200, 0.9)) / 2
    assert made().pvalue(100, 0.9) == pytest.approx(middle)  # 100 is halfway in the logarithm


def test_quantiles_beyond_the_largest_size_are_its_own() -> None:
    assert made().quantile(9999, 0.5) == made().quantile(200, 0.5) == pytest.approx(1.0)
    assert made().quantile(50, 0.5) == pytest.approx(0.5)
