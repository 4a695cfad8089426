import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitoring.detectors.heading import Heading, exceeding, quantiles


def rows(count: int, seed: int = 0) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    return np.random.default_rng(seed).integers(-900, 900, (count, 5)).astype(np.float32)


def test_at_first_there_is_no_heading() -> None:
    heading = Heading.begin(5, 2)
    assert not heading.is_known
    assert not heading.turned(8, 100.0).any()
    assert not heading.is_known


def test_the_direction_is_that_of_the_rows_less_the_centre() -> None:
    heading = Heading.begin(5, 2)
    heading.saw(rows(4))
    centre = np.full(5, 10, dtype=np.float32)
    direction = heading.turned(8, 1000.0, centre)
    expected = (rows(4) - 10).sum(axis=0)
    assert direction == pytest.approx(1000 * expected / np.linalg.norm(expected), abs=0.51)
    assert heading.is_known


def test_it_is_the_same_however_a_block_was_split() -> None:
    whole, parts = Heading.begin(5, 2), Heading.begin(5, 2)
    for block in range(3):
        every = rows(16, block)
        whole.saw(every)
        for part in np.split(every, [1, 2, 9]):
            parts.saw(part)
        assert np.array_equal(whole.turned(8, 900.0), parts.turned(8, 900.0))


def test_older_rows_fade() -> None:
    heading = Heading.begin(2, 1)
    heading.saw(np.array([[100, 0]] * 8, dtype=np.float32))
    heading.turned(4, 1000.0)
    heading.saw(np.array([[0, 100]] * 8, dtype=np.float32))
    along, across = heading.turned(4, 1000.0)
    assert along / across == pytest.approx(0.75**8, abs=0.002)


@given(
    st.lists(st.integers(-50, 50), min_size=2, max_size=60),
    st.lists(st.floats(0.01, 0.9), min_size=1, max_size=3, unique=True).map(sorted),
)
def test_no_more_of_the_reference_than_stated_lies_beyond_a_quantile(
    along: list[int], levels: list[float]
) -> None:
    levels = [level for level in levels if exceeding(level, len(along)) < len(along)]
    places = quantiles(np.array(along, dtype=np.float32), levels)
    heading = Heading.begin(1, len(levels))
    heading.quantiles = places
    shown = heading.beyond(np.array(along, dtype=np.float32))
    for number, level in enumerate(levels):
        assert (shown >= len(levels) - number).sum() <= exceeding(level, len(along))
