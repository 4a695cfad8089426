"""The heads of sequence classification that several families share, as steps."""

from exporter.errors import UnsupportedModel
from service.engine.bundle import HeadStep

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
