"""What a family of encoders must tell the exporter."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor, nn
from transformers import PretrainedConfig, PreTrainedModel

from exporter.banked import Banks
from exporter.errors import UnsupportedModel
from service.engine.bundle import HeadStep, ImageInput


@dataclass(frozen=True, slots=True)
class Assembled:
    """A packed encoder around the checkpoint's modules, and what the bundle says of it."""

    encoder: nn.Module  # called with `Inputs`, gives [rows, tokens, hidden]
    pooling: str  # "first" or "mean"
    head: tuple[HeadStep, ...]
    max_length: int
    position_offset: int
    token_types: bool


class Family(Protocol):
    """One family: how its encoder is wired, where LoRA may go, what its head is.

    `encoder` is the attribute of the classification model that holds the encoder; paths of
    targets are relative to it, as in `peft`'s keys behind `base_model.model.<encoder>.`.
    """

    model_types: tuple[str, ...]
    encoder: str
    attention: tuple[str, ...]  # last parts of the default targets' paths
    architecture: str  # the classification class, for the manifest and messages

    def linears(self, model: PreTrainedModel) -> tuple[str, ...]:
        """Return the path of every linear layer of the encoder, in order of execution."""
        ...

    def assemble(self, model: PreTrainedModel, banks: Banks) -> Assembled:
        """Return the packed encoder, its targeted layers wrapped by `banks`."""
        ...


@dataclass(frozen=True, slots=True)
class AssembledImages:
    """An encoder of images around the checkpoint's modules, and what the bundle says of it."""

    # called with pixels [images, channels, height, width], gives the head's input
    # [images, pooled] and the mean of the last hidden states over their places [images, hidden]
    encoder: nn.Module
    head: tuple[HeadStep, ...]
    hidden_size: int
    image: ImageInput


class ImageFamily(Protocol):
    """One family of image models; as `Family`, but that the size of the images is fixed.

    `attention` names the default targets, of a convolutional network what it has in its place.
    Targets may be convolutions.
    """

    model_types: tuple[str, ...]
    encoder: str
    attention: tuple[str, ...]
    architecture: str

    def linears(self, model: PreTrainedModel) -> tuple[str, ...]:
        """Return the path of every layer that LoRA may change, in order of execution."""
        ...

    def assemble(
        self, model: PreTrainedModel, banks: Banks, size: tuple[int, int]
    ) -> AssembledImages:
        """Return the encoder for images of (height, width), its targets wrapped by `banks`.

        Raises `UnsupportedModel` where the model does not take images of that size.
        """
        ...


def activation_named(name: object) -> Callable[[Tensor], Tensor]:
    """Return the activation that a config names, as `transformers` has it."""
    from transformers.activations import ACT2FN

    if not isinstance(name, str) or name not in ACT2FN:
        raise UnsupportedModel(f"the activation {name!r} is not one that `transformers` has")
    activation: Callable[[Tensor], Tensor] = ACT2FN[name]
    return activation


def refuse(config: PretrainedConfig, **required: object) -> None:
    """Raise `UnsupportedModel` where a config's attribute has another value than required."""
    for name, value in required.items():
        found = getattr(config, name, value)
        if found != value:
            raise UnsupportedModel(
                f"{config.model_type}: {name}={found!r} is not supported, only {value!r}"
            )
