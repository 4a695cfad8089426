"""ResNet: LoRA on its convolutions, of any kernel."""

from typing import Any

from torch import nn
from transformers import PreTrainedModel

from exporter.banked import Banks
from exporter.families.family import AssembledImages
from exporter.families.heads import under_one_layer
from exporter.images.convolutional import ConvolutionalEncoder, ConvolutionStep, ResidualBlock
from exporter.images.parts import banked, tokens_of

_STEM = "embedder.embedder"


def _blocks(base: Any) -> list[str]:
    return [
        f"encoder.stages.{i}.layers.{j}"
        for i, stage in enumerate(base.encoder.stages)
        for j in range(len(stage.layers))
    ]


def _steps(base: nn.Module, at: str) -> list[str]:
    """Return the paths of what a block computes: its steps, and the shortcut where it has one."""
    block: Any = base.get_submodule(at)
    steps = [f"{at}.layer.{i}" for i in range(len(block.layer))]
    return steps if isinstance(block.shortcut, nn.Identity) else [*steps, f"{at}.shortcut"]


def _step(base: nn.Module, at: str, banks: Banks) -> ConvolutionStep:
    step: Any = base.get_submodule(at)
    convolution = banked(banks, base, f"{at}.convolution")
    return ConvolutionStep(
        convolution, step.normalization, getattr(step, "activation", nn.Identity())
    )


def _block(base: nn.Module, at: str, banks: Banks) -> ResidualBlock:
    block: Any = base.get_submodule(at)
    steps = [_step(base, f"{at}.layer.{i}", banks) for i in range(len(block.layer))]
    plain = isinstance(block.shortcut, nn.Identity)
    shortcut = block.shortcut if plain else _step(base, f"{at}.shortcut", banks)
    return ResidualBlock(steps, shortcut, block.activation)


class ResNet:
    """ResNet (He et al. 2016, arXiv 1512.03385) of basic or bottleneck blocks.

    The default targets are the convolutions of the stages; `all-linear` takes the stem, too.
    """

    model_types: tuple[str, ...] = ("resnet",)
    encoder = "resnet"
    attention: tuple[str, ...] = (
        "layer.0.convolution",
        "layer.1.convolution",
        "layer.2.convolution",
        "shortcut.convolution",
    )
    architecture = "ResNetForImageClassification"

    def linears(self, model: PreTrainedModel) -> tuple[str, ...]:
        """Return the path of every layer that LoRA may change, in order of execution."""
        base: Any = getattr(model, self.encoder)
        steps = [_STEM, *(step for block in _blocks(base) for step in _steps(base, block))]
        return tuple(f"{step}.convolution" for step in steps)

    def assemble(
        self, model: PreTrainedModel, banks: Banks, size: tuple[int, int]
    ) -> AssembledImages:
        """Return the encoder for images of (height, width), its targets wrapped by `banks`."""
        config: Any = model.config
        base: Any = getattr(model, self.encoder)
        steps: list[nn.Module] = [_step(base, _STEM, banks), base.embedder.pooler]
        steps += [_block(base, block, banks) for block in _blocks(base)]
        return under_one_layer(
            ConvolutionalEncoder(steps, nn.Identity()),
            config,
            size,
            hidden=int(config.hidden_sizes[-1]),
            tokens=tokens_of(size),
            module="classifier.1",
        )
