"""Packing: several texts share a row, and no text sees another.

What every packed encoder is built of: its inputs, attention that selects by text instead of adding
a mask, and pooling that gives each text a row of its own.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

# Not merely a large negative number: an adapter of large weights could bring all scores of its own
# text below that, and would then read its neighbours. Nobody's row is masked altogether, since
# every token sees itself, padding among padding.
_MASKED = float("-inf")

# Finite in bfloat16 too, where the largest float32 would be rounded to inf.
_LARGEST = 1e38


@dataclass(frozen=True, slots=True)
class Inputs:
    """The packed rows of one forward pass; every tensor is [rows, tokens] int64."""

    ids: Tensor
    positions: Tensor
    texts: Tensor  # the number of the text in this batch, -1 for padding
    token_types: Tensor | None


def same_text(texts: Tensor) -> Tensor:
    """Return [rows, 1, tokens, tokens] bool: may the first token see the second?"""
    return (texts.unsqueeze(2) == texts.unsqueeze(1)).unsqueeze(1)


def mix(scores: Tensor, v: Tensor, visible: Tensor) -> Tensor:
    """Return [rows, tokens, hidden]: values mixed by the softmax of scores, heads merged.

    scores [rows, heads, tokens, tokens], v [rows, heads, tokens, head size].
    """
    rows, heads, tokens, size = v.shape
    scores = torch.where(visible, scores, torch.full((), _MASKED, dtype=scores.dtype))
    mixed = torch.matmul(torch.softmax(scores, dim=-1), v)
    return mixed.transpose(1, 2).reshape(rows, tokens, heads * size)


def attend(q: Tensor, k: Tensor, v: Tensor, visible: Tensor, bias: Tensor | None = None) -> Tensor:
    """Return softmax attention for q, k, v of [rows, heads, tokens, head size], heads merged.

    `bias` [heads, tokens, tokens] is added to the scores.
    """
    scores = torch.matmul(q * q.shape[-1] ** -0.5, k.transpose(2, 3))
    return mix(scores if bias is None else scores + bias, v, visible)


def split_heads(x: Tensor, heads: int) -> Tensor:
    """Return [rows, heads, tokens, head size] for [rows, tokens, hidden]."""
    rows, tokens, hidden = x.shape
    return x.reshape(rows, tokens, heads, hidden // heads).transpose(1, 2)


class Pooling(nn.Module):
    """From hidden states to one row per text: the head's input and the mean-pooled embedding.

    The first token is gathered. The mean is a product with the one-hot of `texts`, so non-finite
    tokens are taken out first and their own text's mean is made NaN: no text can hurt another.
    """

    def __init__(self, pooling: str) -> None:
        super().__init__()
        assert pooling in ("first", "mean")
        self.pooling = pooling

    def forward(self, hidden: Tensor, texts: Tensor, first: Tensor) -> tuple[Tensor, Tensor]:
        """Return (head input, embedding), each [texts, hidden].

        hidden [rows, tokens, hidden]; texts [rows, tokens]; first [texts] int64, the flat index
        of each text's first token.
        """
        flat = hidden.reshape(-1, hidden.shape[-1])
        finite = torch.abs(flat) <= _LARGEST  # False for inf and for NaN
        zero = torch.zeros((), dtype=flat.dtype)
        clean = torch.where(finite, flat, zero)
        numbers = torch.arange(first.shape[0]).unsqueeze(1)
        member = (texts.reshape(1, -1) == numbers).to(flat.dtype)
        size = torch.clamp(member.sum(dim=1, keepdim=True), min=1.0)
        mean = torch.matmul(member, clean) / size
        lost = torch.where(finite, zero, torch.ones((), dtype=flat.dtype))
        poisoned = torch.matmul(member, lost) > 0
        mean = torch.where(poisoned, torch.full((), float("nan"), dtype=flat.dtype), mean)
        pooled = mean if self.pooling == "mean" else flat.index_select(0, first)
        return pooled, mean
