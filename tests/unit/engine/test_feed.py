"""The arrays of a pass, against loops and by example."""

import numpy as np
import pytest

from service.engine.feed import NO_ADAPTER, PADDING, Layout, Lease, make_feed
from service.engine.packing import Plan, Shape
from service.engine.tokens import Tokens

PLAN = Plan(Shape(2, 8), ((1, 0), (2,)))
TEXTS = [
    Tokens([11, 12, 13], None, False, 0),
    Tokens([21, 22], [0, 1], False, 0),
    Tokens([31, 32, 33, 34], None, False, 0),
]
LEASES = [Lease(4, 2), Lease(8, 3)]
ADAPTERS = [0, 1, NO_ADAPTER]


def test_a_feed_says_of_every_token_whose_it_is() -> None:
    feed = make_feed(PLAN, TEXTS, ADAPTERS, LEASES, 0, Layout(block_tokens=8, column_step=4))
    assert feed.ids.tolist() == [[21, 22, 11, 12, 13, 0, 0, 0], [31, 32, 33, 34, 0, 0, 0, 0]]
    assert feed.texts.tolist() == [[0, 0, 1, 1, 1, -1, -1, -1], [2, 2, 2, 2, -1, -1, -1, -1]]
    assert feed.positions.tolist() == [[0, 1, 0, 1, 2, 0, 0, 0], [0, 1, 2, 3, 0, 0, 0, 0]]
    assert feed.adapters.tolist() == [[1, 1, 0, 0, 0, -1, -1, -1], [-1] * 8]
    assert feed.token_types.tolist() == [[0, 1, 0, 0, 0, 0, 0, 0], [0] * 8]
    assert feed.first.tolist() == [0, 2, 8]
    assert feed.tokens == 9


def test_a_block_lists_the_bank_rows_of_the_adapters_in_it() -> None:
    feed = make_feed(PLAN, TEXTS, ADAPTERS, LEASES, 0, Layout(block_tokens=8, column_step=4))
    assert feed.columns.tolist() == [[8, 9, 10, 4, 5, 0, 0, 0], [0] * 8]
    assert feed.owners.tolist() == [[1, 1, 1, 0, 0, *[PADDING] * 3], [PADDING] * 8]


def test_a_text_that_crosses_blocks_has_its_columns_in_both() -> None:
    plan = Plan(Shape(1, 8), ((0, 1),))
    texts = [Tokens([1] * 3, None, False, 0), Tokens([2] * 4, None, False, 0)]
    feed = make_feed(plan, texts, [0, 1], LEASES, 0, Layout(block_tokens=4, column_step=1))
    assert feed.columns.tolist() == [[4, 5, 8, 9, 10], [8, 9, 10, 0, 0]]


def test_positions_begin_where_the_family_begins_them() -> None:
    feed = make_feed(PLAN, TEXTS, ADAPTERS, LEASES, 2, Layout())
    assert feed.positions[0].tolist() == [2, 3, 2, 3, 4, 2, 2, 2]


def test_an_adapter_without_lora_takes_no_columns() -> None:
    feed = make_feed(PLAN, TEXTS, [0, 0, 0], [Lease(4, 0)], 0, Layout(8, 4))
    assert (feed.owners == PADDING).all()
    assert not feed.columns.any()


def test_in_a_static_layout_the_capacity_says_how_long_first_is() -> None:
    feed = make_feed(PLAN, TEXTS, ADAPTERS, LEASES, 0, Layout(static=True))
    assert len(feed.first) == 4  # 8 tokens hold 2 texts of 4 tokens, and here are 3
    assert feed.first[3:].tolist() == [0]
    assert {Layout(static=True).texts(n, 512) for n in range(1, 129)} == {128}
    assert Layout(static=True).texts(129, 512) == 256
    assert Layout().texts(129, 512) == 129


@pytest.mark.parametrize(
    ("layout", "needed", "columns"),
    [
        (Layout(column_step=8), 0, 8),
        (Layout(column_step=8), 8, 8),
        (Layout(column_step=8), 17, 24),
        (Layout(column_step=32, static=True), 1, 32),
        (Layout(column_step=32, static=True), 65, 128),
        (Layout(column_step=32, static=True), 129, 256),
    ],
)
def test_columns_are_rounded_as_the_layout_says(layout: Layout, needed: int, columns: int) -> None:
    assert layout.columns(needed) == columns


def test_blocks_divide_a_shape_that_is_no_multiple_of_them() -> None:
    plan = Plan(Shape(1, 160), ((0,),))
    feed = make_feed(plan, [Tokens([1] * 160, None, False, 0)], [1], LEASES, 0, Layout(64, 8))
    assert len(feed.columns) == 4
    assert [Layout(64).block(size) for size in (16, 64, 160, 512)] == [16, 64, 40, 64]


def test_every_array_is_what_the_graph_takes() -> None:
    feed = make_feed(PLAN, TEXTS, ADAPTERS, LEASES, 0, Layout())
    for array in (feed.ids, feed.positions, feed.texts, feed.token_types, feed.adapters):
        assert array.dtype == np.int64
        assert array.flags.c_contiguous
    for array in (feed.first, feed.columns, feed.owners):
        assert array.dtype == np.int64
