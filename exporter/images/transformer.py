"""Vision transformers: patches as tokens (Dosovitskiy et al. 2021, arXiv 2010.11929).

ViT, DeiT and DINOv2 are pre-norm encoders that differ in the tokens put before the patches, in
what scales a layer's additions, and in what the head takes.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn


class PatchTokens(nn.Module):
    """The patches of an image as tokens, behind tokens that are the same for all images."""

    def __init__(self, projection: nn.Conv2d, before: Tensor, positions: Tensor) -> None:
        """Take `before` [tokens, hidden], positions included, and `positions` [patches, hidden].

        Both are fixed, since the size of an image is.
        """
        super().__init__()
        self.projection = projection
        self.register_buffer("before", before.detach().clone(), persistent=False)
        self.register_buffer("positions", positions.detach().clone(), persistent=False)

    def forward(self, pixels: Tensor) -> Tensor:
        """Return [images, tokens, hidden] for pixels [images, channels, height, width]."""
        patches = self.projection(pixels).flatten(2).transpose(1, 2) + self.positions
        before: Tensor = self.get_buffer("before")
        return torch.cat((before.expand(patches.shape[0], -1, -1), patches), dim=1)


@dataclass(frozen=True, slots=True)
class VisionParts:
    """The modules of one layer; the scales are what DINOv2 has behind attention and the rest."""

    attention_norm: nn.Module
    attention: nn.Module
    attention_scale: nn.Module
    output_norm: nn.Module
    feed_forward: nn.Module
    output_scale: nn.Module


class VisionLayer(nn.Module):
    """Norm, attention, scale, add; norm, feed-forward, scale, add."""

    def __init__(self, parts: VisionParts) -> None:
        super().__init__()
        self.attention_norm = parts.attention_norm
        self.attention = parts.attention
        self.attention_scale = parts.attention_scale
        self.output_norm = parts.output_norm
        self.feed_forward = parts.feed_forward
        self.output_scale = parts.output_scale

    def forward(self, x: Tensor) -> Tensor:
        """Return the next hidden states [images, tokens, hidden]."""
        x = x + self.attention_scale(self.attention(self.attention_norm(x)))
        y: Tensor = x + self.output_scale(self.feed_forward(self.output_norm(x)))
        return y


class VisionTransformer(nn.Module):
    """Patch tokens, layers, norm; the head takes the first token, and DINOv2's the patches too."""

    def __init__(
        self,
        tokens: PatchTokens,
        layers: Sequence[VisionLayer],
        norm: nn.Module,
        patches_too: bool,
    ) -> None:
        super().__init__()
        self.tokens = tokens
        self.layers = nn.ModuleList(layers)
        self.norm = norm
        self.patches_too = patches_too
        self.first_patch = tokens.get_buffer("before").shape[0]

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Return (pooled, embedding); the embedding is the mean over all tokens."""
        x = self.tokens(pixels)
        for layer in self.layers:
            x = layer(x)
        x = self.norm(x)
        pooled = x[:, 0]
        if self.patches_too:
            pooled = torch.cat((pooled, x[:, self.first_patch :].mean(dim=1)), dim=1)
        return pooled, x.mean(dim=1)
