import numpy as np
import pytest

from monitoring.state.parts import taken
from tests.unit.monitoring.sketches.made_rows import numbers_of, part_of, rows_of, sketch_of


@pytest.mark.parametrize(("start", "stop"), [(0, 40), (7, 30), (12, 13)])
def test_taking_neighbours_is_cutting(start: int, stop: int) -> None:
    rows = rows_of(40, seed=3)
    some, _, _ = taken(rows, np.arange(start, stop))
    expected = part_of(rows, start, stop)
    for name in expected.__dataclass_fields__:
        np.testing.assert_array_equal(getattr(some, name), getattr(expected, name))


def test_rows_that_are_taken_apart_make_the_sketch_of_all() -> None:
    rows = rows_of(40, seed=4)
    chosen = np.random.default_rng(0).random(40) < 0.4
    parts = [taken(rows, np.flatnonzero(side))[0] for side in (chosen, ~chosen)]
    whole, both = sketch_of(rows), sketch_of(*parts)
    for name, value in numbers_of(whole).items():
        np.testing.assert_array_equal(numbers_of(both)[name], value)


def test_it_says_which_embeddings_are_theirs() -> None:
    rows = rows_of(40, seed=5)
    chosen = np.array([1, 5, 6, 30])
    some, embedded, based = taken(rows, chosen)
    np.testing.assert_array_equal(rows.embeddings[embedded], some.embeddings)
    np.testing.assert_array_equal(chosen[some.embedded], rows.embedded[embedded])
    np.testing.assert_array_equal(chosen[some.based], rows.based[based])
