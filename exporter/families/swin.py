"""Swin: attention in shifted windows, in stages of halved resolution."""

from typing import Any

from torch import Tensor, nn
from transformers import PreTrainedModel

from exporter.banked import Banks
from exporter.errors import UnsupportedModel
from exporter.families.family import AssembledImages, activation_named, refuse
from exporter.families.heads import under_one_layer
from exporter.images.parts import FeedForward, banked, tokens_of
from exporter.images.windows import (
    Merging,
    WindowAttention,
    WindowLayer,
    Windows,
    WindowTransformer,
)

_ATTENTION = (
    "attention.self.query",
    "attention.self.key",
    "attention.self.value",
    "attention.output.dense",
)
_REST = ("intermediate.dense", "output.dense")
_MERGING = "downsample.reduction"


def _pair(value: Any) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else (int(value[0]), int(value[1]))


def _windows(layer: Any, size: tuple[int, int], config: Any) -> Windows:
    """Return how a layer cuts its places, decided by the checkpoint's own module."""
    layer.set_shift_and_window_size(size)
    windows = Windows(size, int(layer.window_size), int(layer.shift_size))
    if windows.side != config.window_size:
        raise UnsupportedModel(
            f"swin: a stage of {size[0]} x {size[1]} places is smaller than its windows of"
            f" {config.window_size}; the model takes larger images"
        )
    return windows


def _bias(layer: Any, windows: Windows) -> Tensor:
    """Return [windows or 1, heads, places, places]: position bias and the shift's mask."""
    attention = layer.attention.self
    places = windows.side**2
    table: Tensor = attention.relative_position_bias_table
    bias = table[attention.relative_position_index.reshape(-1)].reshape(places, places, -1)
    bias = bias.permute(2, 0, 1).unsqueeze(0)
    mask = layer.get_attn_mask(*windows.padded, dtype=bias.dtype, device=bias.device)
    return bias if mask is None else bias + mask.unsqueeze(1)


def _layer(
    base: nn.Module, at: str, size: tuple[int, int], heads: int, banks: Banks, config: Any
) -> WindowLayer:
    layer: Any = base.get_submodule(at)
    windows = _windows(layer, size, config)
    query, key, value, out, up, down = (f"{at}.{path}" for path in (*_ATTENTION, *_REST))
    bias = _bias(layer, windows)
    attention = WindowAttention(banks, base, (query, key, value, out), heads, bias)
    rest = FeedForward(banks, base, (up, down), activation_named(config.hidden_act))
    return WindowLayer(windows, layer.layernorm_before, attention, layer.layernorm_after, rest)


class Swin:
    """Swin (Liu et al. 2021, arXiv 2103.14030), the first version."""

    model_types: tuple[str, ...] = ("swin",)
    encoder = "swin"
    attention: tuple[str, ...] = _ATTENTION
    architecture = "SwinForImageClassification"

    def linears(self, model: PreTrainedModel) -> tuple[str, ...]:
        """Return the path of every linear layer of the encoder, in order of execution."""
        config: Any = model.config
        paths: list[str] = []
        for i, depth in enumerate(config.depths):
            stage = f"encoder.layers.{i}"
            blocks = [f"{stage}.blocks.{j}" for j in range(depth)]
            paths += [f"{block}.{path}" for block in blocks for path in (*_ATTENTION, *_REST)]
            if i < len(config.depths) - 1:
                paths.append(f"{stage}.{_MERGING}")
        return tuple(paths)

    def assemble(
        self, model: PreTrainedModel, banks: Banks, size: tuple[int, int]
    ) -> AssembledImages:
        """Return the encoder for images of (height, width), its targets wrapped by `banks`."""
        config: Any = model.config
        refuse(config, use_absolute_embeddings=False)
        base: Any = getattr(model, self.encoder)
        tall, wide = _pair(config.patch_size)
        padding = (-size[0] % tall, -size[1] % wide)
        places = ((size[0] + padding[0]) // tall, (size[1] + padding[1]) // wide)
        steps: list[nn.Module] = []
        for i, depth in enumerate(config.depths):
            stage = f"encoder.layers.{i}"
            for j in range(depth):
                block = f"{stage}.blocks.{j}"
                steps.append(_layer(base, block, places, config.num_heads[i], banks, config))
            if i < len(config.depths) - 1:
                reduction = banked(banks, base, f"{stage}.{_MERGING}")
                steps.append(Merging(places, base.encoder.layers[i].downsample.norm, reduction))
                places = ((places[0] + 1) // 2, (places[1] + 1) // 2)
        patches = base.embeddings
        encoder = WindowTransformer(
            patches.patch_embeddings.projection, padding, patches.norm, steps, base.layernorm
        )
        hidden = int(base.num_features)
        return under_one_layer(encoder, config, size, hidden=hidden, tokens=tokens_of(size))
