"""Banked layers: one matrix for everybody, and each token's or image's own low-rank delta.

A forward pass holds rows of packed texts. Its tokens are cut into `blocks` of equal length, and
for each block the host lists the bank rows (rank-1 pairs of A and B) of the adapters that occur
in it, so adapters of any ranks share a pass without padding:

    h = x @ A[columns].T                    [blocks, tokens, K]
    h = where(column belongs to the token's adapter, h, 0)
    y = linear(x) + h @ B[columns]

The mask selects and does not multiply: a neighbour's inf must not become NaN here. A pass of
images has no mask: an image is a block of its own, and the columns that it does not need are bank
row 0, which is zero.
"""

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from exporter.errors import UnsupportedModel

# What an adapter's rank is taken for where two ways to compute the same must be weighed.
_USUAL_RANK = 8


@dataclass(slots=True)
class LoraPass:
    """What one forward pass brings: the banks, and which token may use which of their rows."""

    columns: Tensor | None = None  # [blocks, K] int64, rows of the banks
    allowed: Tensor | None = None  # [blocks, tokens, K] bool; None: all
    a: list[Tensor] = field(default_factory=list)  # per target [bank rows, in]
    b: list[Tensor] = field(default_factory=list)  # per target [bank rows, out]

    def begin(self, adapters: Tensor, columns: Tensor, owners: Tensor, banks: list[Tensor]) -> None:
        """Take the inputs of a pass of texts.

        adapters: [rows, tokens] int64, the number in this batch of the token's adapter, -1 none.
        columns: [blocks, K] int64; owners: [blocks, K] int64, the adapter number that each column
        belongs to, -2 for padding. banks: A and B of every target, alternating.
        """
        by_block = adapters.reshape(columns.shape[0], -1)
        self.columns = columns
        self.allowed = by_block.unsqueeze(-1) == owners.unsqueeze(1)
        self.a, self.b = banks[0::2], banks[1::2]

    def begin_images(self, columns: Tensor, banks: list[Tensor]) -> None:
        """Take the inputs of a pass of images.

        columns: [images, K] int64, row 0 for padding. banks: A and B of every target, alternating.
        """
        self.columns = columns
        self.allowed = None
        self.a, self.b = banks[0::2], banks[1::2]

    def rows(self, index: int) -> tuple[Tensor, Tensor]:
        """Return a target's A [blocks, K, in] and B [blocks, K, out] of this pass."""
        assert self.columns is not None
        blocks, width = self.columns.shape
        picked = self.columns.reshape(-1)
        a, b = (
            bank[index].index_select(0, picked).reshape(blocks, width, bank[index].shape[1])
            for bank in (self.a, self.b)
        )
        return a, b


class BankedLinear(nn.Module):
    """A linear layer that LoRA may change; without banks it is the plain layer."""

    def __init__(self, linear: nn.Linear, lora: LoraPass, index: int) -> None:
        super().__init__()
        self.linear = linear
        self.lora = lora
        self.index = index

    def forward(self, x: Tensor) -> Tensor:
        """Return [..., out] for x [..., in], whose leading size is a multiple of the blocks."""
        y: Tensor = self.linear(x)
        if self.lora.columns is None:
            return y
        a, b = self.lora.rows(self.index)
        h = torch.matmul(x.reshape(a.shape[0], -1, x.shape[-1]), a.transpose(1, 2))
        if self.lora.allowed is not None:
            h = torch.where(self.lora.allowed, h, torch.zeros((), dtype=h.dtype))
        return y + torch.matmul(h, b).reshape(y.shape)


class BankedConvolution(nn.Module):
    """A convolution that LoRA may change; without banks it is the plain layer.

    As `peft` has it: A is a convolution of the same kernel, stride and padding with r channels,
    its rows flattened to [r, in * kernel height * kernel width], and B one of 1 x 1.
    """

    def __init__(self, convolution: nn.Conv2d, lora: LoraPass, index: int) -> None:
        super().__init__()
        self.convolution = convolution
        self.lora = lora
        self.index = index

    def forward(self, x: Tensor, norm: nn.BatchNorm2d | None = None) -> Tensor:
        """Return [images, out, height, width] for x [images, in, height, width].

        `norm` is the batch norm that follows. It is done before the delta is added, which it only
        scales: so it stays beside the convolution, into which providers fold it.
        """
        y: Tensor = self.convolution(x)
        if norm is not None:
            y = norm(y)
        if self.lora.columns is None:
            return y
        a, b = self.lora.rows(self.index)
        if norm is not None:
            b = b * _gain(norm)
        height, width = int(y.shape[2]), int(y.shape[3])
        h = self._projected(x, a, height, width)
        return y + torch.matmul(b.transpose(1, 2), h).reshape(y.shape)

    def _projected(self, x: Tensor, a: Tensor, height: int, width: int) -> Tensor:
        """Return A's convolution of x, [images, K, height * width], for a [images, K, in * k]."""
        images, (tall, wide) = a.shape[0], self.convolution.kernel_size
        channels, rows, columns = (int(size) for size in x.shape[1:])
        (down, right), padding = self.convolution.stride, self.convolution.padding
        assert not isinstance(padding, str), "takes_lora refuses it"
        if tall == wide == 1 and not any(padding):
            seen = x[:, :, ::down, ::right] if max(down, right) > 1 else x
            return torch.matmul(a, seen.reshape(images, channels, -1))
        frame = (padding[1], padding[1], padding[0], padding[0])
        # Either every output gathers its window and projects it, which multiplies the channels by
        # the places of the kernel, or every input is projected for each place, and the outputs add
        # up what they see. What is smaller in memory is the faster.
        if channels * height * width <= _USUAL_RANK * rows * columns:
            seen = nn.functional.pad(x, frame)
            seen = torch.stack([_every(seen, 2, i, height, down) for i in range(tall)], dim=2)
            seen = torch.stack([_every(seen, 4, j, width, right) for j in range(wide)], dim=3)
            return torch.matmul(a, seen.reshape(images, channels * tall * wide, -1))
        by_place = a.reshape(images, -1, channels, tall * wide).permute(0, 3, 1, 2)
        z = torch.matmul(by_place.reshape(images, -1, channels), x.reshape(images, channels, -1))
        z = nn.functional.pad(z.reshape(images, -1, rows, columns), frame)
        z = z.reshape(images, tall, -1, *z.shape[2:])
        z = _added([_every(part, 2, i, height, down) for i, part in enumerate(z.unbind(1))])
        z = z.reshape(images, wide, -1, *z.shape[2:])
        z = _added([_every(part, 3, j, width, right) for j, part in enumerate(z.unbind(1))])
        return z.reshape(images, -1, height * width)


def _gain(norm: nn.BatchNorm2d) -> Tensor:
    """Return [channels], what a batch norm with its running statistics multiplies by."""
    assert norm.running_var is not None
    gain = torch.rsqrt(norm.running_var + norm.eps)
    return gain * norm.weight if norm.affine else gain


def _every(x: Tensor, dim: int, first: int, count: int, step: int) -> Tensor:
    """Return `count` entries along a dimension, from the first one on, `step` apart."""
    last = first + (count - 1) * step + 1
    taken: Tensor = torch.ops.aten.slice(x, dim, first, last, step)  # one node, not one a dimension
    return taken


def _added(parts: list[Tensor]) -> Tensor:
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    return total


Layer = nn.Linear | nn.Conv2d


class Banks:
    """Wraps the targeted layers of one encoder, in order, around one shared `LoraPass`."""

    def __init__(self, targets: frozenset[str]) -> None:
        self.lora = LoraPass()
        self._wanted = targets
        self.names: list[str] = []
        self.layers: list[Layer] = []

    def wrap(self, name: str, layer: Layer) -> nn.Module:
        """Return `layer`, banked where `name` (its path inside the encoder) is a target.

        Raises `UnsupportedModel` for a convolution that LoRA cannot change here.
        """
        if name not in self._wanted:
            return layer
        self.names.append(name)
        self.layers.append(layer)
        if isinstance(layer, nn.Linear):
            return BankedLinear(layer, self.lora, len(self.names) - 1)
        if not takes_lora(layer):
            raise UnsupportedModel(
                f"{name} is a convolution that LoRA cannot change here: groups={layer.groups},"
                f" dilation={layer.dilation}, padding={layer.padding!r} in"
                f" {layer.padding_mode!r}; leave it out of --targets"
            )
        return BankedConvolution(layer, self.lora, len(self.names) - 1)


def takes_lora(convolution: nn.Conv2d) -> bool:
    """Say whether the delta of a convolution is one product more.

    In a grouped one `peft` lets B mix within the groups only, and in a dilated one A is not
    dilated.
    """
    return (
        convolution.groups == 1
        and convolution.dilation == (1, 1)
        and not isinstance(convolution.padding, str)
        and convolution.padding_mode == "zeros"
    )
