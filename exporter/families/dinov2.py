"""DINOv2, with and without registers: the head takes the first token and the patches' mean."""

from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from exporter.banked import Banks
from exporter.errors import UnsupportedModel
from exporter.families.family import AssembledImages, activation_named
from exporter.families.heads import under_one_layer
from exporter.images.parts import Attention, FeedForward, GatedFeedForward
from exporter.images.transformer import PatchTokens, VisionLayer, VisionParts, VisionTransformer

_ATTENTION = (
    "attention.attention.query",
    "attention.attention.key",
    "attention.attention.value",
    "attention.output.dense",
)
_PLAIN = ("mlp.fc1", "mlp.fc2")
_GATED = ("mlp.weights_in", "mlp.weights_out")


def _rest(config: Any) -> tuple[str, str]:
    return _GATED if config.use_swiglu_ffn else _PLAIN


def _layer(base: nn.Module, index: int, banks: Banks, config: Any) -> VisionLayer:
    at = f"encoder.layer.{index}"
    layer: Any = base.get_submodule(at)
    query, key, value, out = (f"{at}.{path}" for path in _ATTENTION)
    attention = Attention(banks, base, (query, key, value, out), config.num_attention_heads)
    up, down = (f"{at}.{path}" for path in _rest(config))
    rest: nn.Module
    if config.use_swiglu_ffn:
        rest = GatedFeedForward(banks, base, (up, down))
    else:
        rest = FeedForward(banks, base, (up, down), activation_named(config.hidden_act))
    return VisionLayer(
        VisionParts(
            attention_norm=layer.norm1,
            attention=attention,
            attention_scale=layer.layer_scale1,
            output_norm=layer.norm2,
            feed_forward=rest,
            output_scale=layer.layer_scale2,
        )
    )


def _positions(embeddings: Any, size: tuple[int, int], patch: int) -> Tensor:
    """Return [1 + patches, hidden], stretched by the model's own way to images of that size."""
    tall, wide = size[0] // patch, size[1] // patch
    hidden = embeddings.position_embeddings.shape[-1]
    states = torch.zeros((1, 1 + tall * wide, hidden))
    with torch.no_grad():
        found: Tensor = embeddings.interpolate_pos_encoding(states, *size)
    return found[0]


class Dinov2:
    """DINOv2 (Oquab et al. 2023, arXiv 2304.07193), registers by Darcet et al., arXiv 2309.16588.

    It was trained on larger images than it is served with, so its positions are interpolated, once
    and for all: the size of an image is fixed.
    """

    model_types: tuple[str, ...] = ("dinov2",)
    encoder = "dinov2"
    attention: tuple[str, ...] = _ATTENTION
    architecture = "Dinov2ForImageClassification"

    def linears(self, model: PreTrainedModel) -> tuple[str, ...]:
        """Return the path of every linear layer of the encoder, in order of execution."""
        paths = (*_ATTENTION, *_rest(model.config))
        layers = range(model.config.num_hidden_layers)
        return tuple(f"encoder.layer.{i}.{path}" for i in layers for path in paths)

    def assemble(
        self, model: PreTrainedModel, banks: Banks, size: tuple[int, int]
    ) -> AssembledImages:
        """Return the encoder for images of (height, width), its targets wrapped by `banks`."""
        config: Any = model.config
        patch = int(config.patch_size)
        if min(size) < patch:
            raise UnsupportedModel(
                f"{config.model_type}: images of {size[0]} x {size[1]} pixels hold no patch of"
                f" {patch} x {patch}"
            )
        base: Any = getattr(model, self.encoder)
        positions = _positions(base.embeddings, size, patch)
        before = base.embeddings.cls_token[0] + positions[:1]
        registers = getattr(base.embeddings, "register_tokens", None)
        if registers is not None:  # which have no positions
            before = torch.cat((before, registers[0]))
        projection = base.embeddings.patch_embeddings.projection
        tokens = PatchTokens(projection, before, positions[1:])
        layers = [_layer(base, i, banks, config) for i in range(config.num_hidden_layers)]
        hidden = int(config.hidden_size)
        return under_one_layer(
            VisionTransformer(tokens, layers, base.layernorm, patches_too=True),
            config,
            size,
            hidden=hidden,
            tokens=len(before) + len(positions) - 1,
            pooled=2 * hidden,
        )


class Dinov2WithRegisters(Dinov2):
    """DINOv2 with tokens that take what the model would otherwise write into patches."""

    model_types: tuple[str, ...] = ("dinov2_with_registers",)
    encoder = "dinov2_with_registers"
    architecture = "Dinov2WithRegistersForImageClassification"
