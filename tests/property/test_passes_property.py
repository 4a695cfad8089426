"""Passes of anything: each is one that may run, and holds whatever is first in order."""

import hypothesis.strategies as st
from hypothesis import example, given

from service.batching.passes import next_pass
from service.engine.packing import Grid, make_grid

GRIDS = (
    make_grid(128, 512, (2, 3, 4)),
    make_grid(160, 512, (2,)),
    make_grid(512, 1024, (2, 4, 8)),
    make_grid(40, 200, (2, 4)),
    make_grid(512, 512, (2, 3, 4)),
)


@st.composite
def waiting(draw: st.DrawFn) -> tuple[list[int], list[int], Grid]:
    grid = draw(st.sampled_from(GRIDS))
    common = st.integers(1, min(24, grid.longest))
    length = st.one_of(common, st.integers(1, grid.longest))
    lengths = draw(st.lists(length, min_size=1, max_size=80))
    return lengths, [draw(st.integers(0, 9)) for _ in lengths], grid


@given(waiting())
@example(([3, 30, *[100] * 5], [0] * 7, GRIDS[0]))
@example(([1, 120, 10, *[119] * 6], [0] * 9, GRIDS[0]))
def test_a_pass_may_run_and_holds_whatever_the_first_half_of_one_would(
    case: tuple[list[int], list[int], Grid],
) -> None:
    lengths, numbers, grid = case
    planned = next_pass(lengths, numbers, grid)
    placed = list(planned.placed)
    assert planned.shape in grid.shapes
    assert len(planned.rows) == planned.shape.rows
    assert len(set(placed)) == len(placed), "a text twice"
    for row in planned.rows:
        assert sum(lengths[i] for i in row) <= planned.shape.tokens, "past the end of a row"
    assert 0 in placed
    half = min(shapes[-1].capacity for shapes in grid.by_row) // 2
    for index in range(1, len(lengths)):
        if sum(lengths[: index + 1]) <= half:
            assert index in placed


@given(waiting())
def test_whatever_waits_runs_once_and_no_later_than_its_turn(
    case: tuple[list[int], list[int], Grid],
) -> None:
    lengths, numbers, grid = case
    left = list(range(len(lengths)))
    passes = 0
    ran: dict[int, int] = {}
    while left:
        planned = next_pass([lengths[i] for i in left], [numbers[i] for i in left], grid)
        now = {left[at] for at in planned.placed}
        passes += 1
        ran.update(dict.fromkeys(now, passes))
        left = [i for i in left if i not in now]
    # A pass without a text took the very first, and all in order that half of it holds.
    half = min(shapes[-1].capacity for shapes in grid.by_row) // 2
    least = max(1, half - max(lengths) + 1)
    for index in range(len(lengths)):
        assert ran[index] <= 1 + min(index, sum(lengths[:index]) // least)
