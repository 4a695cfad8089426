"""Planning passes: shapes, best fit, and who is always served."""

import pytest

from service.engine.packing import Grid, Shape, make_grid, plan

GRID = make_grid(128, 512, (2, 4))


def names(grid: Grid) -> list[list[str]]:
    return [[str(shape) for shape in shapes] for shapes in grid.by_row]


def test_a_grid_has_short_single_rows_and_then_several_rows_of_128() -> None:
    assert names(GRID) == [["1x16", "1x32", "1x64", "1x128", "2x128", "4x128"]]


def test_longer_texts_get_rows_of_their_own_up_to_the_limit() -> None:
    assert names(make_grid(512, 1024, (4,))) == [
        ["1x16", "1x32", "1x64", "1x128", "4x128"],
        ["1x256", "4x256"],
        ["1x512", "2x512"],
    ]


def test_the_longest_row_is_the_limit_itself_and_not_the_next_power_of_two() -> None:
    grid = make_grid(160, 512, (2,))
    assert names(grid) == [["1x16", "1x32", "1x64", "1x128", "2x128"], ["1x160", "3x160"]]
    assert grid.longest == 160


def test_a_row_longer_than_the_budget_still_has_its_shape() -> None:
    assert names(make_grid(1024, 512, ()))[-1] == ["1x1024"]


def test_a_limit_below_the_shortest_row_gives_one_shape() -> None:
    assert names(make_grid(8, 512, (2,))) == [["1x8", "2x8"]]


def test_row_counts_beyond_the_budget_are_left_out() -> None:
    assert Shape(8, 128) not in make_grid(128, 512, (2, 8)).shapes


def test_a_text_longer_than_every_row_is_our_own_bug() -> None:
    with pytest.raises(AssertionError, match="129 tokens"):
        GRID.row_class(129)


@pytest.mark.parametrize(
    ("lengths", "shape"),
    [
        ([5], "1x16"),
        ([16], "1x16"),
        ([17], "1x32"),
        ([10, 10], "1x32"),
        ([100, 29], "2x128"),
        ([128] * 3, "4x128"),
        ([3] * 400, "4x128"),
    ],
)
def test_a_pass_has_the_smallest_shape_that_holds_what_waits(
    lengths: list[int], shape: str
) -> None:
    assert str(plan(lengths, [0] * len(lengths), GRID, 8).shape) == shape


def test_a_shape_with_room_enough_in_all_but_in_no_row_is_passed_over() -> None:
    # 3 * 85 = 255 tokens would go into 2x128, but two of 85 do not share a row
    assert str(plan([85, 85, 85], [0, 0, 0], GRID, 8).shape) == "4x128"


def test_a_text_lies_in_the_fullest_row_that_has_room_for_it() -> None:
    planned = plan([100, 60, 28, 68], [0] * 4, GRID, 8)
    assert str(planned.shape) == "2x128"
    assert sorted(map(sorted, planned.rows)) == [[0, 2], [1, 3]]


def test_the_oldest_text_is_served_however_badly_it_fits() -> None:
    lengths = [65, *[128] * 50]
    for oldest in range(3):
        turned = lengths[-oldest:] + lengths[:-oldest] if oldest else lengths
        assert 0 in set(plan(turned, [0] * len(turned), GRID, 8).placed)


def test_the_oldest_text_decides_how_long_rows_are() -> None:
    grid = make_grid(512, 1024, (2,))
    assert plan([300, 5, 5], [0] * 3, grid, 8).shape.tokens == 512
    waiting = plan([5, 300, 5], [0] * 3, grid, 8)
    assert waiting.shape.tokens == 16
    assert set(waiting.placed) == {0, 2}


def test_short_texts_fill_the_rows_of_a_long_one() -> None:
    planned = plan([500, 12, 100, 13], [0] * 4, make_grid(512, 512, ()), 8)
    assert str(planned.shape) == "1x512"
    assert set(planned.placed) == {0, 1}


def test_no_more_adapters_take_part_than_there_are_slots() -> None:
    planned = plan([8] * 6, [0, 1, 2, 0, 3, 1], GRID, 2)
    assert set(planned.placed) == {0, 1, 3, 5}


def test_a_text_of_no_tokens_is_our_own_bug_because_it_would_read_its_neighbour() -> None:
    with pytest.raises(AssertionError, match="another's first token"):
        plan([5, 0], [0, 1], GRID, 2)


def test_texts_of_one_adapter_lie_side_by_side() -> None:
    planned = plan([8] * 6, [1, 0, 1, 0, 1, 0], GRID, 8)
    assert planned.rows == ((1, 3, 5, 0, 2, 4),)


def test_texts_behind_those_that_fill_a_pass_may_fill_its_gaps() -> None:
    lengths = [100] * 5 + [28]
    placed = set(plan(lengths, [0] * 6, GRID, 8).placed)
    assert placed == {0, 1, 2, 3, 5}
