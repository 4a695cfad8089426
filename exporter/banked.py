"""The banked linear layer: one matrix for everybody, and each token's own low-rank delta.

A forward pass holds rows of packed texts. Its tokens are cut into `blocks` of equal length, and
for each block the host lists the bank rows (rank-1 pairs of A and B) of the adapters that occur
in it, so adapters of any ranks share a pass without padding:

    h = x @ A[columns].T                    [blocks, tokens, K]
    h = where(column belongs to the token's adapter, h, 0)
    y = linear(x) + h @ B[columns]

The mask selects and does not multiply: a neighbour's inf must not become NaN here.
"""

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn


@dataclass(slots=True)
class LoraPass:
    """What one forward pass brings: the banks, and which token may use which of their rows."""

    columns: Tensor | None = None  # [blocks, K] int64, rows of the banks
    allowed: Tensor | None = None  # [blocks, tokens, K] bool
    a: list[Tensor] = field(default_factory=list)  # per target [bank rows, in]
    b: list[Tensor] = field(default_factory=list)  # per target [bank rows, out]

    def begin(self, adapters: Tensor, columns: Tensor, owners: Tensor, banks: list[Tensor]) -> None:
        """Take a pass's inputs.

        adapters: [rows, tokens] int64, the number in this batch of the token's adapter, -1 none.
        columns: [blocks, K] int64; owners: [blocks, K] int64, the adapter number that each column
        belongs to, -2 for padding. banks: A and B of every target, alternating.
        """
        by_block = adapters.reshape(columns.shape[0], -1)
        self.columns = columns
        self.allowed = by_block.unsqueeze(-1) == owners.unsqueeze(1)
        self.a, self.b = banks[0::2], banks[1::2]


class BankedLinear(nn.Module):
    """A linear layer that LoRA may change; without banks it is the plain layer."""

    def __init__(self, linear: nn.Linear, lora: LoraPass, index: int) -> None:
        super().__init__()
        self.linear = linear
        self.lora = lora
        self.index = index

    def forward(self, x: Tensor) -> Tensor:
        """Return [rows, tokens, out] for x [rows, tokens, in]."""
        y: Tensor = self.linear(x)
        columns, allowed = self.lora.columns, self.lora.allowed
        if columns is None or allowed is None:
            return y
        blocks, width = columns.shape
        picked = columns.reshape(-1)
        a = self.lora.a[self.index].index_select(0, picked).reshape(blocks, width, x.shape[-1])
        b = self.lora.b[self.index].index_select(0, picked).reshape(blocks, width, y.shape[-1])
        h = torch.matmul(x.reshape(blocks, -1, x.shape[-1]), a.transpose(1, 2))
        h = torch.where(allowed, h, torch.zeros((), dtype=h.dtype))
        return y + torch.matmul(h, b).reshape(y.shape)


class Banks:
    """Wraps the targeted layers of one encoder, in order, around one shared `LoraPass`."""

    def __init__(self, targets: frozenset[str]) -> None:
        self.lora = LoraPass()
        self._wanted = targets
        self.names: list[str] = []
        self.layers: list[nn.Linear] = []

    def wrap(self, name: str, linear: nn.Linear) -> nn.Module:
        """Return `linear`, banked where `name` (its path inside the encoder) is a target."""
        if name not in self._wanted:
            return linear
        self.names.append(name)
        self.layers.append(linear)
        return BankedLinear(linear, self.lora, len(self.names) - 1)
