"""Packed encoders: several texts share a row, and no text sees another.

Every family is one of two shapes, post-norm (BERT and its kin) or pre-norm with rotary positions
(ModernBERT). The weights are the checkpoint's own modules; only the wiring is ours, so that the
attention can select by text instead of adding a mask, and every tensor keeps a static shape.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from exporter.banked import Banks

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


def attend(q: Tensor, k: Tensor, v: Tensor, visible: Tensor) -> Tensor:
    """Return softmax attention for q, k, v of [rows, heads, tokens, head size], heads merged."""
    rows, heads, tokens, size = q.shape
    scores = torch.matmul(q * size**-0.5, k.transpose(2, 3))
    scores = torch.where(visible, scores, torch.full((), _MASKED, dtype=scores.dtype))
    mixed = torch.matmul(torch.softmax(scores, dim=-1), v)
    return mixed.transpose(1, 2).reshape(rows, tokens, heads * size)


def split_heads(x: Tensor, heads: int) -> Tensor:
    """Return [rows, heads, tokens, head size] for [rows, tokens, hidden]."""
    rows, tokens, hidden = x.shape
    return x.reshape(rows, tokens, heads, hidden // heads).transpose(1, 2)


@dataclass(frozen=True, slots=True)
class PostNormParts:
    """The checkpoint's modules for one post-norm layer, and the paths that `peft` gives them."""

    query: tuple[str, nn.Linear]
    key: tuple[str, nn.Linear]
    value: tuple[str, nn.Linear]
    out: tuple[str, nn.Linear]
    up: tuple[str, nn.Linear]
    down: tuple[str, nn.Linear]
    attention_norm: nn.Module
    output_norm: nn.Module


def named_linears(
    prefix: str, layer: nn.Module, paths: tuple[str, ...]
) -> dict[str, tuple[str, nn.Linear]]:
    """Return a layer's linear modules under the names of `PostNormParts`, in that order."""
    names = ("query", "key", "value", "out", "up", "down")
    found = {}
    for name, path in zip(names, paths, strict=True):
        linear = layer.get_submodule(path)
        assert isinstance(linear, nn.Linear), path
        found[name] = (f"{prefix}.{path}", linear)
    return found


class PostNormLayer(nn.Module):
    """Attention, add, norm; feed-forward, add, norm (Devlin et al. 2019, arXiv 1810.04805)."""

    def __init__(
        self,
        parts: PostNormParts,
        banks: Banks,
        heads: int,
        activation: Callable[[Tensor], Tensor],
    ) -> None:
        super().__init__()
        self.heads = heads
        self.activation = activation
        self.query = banks.wrap(*parts.query)
        self.key = banks.wrap(*parts.key)
        self.value = banks.wrap(*parts.value)
        self.out = banks.wrap(*parts.out)
        self.up = banks.wrap(*parts.up)
        self.down = banks.wrap(*parts.down)
        self.attention_norm = parts.attention_norm
        self.output_norm = parts.output_norm

    def forward(self, x: Tensor, visible: Tensor) -> Tensor:
        """Return the next hidden states [rows, tokens, hidden]."""
        q, k, v = (split_heads(f(x), self.heads) for f in (self.query, self.key, self.value))
        x = self.attention_norm(x + self.out(attend(q, k, v, visible)))
        normed: Tensor = self.output_norm(x + self.down(self.activation(self.up(x))))
        return normed


class PostNormEncoder(nn.Module):
    """Word, position and (where the family has them) token-type embeddings, then the layers."""

    def __init__(
        self,
        words: nn.Embedding,
        positions: nn.Embedding,
        token_types: nn.Embedding | None,
        takes_token_types: bool,
        norm: nn.Module,
        layers: list[PostNormLayer],
    ) -> None:
        super().__init__()
        self.words = words
        self.positions = positions
        self.token_types = token_types
        self.takes_token_types = takes_token_types
        self.norm = norm
        self.layers = nn.ModuleList(layers)

    def forward(self, inputs: Inputs) -> Tensor:
        """Return the last hidden states [rows, tokens, hidden]."""
        x: Tensor = self.words(inputs.ids) + self.positions(inputs.positions)
        if self.token_types is not None:
            if self.takes_token_types:
                assert inputs.token_types is not None
                x = x + self.token_types(inputs.token_types)
            else:
                x = x + self.token_types.weight[0]
        x = self.norm(x)
        visible = same_text(inputs.texts)
        for layer in self.layers:
            x = layer(x, visible)
        return x


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
