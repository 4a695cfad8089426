"""Windows: where they lie, and what becomes of their states."""

import numpy as np
import pytest

from service.engine.windows import Windows, cut, pooled_over


@pytest.mark.parametrize(
    ("length", "overlap", "most", "spans", "left_out"),
    [
        (1, 0, 8, [(0, 1)], 0),
        (10, 4, 8, [(0, 10)], 0),
        (11, 4, 8, [(0, 10), (6, 11)], 0),
        (16, 4, 8, [(0, 10), (6, 16)], 0),
        (17, 4, 8, [(0, 10), (6, 16), (12, 17)], 0),
        (17, 4, 2, [(0, 10), (6, 16)], 1),
        (21, 0, 8, [(0, 10), (10, 20), (20, 21)], 0),
        (12, 9, 8, [(0, 10), (1, 11), (2, 12)], 0),
    ],
)
def test_windows_begin_at_equal_steps_and_the_last_holds_the_rest(
    length: int, overlap: int, most: int, spans: list[tuple[int, int]], left_out: int
) -> None:
    found = cut(length, 10, Windows(overlap, most))
    assert list(found.spans) == spans
    assert found.left_out == left_out


def test_an_overlap_as_large_as_a_window_would_never_end() -> None:
    with pytest.raises(AssertionError):
        cut(100, 10, Windows(10, 8))


STATES = np.array([[1.0, 4.0], [4.0, 16.0]], dtype=np.float32)


def test_a_mean_counts_every_token_once() -> None:
    pooled = pooled_over(STATES, [2, 1], "mean")
    assert pooled.dtype == np.float32
    assert pooled == pytest.approx([2.0, 8.0])


def test_first_tokens_count_the_same_however_long_their_windows_are() -> None:
    for pooled in (pooled_over(STATES, [2, 1], "first"), pooled_over(STATES, [2, 1], "own")):
        assert pooled.dtype == np.float32
        assert pooled == pytest.approx([2.5, 10.0])


def test_windows_of_equal_states_have_that_state() -> None:
    same = np.full((3, 4), 7.0, dtype=np.float32)
    assert (pooled_over(same, [5, 5, 1], "first") == 7.0).all()
    assert pooled_over(same, [5, 5, 1], "mean") == pytest.approx(np.full(4, 7.0))


def test_what_is_not_finite_stays_so() -> None:
    states = STATES.copy()
    states[0, 0] = np.inf
    for pooled in (pooled_over(states, [2, 1], "first"), pooled_over(states, [2, 1], "mean")):
        assert not np.isfinite(pooled).all()
