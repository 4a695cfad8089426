"""Windows of any text: every token is in one, in order, overlapping exactly, and no more."""

import itertools

import hypothesis.strategies as st
import numpy as np
from hypothesis import assume, given

from service.engine.windows import Windows, cut, pooled_over

lengths = st.integers(1, 5000)
rooms = st.integers(1, 600)


@given(lengths, rooms, st.integers(0, 300), st.integers(1, 64))
def test_windows_cover_a_text_from_its_beginning(
    length: int, room: int, overlap: int, most: int
) -> None:
    assume(overlap < room)
    found = cut(length, room, Windows(overlap, most))
    spans = found.spans
    assert 1 <= len(spans) <= most
    assert spans[0][0] == 0
    held = {token for begin, end in spans for token in range(begin, end)}
    assert held == set(range(length - found.left_out))
    assert (found.left_out == 0) or len(spans) == most
    for begin, end in spans[:-1]:
        assert end - begin == room
    assert 0 < spans[-1][1] - spans[-1][0] <= room
    for (_, end), (begin, _) in itertools.pairwise(spans):
        assert end - begin == overlap
    for (_, before), (_, after) in itertools.pairwise(spans):
        assert after > before, "each brings something new"


@given(lengths, rooms, st.integers(0, 300))
def test_more_windows_only_add_to_those_that_there_are(
    length: int, room: int, overlap: int
) -> None:
    assume(overlap < room)
    few, many = (cut(length, room, Windows(overlap, most)) for most in (2, 64))
    assert many.spans[: len(few.spans)] == few.spans
    assert many.left_out <= few.left_out


@given(lengths, st.integers(1, 64))
def test_without_overlap_each_token_is_in_one_window(length: int, room: int) -> None:
    found = cut(length, room, Windows(0, 10_000))
    assert sum(end - begin for begin, end in found.spans) == length


@given(st.lists(st.integers(1, 512), min_size=2, max_size=16), st.integers(0, 1000))
def test_the_mean_over_windows_is_the_mean_over_their_tokens(counts: list[int], seed: int) -> None:
    drawn = np.random.default_rng(seed)
    tokens = [drawn.normal(size=(count, 3)).astype(np.float32) for count in counts]
    means = np.stack([each.mean(axis=0) for each in tokens])
    found = pooled_over(means, counts, "mean")
    np.testing.assert_allclose(found, np.concatenate(tokens).mean(axis=0), atol=1e-5)
