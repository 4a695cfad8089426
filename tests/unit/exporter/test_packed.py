"""Packed attention and pooling: a text sees itself, and nobody else."""

import math

import pytest
import torch
from torch import Tensor, nn

from exporter.packed import Pooling, attend, same_text, split_heads
from exporter.rotary import angles, rotate

TEXTS = torch.tensor([[0, 0, 0, 1, 1, -1, -1, -1], [2, 2, 2, 2, 2, 2, 2, 2]])
HEADS, SIZE = 2, 4


def random_states(seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    torch.manual_seed(seed)
    q, k, v = torch.randn(3, *TEXTS.shape, HEADS * SIZE).unbind(0)
    return split_heads(q, HEADS), split_heads(k, HEADS), split_heads(v, HEADS)


def members(text: int) -> tuple[int, Tensor]:
    """Return the row of a text, and its places there."""
    row, places = torch.eq(TEXTS, text).nonzero(as_tuple=True)
    return int(row[0]), places


@pytest.mark.parametrize("text", [0, 1, 2])
def test_attention_over_a_packed_row_is_that_of_the_text_alone(text: int) -> None:
    q, k, v = random_states()
    packed = attend(q, k, v, same_text(TEXTS))
    row, places = members(text)
    own_q, own_k, own_v = (x[row : row + 1, :, places] for x in (q, k, v))
    alone = nn.functional.scaled_dot_product_attention(own_q, own_k, own_v)
    expected = alone.transpose(1, 2).reshape(len(places), HEADS * SIZE)
    assert torch.allclose(packed[row, places], expected, atol=1e-6)


def test_scores_of_any_size_do_not_make_a_text_look_elsewhere() -> None:
    """A query that abhors its own text has no other to turn to."""
    q, k, v = random_states()
    for factor in (1e3, 1e9, 1e15):
        averse = attend(factor * k, -factor * k, v, same_text(TEXTS))
        v_changed = v.clone()
        row, places = members(1)
        v_changed[row, :, places] += 100.0
        again = attend(factor * k, -factor * k, v_changed, same_text(TEXTS))
        _, mine = members(0)
        assert torch.isfinite(averse).all()
        assert torch.equal(averse[row, mine], again[row, mine])
    assert q.shape == k.shape


def test_a_row_of_nothing_but_padding_stays_finite() -> None:
    q, k, v = random_states()
    nobody = torch.full_like(TEXTS, -1)
    assert torch.isfinite(attend(q, k, v, same_text(nobody))).all()


@pytest.mark.parametrize("kind", ["first", "mean"])
def test_pooling_gives_each_text_its_first_token_or_its_mean(kind: str) -> None:
    torch.manual_seed(1)
    hidden = torch.randn(*TEXTS.shape, 5)
    pooled, mean = Pooling(kind)(hidden, TEXTS, torch.tensor([0, 3, 8]))
    for text in range(3):
        row, places = members(text)
        own = hidden[row, places]
        assert torch.allclose(mean[text], own.mean(0), atol=1e-6)
        expected = own[0] if kind == "first" else own.mean(0)
        assert torch.allclose(pooled[text], expected, atol=1e-6)


@pytest.mark.parametrize("value", [float("inf"), float("-inf"), float("nan")])
def test_a_broken_token_makes_its_own_text_nan_and_no_other(value: float) -> None:
    torch.manual_seed(1)
    hidden = torch.randn(*TEXTS.shape, 5)
    clean = Pooling("mean")(hidden, TEXTS, torch.tensor([0, 3, 8]))[1]
    hidden[0, 4, 2] = value  # of text 1
    hidden[0, 7, 0] = value  # of padding
    mean = Pooling("mean")(hidden, TEXTS, torch.tensor([0, 3, 8]))[1]
    assert torch.isnan(mean[1, 2])
    assert torch.equal(mean[[0, 2]], clean[[0, 2]])


def test_entries_of_first_beyond_the_texts_do_no_harm() -> None:
    hidden = torch.randn(*TEXTS.shape, 5)
    first = torch.tensor([0, 3, 8, 0, 0])
    pooled, mean = Pooling("mean")(hidden, TEXTS, first)
    assert pooled.shape == mean.shape == (5, 5)
    assert torch.isfinite(mean).all()


def test_rotary_heads_turn_each_pair_of_numbers_by_an_angle_of_its_own() -> None:
    """Su et al., arXiv 2104.09864: the pair (i, i + size / 2) is a complex number."""
    q, _, _ = random_states()
    base, half = 1234.0, SIZE // 2
    positions = torch.tensor([[0, 1, 2, 0, 1, 0, 0, 0], [0, 1, 2, 3, 4, 5, 6, 7]])
    turned = rotate(q, *angles(positions, SIZE, base))
    for row in range(2):
        for token in range(8):
            for i in range(half):
                angle = float(positions[row, token]) * base ** (-2 * i / SIZE)
                for head in range(HEADS):
                    x = q[row, head, token]
                    pair = complex(x[i], x[i + half]) * complex(math.cos(angle), math.sin(angle))
                    y = turned[row, head, token]
                    assert y[i] == pytest.approx(pair.real, abs=1e-5)
                    assert y[i + half] == pytest.approx(pair.imag, abs=1e-5)
