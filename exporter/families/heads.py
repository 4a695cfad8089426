"""The heads that several families share, as steps, and what wears one."""

from torch import nn
from transformers import PretrainedConfig

from exporter.errors import UnsupportedModel
from exporter.families.family import AssembledImages
from service.engine.bundle import HeadStep, ImageInput

Steps = tuple[HeadStep, ...]


def dense_head(dense: str, activation: object, last: str, hidden: int) -> Steps:
    """Return a dense layer, an activation and the classifier; both modules by their paths.

    Raises `UnsupportedModel` where the service's heads do not have the activation.
    """
    if activation not in ("tanh", "relu", "gelu"):
        raise UnsupportedModel(
            f"the head's activation {activation!r} is not supported, only tanh, relu and gelu"
        )
    return (
        HeadStep(kind="linear", module=dense, in_features=hidden, out_features=hidden),
        HeadStep(kind=activation),
        HeadStep(kind="linear", module=last, in_features=hidden),
    )


def under_one_layer(
    encoder: nn.Module,
    config: PretrainedConfig,
    size: tuple[int, int],
    *,
    hidden: int,
    tokens: int,
    module: str = "classifier",
    pooled: int | None = None,
) -> AssembledImages:
    """Return an encoder of images of (height, width), whose head is one linear layer.

    The head takes `pooled` numbers, `hidden` where nothing is said; an image costs `tokens`.
    """
    return AssembledImages(
        encoder=encoder,
        head=(HeadStep(kind="linear", module=module, in_features=pooled or hidden),),
        hidden_size=hidden,
        image=ImageInput(
            channels=config.num_channels, height=size[0], width=size[1], tokens=tokens
        ),
    )
