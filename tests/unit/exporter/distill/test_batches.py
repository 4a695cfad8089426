import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from exporter.distill.batches import Encoded, epoch_batches, sorted_batches, steps_of

CPU = torch.device("cpu")


@given(
    st.lists(st.integers(1, 40), min_size=1, max_size=300),
    st.integers(1, 17),
    st.integers(0, 3),
    st.integers(0, 3),
)
def test_an_epoch_has_each_text_once_and_is_the_same_again(
    lengths: list[int], size: int, seed: int, epoch: int
) -> None:
    array = np.array(lengths, dtype=np.int64)
    batches = epoch_batches(array, size, seed, epoch)
    assert len(batches) == steps_of(len(lengths), size)
    assert all(1 <= len(batch) <= size for batch in batches)
    assert sorted(np.concatenate(batches).tolist()) == list(range(len(lengths)))
    again = epoch_batches(array, size, seed, epoch)
    assert all(np.array_equal(a, b) for a, b in zip(batches, again, strict=True))


def test_epochs_and_seeds_differ() -> None:
    lengths = np.arange(1, 101)
    first = [batch.tolist() for batch in epoch_batches(lengths, 10, 0, 0)]
    assert first != [batch.tolist() for batch in epoch_batches(lengths, 10, 0, 1)]
    assert first != [batch.tolist() for batch in epoch_batches(lengths, 10, 1, 0)]


def test_little_is_padded() -> None:
    lengths = np.random.default_rng(0).integers(4, 60, 2000)
    batches = epoch_batches(lengths, 32, 0, 0)
    padded = sum(len(batch) * int(lengths[batch].max()) for batch in batches)
    assert lengths.sum() / padded > 0.9


@given(st.lists(st.integers(1, 50), min_size=1, max_size=100), st.integers(1, 200))
def test_sorted_batches_keep_their_bound_and_hold_every_text(
    lengths: list[int], tokens: int
) -> None:
    array = np.array(lengths, dtype=np.int64)
    batches = sorted_batches(array, tokens)
    assert sorted(np.concatenate(batches).tolist()) == list(range(len(lengths)))
    for batch in batches:
        assert len(batch) == 1 or len(batch) * int(array[batch].max()) <= tokens


def test_a_batch_is_padded_to_its_longest_and_says_where() -> None:
    ids = np.array([5, 6, 7, 8, 9, 10], dtype=np.int32)
    texts = Encoded(ids, np.array([0, 1, 4, 6]), padding=3)
    taken = texts.batch(np.array([2, 0]), CPU)
    assert taken["input_ids"].tolist() == [[9, 10], [5, 3]]
    assert taken["attention_mask"].tolist() == [[1, 1], [1, 0]]
    assert len(texts) == 3
    with pytest.raises(IndexError):
        texts.batch(np.array([3]), CPU)
