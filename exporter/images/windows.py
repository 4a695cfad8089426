"""Hierarchical transformers whose attention looks into windows (Liu et al. 2021, arXiv 2103.14030).

`transformers` computes paddings, windows and masks from the sizes of the tensors that come, which
cannot be traced with a number of images that varies. Here the size of an image is fixed, so they
are plain numbers and constants.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from exporter.banked import Banks
from exporter.images.parts import banked
from exporter.packed import split_heads


@dataclass(frozen=True, slots=True)
class Windows:
    """How a stage's places are cut: (height, width) in places, side and shift of a window."""

    size: tuple[int, int]
    side: int
    shift: int

    @property
    def padded(self) -> tuple[int, int]:
        """Return (height, width) rounded up to whole windows."""
        tall, wide = (-(-length // self.side) * self.side for length in self.size)
        return tall, wide

    @property
    def count(self) -> int:
        """Return how many windows there are."""
        return (self.padded[0] // self.side) * (self.padded[1] // self.side)

    def cut(self, x: Tensor) -> Tensor:
        """Return [images * windows, places of a window, hidden] for [images, places, hidden]."""
        (tall, wide), side, hidden = self.padded, self.side, int(x.shape[-1])
        x = x.reshape(-1, *self.size, hidden)
        if self.padded != self.size:
            x = nn.functional.pad(x, (0, 0, 0, wide - self.size[1], 0, tall - self.size[0]))
        if self.shift:
            x = torch.roll(x, shifts=(-self.shift, -self.shift), dims=(1, 2))
        x = x.reshape(-1, tall // side, side, wide // side, side, hidden)
        return x.permute(0, 1, 3, 2, 4, 5).reshape(-1, side * side, hidden)

    def join(self, x: Tensor) -> Tensor:
        """Return [images, places, hidden] for [images * windows, places of a window, hidden]."""
        (tall, wide), side, hidden = self.padded, self.side, int(x.shape[-1])
        x = x.reshape(-1, tall // side, wide // side, side, side, hidden)
        x = x.permute(0, 1, 3, 2, 4, 5).reshape(-1, tall, wide, hidden)
        if self.shift:
            x = torch.roll(x, shifts=(self.shift, self.shift), dims=(1, 2))
        return x[:, : self.size[0], : self.size[1]].reshape(-1, self.size[0] * self.size[1], hidden)


class WindowAttention(nn.Module):
    """Attention inside of each window, with a bias for each pair of places."""

    def __init__(
        self,
        banks: Banks,
        encoder: nn.Module,
        paths: tuple[str, str, str, str],
        heads: int,
        bias: Tensor,
    ) -> None:
        """Take the paths of query, key, value and output; bias [windows or 1, heads, n, n]."""
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value, self.out = (
            banked(banks, encoder, path) for path in paths
        )
        self.register_buffer("bias", bias.detach().clone(), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return what the attention adds to x [images * windows, places, hidden]."""
        bias = self.get_buffer("bias")
        places, hidden = int(x.shape[1]), int(x.shape[2])
        q, k, v = (split_heads(f(x), self.heads) for f in (self.query, self.key, self.value))
        scores = torch.matmul(q * (hidden // self.heads) ** -0.5, k.transpose(2, 3))
        scores = scores.reshape(-1, *bias.shape) + bias
        scores = scores.reshape(-1, self.heads, places, places)
        mixed = torch.matmul(torch.softmax(scores, dim=-1), v)
        y: Tensor = self.out(mixed.transpose(1, 2).reshape(-1, places, hidden))
        return y


class WindowLayer(nn.Module):
    """Norm, attention in windows, add; norm, feed-forward, add."""

    def __init__(
        self,
        windows: Windows,
        attention_norm: nn.Module,
        attention: WindowAttention,
        output_norm: nn.Module,
        feed_forward: nn.Module,
    ) -> None:
        super().__init__()
        self.windows = windows
        self.attention_norm = attention_norm
        self.attention = attention
        self.output_norm = output_norm
        self.feed_forward = feed_forward

    def forward(self, x: Tensor) -> Tensor:
        """Return the next hidden states [images, places, hidden]."""
        windows = self.windows
        x = x + windows.join(self.attention(windows.cut(self.attention_norm(x))))
        y: Tensor = x + self.feed_forward(self.output_norm(x))
        return y


class Merging(nn.Module):
    """Between stages: four neighbours become one place, twice as wide."""

    def __init__(self, size: tuple[int, int], norm: nn.Module, reduction: nn.Module) -> None:
        super().__init__()
        self.size = size
        self.norm = norm
        self.reduction = reduction

    def forward(self, x: Tensor) -> Tensor:
        """Return [images, places / 4, 2 * hidden] for x [images, places, hidden]."""
        (tall, wide), hidden = self.size, int(x.shape[-1])
        x = x.reshape(-1, tall, wide, hidden)
        if tall % 2 or wide % 2:
            x = nn.functional.pad(x, (0, 0, 0, wide % 2, 0, tall % 2))
        four = [x[:, i::2, j::2] for j in (0, 1) for i in (0, 1)]
        merged = torch.cat(four, dim=-1)
        places = ((tall + 1) // 2) * ((wide + 1) // 2)
        y: Tensor = self.reduction(self.norm(merged.reshape(-1, places, 4 * hidden)))
        return y


class WindowTransformer(nn.Module):
    """Patches, norm, stages of layers with a merging behind all but the last, norm, mean."""

    def __init__(
        self,
        projection: nn.Conv2d,
        padding: tuple[int, int],
        patch_norm: nn.Module,
        steps: Sequence[nn.Module],
        norm: nn.Module,
    ) -> None:
        """Take `padding`, the pixels that images lack to whole patches below and to the right."""
        super().__init__()
        self.projection = projection
        self.padding = padding
        self.patch_norm = patch_norm
        self.steps = nn.ModuleList(steps)
        self.norm = norm

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Return (pooled, embedding), which are the same: the mean over all places."""
        if any(self.padding):
            pixels = nn.functional.pad(pixels, (0, self.padding[1], 0, self.padding[0]))
        x = self.patch_norm(self.projection(pixels).flatten(2).transpose(1, 2))
        for step in self.steps:
            x = step(x)
        mean = self.norm(x).mean(dim=1)
        return mean, mean.clone()
