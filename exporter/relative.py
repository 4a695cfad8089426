"""Relative positions in packed rows.

The distance of two tokens of one text is that of their places in the row, whoever else is there;
pairs from different texts are masked. So distances need no input and are the same for every row:
2 * tokens - 1 of them, from the farthest before to the farthest behind.
"""

import math

import torch
from torch import Tensor, nn


def distances(tokens: int, longest: int) -> Tensor:
    """Return [2 * tokens - 1] int64: -(tokens - 1) to tokens - 1, plus `longest` - 1.

    These are places in a table of the distances -(longest - 1) to longest - 1. In rows beyond the
    longest text the outer ones belong to no pair of one text, and are cut off.
    """
    places = torch.arange(2 * tokens - 1) - (tokens - 1)
    # Not torch.clamp, nor a maximum and a minimum, which the exporter makes one of: TensorRT has no
    # Clip for whole numbers.
    most = longest - 1
    near = torch.where(places < -most, -most, places)
    return torch.where(near > most, most, near) + most


def skewed(x: Tensor) -> Tensor:
    """Return [..., tokens, tokens] with y[i, j] = x[i, j - i + tokens - 1].

    x [rows, heads, tokens, 2 * tokens - 1] has a column for each distance; reading it as rows one
    shorter moves each line by one against the line before (Huang et al. 2018, arXiv 1809.04281).
    """
    rows, heads, tokens, _ = x.shape
    flat = x.reshape(rows, heads, tokens * (2 * tokens - 1))
    inner = flat[..., tokens - 1 : tokens - 1 + tokens * (2 * tokens - 2)]
    return inner.reshape(rows, heads, tokens, 2 * tokens - 2)[..., :tokens]


def log_buckets(between: Tensor, buckets: int, longest: int) -> Tensor:
    """Return DeBERTa's bucket of each distance: itself up to half of them, then logarithmic.

    He et al. 2021, arXiv 2006.03654; in float32, since where a bucket ends is a matter of rounding.
    """
    half = buckets // 2
    size = torch.where(between.abs() < half, half - 1, between.abs())
    steps = torch.log(size / half) / torch.log(torch.tensor((longest - 1) / half)) * (half - 1)
    far = (torch.ceil(steps) + half) * torch.sign(between)
    return torch.where(size <= half, between, far.to(torch.int64))


def t5_buckets(between: Tensor, buckets: int = 32, longest: int = 128) -> Tensor:
    """Return MPNet's bucket of each distance, key less query: T5's, for both directions.

    Raffel et al. 2020, arXiv 1910.10683. MPNet has 32 buckets up to 128 tokens, whatever its
    config says.
    """
    side = buckets // 2
    exact = side // 2
    size = between.abs()
    steps = torch.log(size.float() / exact) / math.log(longest / exact) * (side - exact)
    far = torch.clamp(exact + steps.to(torch.int64), max=side - 1)
    return torch.where(between > 0, side, 0) + torch.where(size < exact, size, far)


class RelativeBias(nn.Module):
    """A learned number for each head and bucket of distances, added to the scores (MPNet, T5)."""

    table: Tensor  # [heads, 2 * longest - 1], by distance

    def __init__(self, weight: Tensor, longest: int) -> None:
        """Take `weight` [buckets, heads] for texts of at most `longest` tokens."""
        super().__init__()
        self.longest = longest
        between = torch.arange(1 - longest, longest)
        table = weight.detach().index_select(0, t5_buckets(between)).transpose(0, 1)
        self.register_buffer("table", table.contiguous())

    def forward(self, tokens: int) -> Tensor:
        """Return [heads, tokens, tokens] for rows of so many tokens."""
        heads = self.table.shape[0]
        line = self.table.index_select(1, distances(tokens, self.longest))
        lines = line.reshape(1, heads, 1, -1).expand(1, heads, tokens, 2 * tokens - 1)
        return skewed(lines)[0]
