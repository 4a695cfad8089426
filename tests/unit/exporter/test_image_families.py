"""Families of images: where LoRA may go, what an image costs, and what of them is refused."""

from typing import Any

import pytest
import torch
from torch import nn
from transformers import (
    ResNetConfig,
    ResNetForImageClassification,
    SwinConfig,
    SwinForImageClassification,
    ViTConfig,
    ViTForImageClassification,
)

from exporter.banked import BankedConvolution, BankedLinear, Banks
from exporter.errors import UnsupportedModel
from exporter.families.catalogue import FAMILIES, IMAGE_FAMILIES, image_family_of
from exporter.families.swin import _windows
from exporter.images.parts import tokens_of
from exporter.images.windows import Windows
from tests.fakes import image_checkpoints
from tests.fakes.image_checkpoints import IMAGE_FAMILIES as NAMES
from tests.fakes.image_checkpoints import SIDE, SWIN_SIDE


def model_of(name: str) -> Any:
    torch.manual_seed(0)
    return image_checkpoints._model(name)


def side_of(name: str) -> tuple[int, int]:
    return (SWIN_SIDE, SWIN_SIDE) if name == "swin" else (SIDE, SIDE)


def test_an_unknown_family_is_refused_with_those_that_are_known() -> None:
    words = "convnext, convnextv2, deit, dinov2, dinov2_with_registers, resnet, swin, vit"
    with pytest.raises(UnsupportedModel, match=f"'beit' is not supported.*{words}"):
        image_family_of("beit")


def test_no_two_families_take_the_same_models() -> None:
    names = [name for family in FAMILIES for name in family.model_types]
    names += [name for family in IMAGE_FAMILIES for name in family.model_types]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("name", NAMES)
def test_every_target_is_a_layer_where_peft_looks_for_it(name: str) -> None:
    model = model_of(name)
    family = image_family_of(model.config.model_type)
    encoder = model.get_submodule(family.encoder)
    layers = {
        path
        for path, module in encoder.named_modules()
        if isinstance(module, nn.Linear)
        or (isinstance(module, nn.Conv2d) and module.groups == 1 and "embeddings" not in path)
    }
    paths = family.linears(model)
    assert set(paths) == layers
    assert len(set(paths)) == len(paths)


@pytest.mark.parametrize("name", NAMES)
def test_the_default_targets_are_layers_that_there_are(name: str) -> None:
    model = model_of(name)
    family = image_family_of(model.config.model_type)
    chosen = [path for path in family.linears(model) if path.endswith(family.attention)]
    assert chosen
    assert not any("embed" in path for path in chosen)


@pytest.mark.parametrize("name", NAMES)
def test_banks_are_put_around_the_targets_in_the_order_of_execution(name: str) -> None:
    model = model_of(name)
    family = image_family_of(model.config.model_type)
    paths = family.linears(model)
    for some in (paths, paths[1::3]):
        banks = Banks(frozenset(some))
        assembled = family.assemble(model, banks, side_of(name))
        assert banks.names == list(some)
        kinds = (BankedLinear, BankedConvolution)
        assert sum(isinstance(m, kinds) for m in assembled.encoder.modules()) == len(some)


@pytest.mark.parametrize("name", NAMES)
def test_the_wired_encoder_is_the_checkpoints_own(name: str) -> None:
    model = model_of(name)
    image_checkpoints._randomise(model)
    model.eval()
    family = image_family_of(model.config.model_type)
    tall, wide = side_of(name)
    assembled = family.assemble(model, Banks(frozenset()), (tall, wide))
    image = assembled.image
    assert (image.channels, image.height, image.width) == (3, tall, wide)
    with torch.inference_mode():
        x = torch.randn(2, 3, tall, wide)
        pooled, embedding = assembled.encoder.eval()(x)
        states = model.get_submodule(family.encoder)(x)[0]
        mean = states.mean(1) if states.dim() == 3 else states.mean((2, 3))
        step = assembled.head[-1]
        logits = nn.functional.linear(
            pooled,
            model.get_submodule(step.module).weight,
            model.get_submodule(step.module).bias,
        )
        expected = model(x).logits
    assert embedding.shape == (2, assembled.hidden_size)
    assert pooled.shape == (2, step.in_features)
    assert torch.allclose(embedding, mean, atol=1e-5)
    assert torch.allclose(logits, expected, atol=1e-5)


@pytest.mark.parametrize("name", ["vit", "deit"])
def test_images_of_another_size_than_the_positions_are_refused(name: str) -> None:
    model = model_of(name)
    family = image_family_of(model.config.model_type)
    with pytest.raises(UnsupportedModel, match=r"takes images of 32 x 32 pixels.* them 48 x 32"):
        family.assemble(model, Banks(frozenset()), (48, 32))


def test_a_dinov2_stretches_its_positions_to_the_images() -> None:
    model = model_of("dinov2")
    family = image_family_of("dinov2")
    tokens = {
        side: family.assemble(model, Banks(frozenset()), (side, side)).image.tokens
        for side in (24, 32, 48)
    }
    assert tokens == {24: 10, 32: 17, 48: 37}
    with pytest.raises(UnsupportedModel, match="hold no patch"):
        family.assemble(model, Banks(frozenset()), (4, 32))


def test_a_swin_with_absolute_positions_or_stages_smaller_than_windows_is_refused() -> None:
    sizes: dict[str, Any] = {"embed_dim": 8, "depths": [1, 1], "num_heads": [1, 1]}
    config = SwinConfig(image_size=32, use_absolute_embeddings=True, window_size=4, **sizes)
    with pytest.raises(UnsupportedModel, match="use_absolute_embeddings=True"):
        image_family_of("swin").assemble(
            SwinForImageClassification(config), Banks(frozenset()), (32, 32)
        )
    small = SwinForImageClassification(SwinConfig(image_size=32, window_size=7, **sizes))
    with pytest.raises(UnsupportedModel, match="a stage of 4 x 4 places is smaller than its win"):
        image_family_of("swin").assemble(small, Banks(frozenset()), (32, 32))


def test_a_window_as_large_as_its_stage_is_not_shifted() -> None:
    config = SwinConfig(
        image_size=32, patch_size=4, window_size=8, embed_dim=8, depths=[2], num_heads=[1]
    )
    model: Any = SwinForImageClassification(config)
    layer = model.swin.encoder.layers[0].blocks[1]
    assert layer.shift_size == 4
    assert _windows(layer, (8, 8), config) == Windows((8, 8), 8, 0)


@pytest.mark.parametrize(
    ("size", "side", "shift"), [((8, 12), 4, 2), ((7, 9), 4, 1), ((5, 5), 5, 0)]
)
def test_windows_are_put_together_again_as_they_were_cut(
    size: tuple[int, int], side: int, shift: int
) -> None:
    windows = Windows(size, side, shift)
    x = torch.randn(3, size[0] * size[1], 6)
    cut = windows.cut(x)
    assert cut.shape == (3 * windows.count, side * side, 6)
    assert torch.equal(windows.join(cut), x)


def test_an_image_costs_a_token_for_each_patch_of_sixteen_pixels() -> None:
    assert tokens_of((224, 224)) == 196
    assert tokens_of((225, 16)) == 15


def test_an_activation_that_transformers_lacks_is_refused() -> None:
    model = ViTForImageClassification(ViTConfig(**image_checkpoints.TINY_VIT))
    model.config.hidden_act = "wobble"
    with pytest.raises(UnsupportedModel, match="'wobble'"):
        image_family_of("vit").assemble(model, Banks(frozenset()), (32, 32))


def test_a_resnets_stem_is_a_target_when_it_is_asked_for() -> None:
    config = ResNetConfig(embedding_size=8, hidden_sizes=[8, 8], depths=[1, 1])
    model = ResNetForImageClassification(config)
    family = image_family_of("resnet")
    assert family.linears(model)[0] == "embedder.embedder.convolution"
    assert not family.linears(model)[0].endswith(family.attention)
