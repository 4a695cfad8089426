"""Planning on anything that may wait: nothing lost, nothing twice, well filled, in linear work."""

import sys
from collections.abc import Sequence
from types import FrameType
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

from service.engine import packing
from service.engine.packing import Grid, Plan, Shape, make_grid, plan

GRIDS = (
    make_grid(128, 512, (2, 3, 4)),
    make_grid(160, 512, (2,)),
    make_grid(512, 1024, (2, 4, 8)),
    make_grid(40, 200, (2, 4)),
)


@st.composite
def waiting(draw: st.DrawFn) -> tuple[list[int], list[int], Grid, int]:
    grid = draw(st.sampled_from(GRIDS))
    common = st.integers(1, min(24, grid.longest))
    length = st.one_of(common, common, st.integers(1, grid.longest))
    lengths = draw(st.lists(length, min_size=1, max_size=120))
    adapters = [draw(st.integers(0, 9)) for _ in lengths]
    return lengths, adapters, grid, draw(st.integers(1, 12))


@given(waiting())
def test_a_plan_is_one_that_may_run(case: tuple[list[int], list[int], Grid, int]) -> None:
    lengths, adapters, grid, adapters_max = case
    planned = plan(lengths, adapters, grid, adapters_max)
    placed = list(planned.placed)
    assert planned.shape in grid.shapes
    assert len(planned.rows) == planned.shape.rows
    assert len(set(placed)) == len(placed), "a text twice"
    assert all(0 <= index < len(lengths) for index in placed)
    assert 0 in placed, "the oldest text waits again"
    for row in planned.rows:
        assert sum(lengths[i] for i in row) <= planned.shape.tokens, "past the end of a row"
    assert len({adapters[i] for i in placed}) <= adapters_max


@given(waiting())
def test_whatever_waits_is_answered_once_by_pass_after_pass(
    case: tuple[list[int], list[int], Grid, int],
) -> None:
    lengths, adapters, grid, adapters_max = case
    left = list(range(len(lengths)))
    answered: list[int] = []
    while left:
        oldest = left[0]
        planned = plan([lengths[i] for i in left], [adapters[i] for i in left], grid, adapters_max)
        now = {left[i] for i in planned.placed}
        assert oldest in now
        answered += now
        left = [i for i in left if i not in now]
    assert sorted(answered) == list(range(len(lengths)))


@given(waiting())
def test_no_smaller_shape_would_have_held_the_same_texts(
    case: tuple[list[int], list[int], Grid, int],
) -> None:
    lengths, adapters, grid, adapters_max = case
    planned = plan(lengths, adapters, grid, adapters_max)
    used = sum(lengths[i] for i in planned.placed)
    smaller = [s for s in grid.row_class(lengths[0]) if s.capacity < planned.shape.capacity]
    for shape in smaller:
        if shape.tokens < max(lengths[i] for i in planned.placed) or shape.capacity < used:
            continue
        # It has the room in all, so only its rows can have been in the way.
        again = plan(lengths, adapters, Grid(((shape,),)), adapters_max)
        assert len(list(again.placed)) < len(list(planned.placed))


def first_fit(lengths: Sequence[int], shape: Shape) -> float:
    """Return the fill of the plainest packing: each text into the first row with room."""
    room = [shape.tokens] * shape.rows
    for length in lengths:
        row = next((i for i, left in enumerate(room) if left >= length), None)
        if row is not None:
            room[row] -= length
    return 1 - sum(room) / shape.capacity


def fill(planned: Plan, lengths: Sequence[int]) -> float:
    return sum(lengths[i] for i in planned.placed) / planned.shape.capacity


@pytest.mark.parametrize("kind", ["short texts", "even lengths", "a few long ones"])
def test_rows_are_filled_at_least_as_well_as_by_first_fit(kind: str) -> None:
    random = np.random.default_rng(5)
    ours, plain = [], []
    for _ in range(200):
        if kind == "short texts":
            lengths = np.clip(random.lognormal(2.7, 0.5, 60), 4, 128)
        elif kind == "even lengths":
            lengths = random.integers(1, 129, 60)
        else:
            long = random.integers(60, 129, 60)
            lengths = np.where(random.random(60) < 0.2, long, random.integers(4, 14, 60))
        waits = [int(length) for length in lengths]
        planned = plan(waits, [0] * 60, GRIDS[0], 1)
        if planned.shape == Shape(4, 128):
            ours.append(fill(planned, waits))
            plain.append(first_fit(waits, planned.shape))
    assert len(ours) > 150
    assert np.mean(ours) >= np.mean(plain)
    assert np.mean(ours) > 0.95


def lines_executed(lengths: Sequence[int], adapters: Sequence[int], grid: Grid) -> int:
    """Return how many lines of the planner one plan runs."""
    count = 0

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal count
        if frame.f_code.co_filename != packing.__file__:
            return None
        count += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        plan(lengths, adapters, grid, 1_000)
    finally:
        sys.settrace(before)
    return count


@pytest.mark.parametrize("length", [1, 7, 15])
def test_work_grows_in_step_with_the_texts(length: int) -> None:
    grid = make_grid(512, 64_000, (2, 4, 8, 16, 32, 64, 128, 256, 500))
    random = np.random.default_rng(3)

    def work(count: int) -> int:
        lengths = [int(n) for n in random.integers(1, 2 * length + 1, count)]
        return lines_executed(lengths, [i % 50 for i in range(count)], grid)

    few, many = work(500), work(4_000)
    assert many < 8 * few * 1.25


def test_texts_far_behind_a_full_pass_cost_nothing() -> None:
    near = lines_executed([10] * 1_000, [0] * 1_000, GRIDS[0])
    assert lines_executed([10] * 20_000, [0] * 20_000, GRIDS[0]) == near
