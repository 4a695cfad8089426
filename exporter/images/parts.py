"""Parts that image encoders share: finding layers, attention, feed-forward, what an image costs."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from exporter.banked import Banks
from exporter.packed import split_heads

Activation = Callable[[Tensor], Tensor]

_PATCH = 16  # pixels


def banked(banks: Banks, encoder: nn.Module, path: str) -> nn.Module:
    """Return the layer at `path` inside the encoder, banked where it is a target."""
    layer = encoder.get_submodule(path)
    assert isinstance(layer, nn.Linear | nn.Conv2d), path
    return banks.wrap(path, layer)


def tokens_of(size: tuple[int, int]) -> int:
    """Return what an image costs where the model makes no sequence of it, in tokens.

    One for each 16 x 16 pixels: the networks are built to cost what a vision transformer of that
    patch costs (Swin-T, ConvNeXt-T and ResNet-50 take 4.1 to 4.5 billion multiplications at
    224 x 224 pixels, DeiT-S 4.6), and what they cost grows with the pixels.
    """
    return -(-size[0] // _PATCH) * -(-size[1] // _PATCH)


def attend_all(q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None = None) -> Tensor:
    """Return softmax attention for q, k, v of [rows, heads, tokens, head size], heads merged.

    `bias` is added to the scores, [heads, tokens, tokens] or what broadcasts with rows before.
    """
    rows, heads, tokens, size = q.shape
    scores = torch.matmul(q * size**-0.5, k.transpose(2, 3))
    if bias is not None:
        scores = scores + bias
    mixed = torch.matmul(torch.softmax(scores, dim=-1), v)
    return mixed.transpose(1, 2).reshape(rows, tokens, heads * size)


class Attention(nn.Module):
    """Attention of every token of a row to every other; four linear layers."""

    def __init__(
        self, banks: Banks, encoder: nn.Module, paths: tuple[str, str, str, str], heads: int
    ) -> None:
        """Take the paths of query, key, value and output."""
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value, self.out = (
            banked(banks, encoder, path) for path in paths
        )

    def forward(self, x: Tensor, bias: Tensor | None = None) -> Tensor:
        """Return what the attention adds to x [rows, tokens, hidden]."""
        q, k, v = (split_heads(f(x), self.heads) for f in (self.query, self.key, self.value))
        mixed: Tensor = self.out(attend_all(q, k, v, bias))
        return mixed


class FeedForward(nn.Module):
    """Up, activation, down."""

    def __init__(
        self, banks: Banks, encoder: nn.Module, paths: tuple[str, str], activation: Activation
    ) -> None:
        super().__init__()
        self.up, self.down = (banked(banks, encoder, path) for path in paths)
        self.activation = activation

    def forward(self, x: Tensor) -> Tensor:
        """Return what the feed-forward part adds to x [rows, tokens, hidden]."""
        y: Tensor = self.down(self.activation(self.up(x)))
        return y


class GatedFeedForward(nn.Module):
    """SwiGLU (Shazeer 2020, arXiv 2002.05202): one half of what goes up gates the other."""

    def __init__(self, banks: Banks, encoder: nn.Module, paths: tuple[str, str]) -> None:
        super().__init__()
        self.up, self.down = (banked(banks, encoder, path) for path in paths)

    def forward(self, x: Tensor) -> Tensor:
        """Return what the feed-forward part adds to x [rows, tokens, hidden]."""
        gate, value = self.up(x).chunk(2, dim=-1)
        y: Tensor = self.down(nn.functional.silu(gate) * value)
        return y
