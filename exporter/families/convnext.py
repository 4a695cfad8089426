"""ConvNeXt, first and second version; its layers of 1 x 1 are linear ones."""

from typing import Any

from torch import nn
from transformers import PreTrainedModel

from exporter.banked import Banks
from exporter.families.family import AssembledImages
from exporter.families.heads import under_one_layer
from exporter.images.convolutional import ConvNextBlock, ConvolutionalEncoder
from exporter.images.parts import banked, tokens_of

_POINTWISE = ("pwconv1", "pwconv2")
_HALVING = "downsampling_layer.1"  # a convolution of 2 x 2, where a stage begins with one


def _halves(stage: Any) -> bool:
    return len(stage.downsampling_layer) > 0


class ConvNext:
    """ConvNeXt (Liu et al. 2022, arXiv 2201.03545); LoRA's place is the two linear layers."""

    model_types: tuple[str, ...] = ("convnext",)
    encoder = "convnext"
    attention: tuple[str, ...] = _POINTWISE
    architecture = "ConvNextForImageClassification"

    def linears(self, model: PreTrainedModel) -> tuple[str, ...]:
        """Return the path of every layer that LoRA may change, in order of execution.

        The depthwise convolutions are none: in those `peft` lets B mix within a channel only.
        """
        base: Any = getattr(model, self.encoder)
        paths: list[str] = []
        for i, stage in enumerate(base.encoder.stages):
            at = f"encoder.stages.{i}"
            paths += [f"{at}.{_HALVING}"] if _halves(stage) else []
            paths += [
                f"{at}.layers.{j}.{path}" for j in range(len(stage.layers)) for path in _POINTWISE
            ]
        return tuple(paths)

    def assemble(
        self, model: PreTrainedModel, banks: Banks, size: tuple[int, int]
    ) -> AssembledImages:
        """Return the encoder for images of (height, width), its targets wrapped by `banks`."""
        config: Any = model.config
        base: Any = getattr(model, self.encoder)
        steps: list[nn.Module] = [base.embeddings.patch_embeddings, base.embeddings.layernorm]
        for i, stage in enumerate(base.encoder.stages):
            at = f"encoder.stages.{i}"
            if _halves(stage):
                steps += [stage.downsampling_layer[0], banked(banks, base, f"{at}.{_HALVING}")]
            for j, layer in enumerate(stage.layers):
                up, down = (banked(banks, base, f"{at}.layers.{j}.{path}") for path in _POINTWISE)
                steps.append(
                    ConvNextBlock(
                        depthwise=layer.dwconv,
                        norm=layer.layernorm,
                        up=up,
                        activation=layer.act,
                        responses=getattr(layer, "grn", nn.Identity()),
                        down=down,
                        scale=getattr(layer, "layer_scale_parameter", None),
                    )
                )
        encoder = ConvolutionalEncoder(steps, base.layernorm)
        hidden = int(config.hidden_sizes[-1])
        return under_one_layer(encoder, config, size, hidden=hidden, tokens=tokens_of(size))


class ConvNextV2(ConvNext):
    """ConvNeXt V2 (Woo et al. 2023, arXiv 2301.00808)."""

    model_types: tuple[str, ...] = ("convnextv2",)
    encoder = "convnextv2"
    architecture = "ConvNextV2ForImageClassification"
