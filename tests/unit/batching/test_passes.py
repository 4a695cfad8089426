"""Passes: what stands first in order is in the pass, however it packs."""

import pytest

from service.batching.passes import next_pass
from service.engine.packing import make_grid, plan

GRID = make_grid(512, 512, (2, 3, 4))


def test_a_short_text_that_is_second_is_not_left_out_for_long_ones_behind_it() -> None:
    lengths = [3, 30, 100, 100, 100, 100, 100]
    assert 1 not in set(plan(lengths, [0] * 7, GRID, 1).placed)
    planned = next_pass(lengths, [0] * 7, GRID)
    assert {0, 1} <= set(planned.placed)
    assert sum(lengths[i] for i in planned.placed) >= 333


def test_a_text_that_needs_longer_rows_brings_them_when_its_turn_is_near() -> None:
    lengths = [16, 200, *[16] * 60]
    planned = next_pass(lengths, [0] * len(lengths), GRID)
    assert {0, 1} <= set(planned.placed)
    assert planned.shape.tokens == 256
    assert sum(lengths[i] for i in planned.placed) > 490


def test_one_that_fills_the_pass_waits_until_it_is_first() -> None:
    lengths = [16, 500, *[16] * 60]
    assert 1 not in set(next_pass(lengths, [0] * len(lengths), GRID).placed)
    assert next_pass([500, 16], [0, 1], GRID).shape.tokens == 512


@pytest.mark.parametrize("lengths", [[5], [128], [129], [512], [3, 3], [128] * 9])
def test_otherwise_the_plan_is_the_planners_own(lengths: list[int]) -> None:
    numbers = list(range(len(lengths)))
    assert next_pass(lengths, numbers, GRID) == plan(lengths, numbers, GRID, len(lengths))
