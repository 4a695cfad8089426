"""ViT and DeiT: pre-norm transformers over patches; the head takes the first token."""

from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel

from exporter.banked import Banks
from exporter.errors import UnsupportedModel
from exporter.families.family import AssembledImages, activation_named
from exporter.families.heads import under_one_layer
from exporter.images.parts import Attention, FeedForward
from exporter.images.transformer import PatchTokens, VisionLayer, VisionParts, VisionTransformer

_ATTENTION = (
    "attention.attention.query",
    "attention.attention.key",
    "attention.attention.value",
    "attention.output.dense",
)
_REST = ("intermediate.dense", "output.dense")


def _layer(base: nn.Module, index: int, banks: Banks, config: Any) -> VisionLayer:
    at = f"encoder.layer.{index}"
    query, key, value, out, up, down = (f"{at}.{path}" for path in (*_ATTENTION, *_REST))
    activation = activation_named(config.hidden_act)
    layer: Any = base.get_submodule(at)
    return VisionLayer(
        VisionParts(
            attention_norm=layer.layernorm_before,
            attention=Attention(banks, base, (query, key, value, out), config.num_attention_heads),
            attention_scale=nn.Identity(),
            output_norm=layer.layernorm_after,
            feed_forward=FeedForward(banks, base, (up, down), activation),
            output_scale=nn.Identity(),
        )
    )


def _refuse_size(config: Any, size: tuple[int, int]) -> None:
    """Raise `UnsupportedModel` where the model would not take images of that size."""
    own = config.image_size
    own = (own, own) if isinstance(own, int) else tuple(own)
    if own != size:
        raise UnsupportedModel(
            f"{config.model_type}: the model takes images of {own[0]} x {own[1]} pixels, and its"
            f" preprocessor_config.json makes them {size[0]} x {size[1]}; give it a preprocessor"
            " of the model's own size"
        )


class Vit:
    """ViT (Dosovitskiy et al. 2021, arXiv 2010.11929)."""

    model_types: tuple[str, ...] = ("vit",)
    encoder = "vit"
    attention: tuple[str, ...] = _ATTENTION
    architecture = "ViTForImageClassification"
    before: tuple[str, ...] = ("cls_token",)  # what lies before the patches

    def linears(self, model: PreTrainedModel) -> tuple[str, ...]:
        """Return the path of every linear layer of the encoder, in order of execution."""
        layers = range(model.config.num_hidden_layers)
        return tuple(f"encoder.layer.{i}.{path}" for i in layers for path in (*_ATTENTION, *_REST))

    def assemble(
        self, model: PreTrainedModel, banks: Banks, size: tuple[int, int]
    ) -> AssembledImages:
        """Return the encoder for images of (height, width), its targets wrapped by `banks`."""
        config: Any = model.config
        _refuse_size(config, size)
        base: Any = getattr(model, self.encoder)
        embeddings = base.embeddings
        count = len(self.before)
        before = [getattr(embeddings, name)[0, 0] for name in self.before]
        positions = embeddings.position_embeddings[0]
        tokens = PatchTokens(
            embeddings.patch_embeddings.projection,
            torch.stack(before) + positions[:count],
            positions[count:],
        )
        layers = [_layer(base, i, banks, config) for i in range(config.num_hidden_layers)]
        encoder = VisionTransformer(tokens, layers, base.layernorm, patches_too=False)
        hidden = int(config.hidden_size)
        return under_one_layer(encoder, config, size, hidden=hidden, tokens=len(positions))


class Deit(Vit):
    """DeiT (Touvron et al. 2021, arXiv 2012.12877): a distillation token beside the first.

    Its head is that of `DeiTForImageClassification`; the one with a teacher averages two.
    """

    model_types: tuple[str, ...] = ("deit",)
    encoder = "deit"
    architecture = "DeiTForImageClassification"
    before: tuple[str, ...] = ("cls_token", "distillation_token")
