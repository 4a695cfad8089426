import numpy as np
import pytest

from service.events.columns import check_block
from service.events.predictions import select
from service.events.text_figures import figures_of
from tests.fakes.events import block_of


def test_a_tenant_that_keeps_all_gives_the_block_itself() -> None:
    block = block_of(count=3, texts=["a", "b", "c"])
    assert select(block, sample=1.0, embedding=True, text=True, draw=()) is block


def test_embeddings_and_texts_go_where_the_tenant_does_not_want_them() -> None:
    block = block_of(count=2, texts=["a", "b"], base_embeddings=np.ones((2, 4), np.float32))
    kept = select(block, sample=1.0, embedding=False, text=False, draw=())
    assert kept is not None
    assert (kept.embeddings, kept.base_embeddings, kept.texts) == (None, None, None)
    assert kept.ids == block.ids


def test_the_rows_drawn_below_the_share_stay() -> None:
    block = block_of(
        count=4,
        texts=["a", "b", "c", "d"],
        base_embeddings=np.arange(4, dtype=np.float32).reshape(2, 2),
        base_rows=[1, 2],
        audit=[False, True, False, True],
        figures=figures_of(["a", "b", "c", "d"], "acme", bytes(32)),
    )
    kept = select(block, sample=0.5, embedding=True, text=True, draw=[0.9, 0.1, 0.5, 0.49])
    assert kept is not None
    check_block(kept)
    assert kept.sample == 0.5
    assert kept.ids == [block.ids[1], block.ids[3]]
    assert kept.texts == ["b", "d"]
    assert kept.tokens == [6, 8]
    assert kept.audit == [True, True]
    assert kept.figures == figures_of(["b", "d"], "acme", bytes(32))
    assert kept.base_rows == [0]
    assert kept.base_embeddings is not None
    assert kept.base_embeddings.tolist() == [[0.0, 1.0]]
    np.testing.assert_array_equal(kept.probabilities, block.probabilities[[1, 3]])
    np.testing.assert_array_equal(kept.class_index, block.class_index[[1, 3]])


@pytest.mark.parametrize("sample", [0.0, 0.3])
def test_nothing_is_left_where_no_row_is_drawn(sample: float) -> None:
    block = block_of(count=2)
    assert select(block, sample=sample, embedding=True, text=True, draw=[0.3, 0.9]) is None


def test_the_memory_of_a_block_counts_its_arrays_and_texts() -> None:
    bare = block_of(count=2, embeddings=None).bytes
    assert block_of(count=2).bytes == bare + 2 * 8 * 4
    assert block_of(count=2, embeddings=None, texts=["x" * 1000, ""]).bytes >= bare + 1000
    figures = figures_of(["a", "b"], "acme", bytes(32))
    assert block_of(count=2, embeddings=None, figures=figures).bytes > bare
