"""Pre-norm encoders with rotary positions and gated feed-forward: ModernBERT.

Warner et al. 2024, arXiv 2412.13663. Rotary angles and sliding windows depend on differences of
positions alone, so both survive packing: positions restart with every text.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from exporter.banked import Banks
from exporter.packed import Inputs, attend, same_text


def angles(positions: Tensor, size: int, base: float) -> tuple[Tensor, Tensor]:
    """Return cos and sin, each [rows, 1, tokens, size] float32, for rotary heads of `size`."""
    steps = torch.arange(0, size, 2, dtype=torch.float32)
    frequencies = 1.0 / (base ** (steps / size))
    half = positions.to(torch.float32).unsqueeze(-1) * frequencies
    full = torch.cat((half, half), dim=-1).unsqueeze(1)
    return torch.cos(full), torch.sin(full)


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Return x [rows, heads, tokens, size] turned by the angles (Su et al., arXiv 2104.09864)."""
    left, right = x.chunk(2, dim=-1)
    return x * cos + torch.cat((-right, left), dim=-1) * sin


@dataclass(frozen=True, slots=True)
class RotaryParts:
    """The checkpoint's modules for one layer; `window` is None where attention is global."""

    attention_norm: nn.Module
    qkv: tuple[str, nn.Linear]
    out: tuple[str, nn.Linear]
    mlp_norm: nn.Module
    gate_up: tuple[str, nn.Linear]
    down: tuple[str, nn.Linear]
    window: int | None
    rope_base: float


class RotaryLayer(nn.Module):
    """Norm, rotary attention, add; norm, gated feed-forward, add."""

    def __init__(
        self,
        parts: RotaryParts,
        banks: Banks,
        heads: int,
        activation: Callable[[Tensor], Tensor],
    ) -> None:
        super().__init__()
        self.heads = heads
        self.activation = activation
        self.attention_norm = parts.attention_norm
        self.qkv = banks.wrap(*parts.qkv)
        self.out = banks.wrap(*parts.out)
        self.mlp_norm = parts.mlp_norm
        self.gate_up = banks.wrap(*parts.gate_up)
        self.down = banks.wrap(*parts.down)
        self.window = parts.window
        self.rope_base = parts.rope_base

    def forward(self, x: Tensor, visible: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        """Return the next hidden states [rows, tokens, hidden]."""
        rows, tokens, hidden = x.shape
        size = hidden // self.heads
        qkv = self.qkv(self.attention_norm(x)).reshape(rows, tokens, 3, self.heads, size)
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        x = x + self.out(attend(rotate(q, cos, sin), rotate(k, cos, sin), v, visible))
        up, gate = self.gate_up(self.mlp_norm(x)).chunk(2, dim=-1)
        y: Tensor = x + self.down(self.activation(up) * gate)
        return y


class RotaryEncoder(nn.Module):
    """Word embeddings and norm, the layers, and a final norm."""

    def __init__(
        self,
        words: nn.Embedding,
        norm: nn.Module,
        layers: list[RotaryLayer],
        final_norm: nn.Module,
    ) -> None:
        super().__init__()
        self.words = words
        self.norm = norm
        self.layers = nn.ModuleList(layers)
        self.final_norm = final_norm
        self.heads = layers[0].heads
        self.kinds = [(layer.window, layer.rope_base) for layer in layers]

    def forward(self, inputs: Inputs) -> Tensor:
        """Return the last hidden states [rows, tokens, hidden]."""
        x = self.norm(self.words(inputs.ids))
        size = x.shape[-1] // self.heads
        everywhere = same_text(inputs.texts)
        distance = torch.abs(inputs.positions.unsqueeze(2) - inputs.positions.unsqueeze(1))
        turns = {base: angles(inputs.positions, size, base) for _, base in self.kinds}
        seen: dict[int | None, Tensor] = {None: everywhere}
        for window, _ in self.kinds:
            if window is not None and window not in seen:
                seen[window] = everywhere & (distance.unsqueeze(1) <= window)
        for layer, (window, base) in zip(self.layers, self.kinds, strict=True):
            x = layer(x, seen[window], *turns[base])
        out: Tensor = self.final_norm(x)
        return out
