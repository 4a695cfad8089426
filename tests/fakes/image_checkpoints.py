"""Tiny random checkpoints of every family of image models, as `save_pretrained` leaves them."""

from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import (
    BaseImageProcessor,
    BitImageProcessor,
    ConvNextConfig,
    ConvNextForImageClassification,
    ConvNextImageProcessor,
    ConvNextV2Config,
    ConvNextV2ForImageClassification,
    DeiTConfig,
    DeiTForImageClassification,
    DeiTImageProcessor,
    Dinov2Config,
    Dinov2ForImageClassification,
    Dinov2WithRegistersConfig,
    Dinov2WithRegistersForImageClassification,
    PreTrainedModel,
    ResNetConfig,
    ResNetForImageClassification,
    SwinConfig,
    SwinForImageClassification,
    ViTConfig,
    ViTForImageClassification,
    ViTImageProcessor,
)

# `resnet-basic` is a ResNet of blocks without a bottleneck, `dinov2-gated` one with SwiGLU.
IMAGE_FAMILIES = (
    "vit",
    "deit",
    "dinov2",
    "dinov2-gated",
    "dinov2_with_registers",
    "swin",
    "convnext",
    "convnextv2",
    "resnet",
    "resnet-basic",
)
SIDE = 32  # pixels
SWIN_SIDE = 38  # cuts into patches, windows and mergings only with padding
TINY_VIT: dict[str, Any] = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "image_size": SIDE,
    "patch_size": 8,
}
_DINO: dict[str, Any] = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "mlp_ratio": 2,
    "image_size": 48,
    "patch_size": 8,
}
_STAGES: dict[str, Any] = {"num_stages": 2, "hidden_sizes": [16, 40], "depths": [1, 2]}
_RESNET: dict[str, Any] = {"embedding_size": 12, "hidden_sizes": [16, 40], "depths": [1, 2]}


def _model(family: str) -> PreTrainedModel:
    if family == "vit":
        return ViTForImageClassification(ViTConfig(**TINY_VIT))
    if family == "deit":
        return DeiTForImageClassification(DeiTConfig(**TINY_VIT))
    if family == "dinov2":
        return Dinov2ForImageClassification(Dinov2Config(**_DINO))
    if family == "dinov2-gated":
        return Dinov2ForImageClassification(Dinov2Config(**_DINO, use_swiglu_ffn=True))
    if family == "dinov2_with_registers":
        config = Dinov2WithRegistersConfig(**_DINO, num_register_tokens=3)
        return Dinov2WithRegistersForImageClassification(config)
    if family == "swin":
        windows = SwinConfig(
            image_size=SWIN_SIDE,
            patch_size=3,
            embed_dim=16,
            depths=[2, 2],
            num_heads=[2, 4],
            window_size=4,
        )
        return SwinForImageClassification(windows)
    if family == "convnext":
        return ConvNextForImageClassification(ConvNextConfig(**_STAGES))
    if family == "convnextv2":
        return ConvNextV2ForImageClassification(ConvNextV2Config(**_STAGES))
    if family == "resnet":
        return ResNetForImageClassification(ResNetConfig(**_RESNET, layer_type="bottleneck"))
    assert family == "resnet-basic", family
    sizes = {**_RESNET, "depths": [1, 1]}
    return ResNetForImageClassification(ResNetConfig(**sizes, layer_type="basic"))


def _processor(family: str) -> BaseImageProcessor:
    kind = family.partition("-")[0]
    if kind == "vit":
        return ViTImageProcessor(size={"height": SIDE, "width": SIDE})
    if kind == "swin":
        return ViTImageProcessor(size={"height": SWIN_SIDE, "width": SWIN_SIDE})
    crop = {"height": SIDE, "width": SIDE}
    if kind == "deit":
        return DeiTImageProcessor(size={"height": SIDE + 6, "width": SIDE + 6}, crop_size=crop)
    if kind in ("dinov2", "dinov2_with_registers"):
        return BitImageProcessor(size={"shortest_edge": SIDE + 6}, crop_size=crop)
    return ConvNextImageProcessor(size={"shortest_edge": SIDE}, crop_pct=0.875)


def _randomise(model: PreTrainedModel) -> None:
    """Give every parameter and statistic values that would show an error of the wiring."""
    for name, parameter in model.named_parameters():
        if parameter.dim() == 1 and name.endswith("bias"):
            parameter.data.normal_(0.0, 0.1)
        elif parameter.dim() == 1:  # norms and scales
            parameter.data.uniform_(0.5, 1.5)
        elif "token" in name or "position" in name:
            parameter.data.normal_(0.0, 0.3)
        else:
            parameter.data.normal_(0.0, parameter[0].numel() ** -0.5)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            assert module.running_mean is not None
            assert module.running_var is not None
            module.running_mean.normal_(0.0, 0.1)
            module.running_var.uniform_(0.5, 1.5)


def make_image_checkpoint(family: str, folder: Path, seed: int = 0, head: bool = False) -> Path:
    """Write a tiny random checkpoint of the family and return its folder.

    `head` keeps the classifier, of two labels.
    """
    torch.manual_seed(seed)
    model = _model(family)
    _randomise(model)
    saved = model if head else model.base_model
    assert isinstance(saved, PreTrainedModel)
    saved.save_pretrained(folder, safe_serialization=True)
    _processor(family).save_pretrained(folder)
    return folder
