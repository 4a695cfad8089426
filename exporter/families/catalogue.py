"""Every family that can be exported, by the `model_type` of its config."""

from collections.abc import Iterable, Mapping

from exporter.errors import UnsupportedModel
from exporter.families.albert import Albert
from exporter.families.bert import Bert, Ernie, MegatronBert
from exporter.families.convnext import ConvNext, ConvNextV2
from exporter.families.deberta import DebertaV2
from exporter.families.dinov2 import Dinov2, Dinov2WithRegisters
from exporter.families.distilbert import DistilBert
from exporter.families.electra import Electra
from exporter.families.family import Family, ImageFamily
from exporter.families.modernbert import ModernBert
from exporter.families.mpnet import MPNet
from exporter.families.reasons import reason_against
from exporter.families.resnet import ResNet
from exporter.families.roberta import (
    Camembert,
    Data2VecText,
    Roberta,
    RobertaPreLayerNorm,
    XlmRoberta,
    XlmRobertaXl,
)
from exporter.families.swin import Swin
from exporter.families.vit import Deit, Vit

_GUIDE = "docs/guides/adding-a-family.md"
_CODE = ("AutoConfig", "AutoModel")  # what of `auto_map` is the model's own code

FAMILIES: tuple[Family, ...] = (
    Bert(),
    Ernie(),
    MegatronBert(),
    Roberta(),
    XlmRoberta(),
    Camembert(),
    Data2VecText(),
    RobertaPreLayerNorm(),
    XlmRobertaXl(),
    DistilBert(),
    Electra(),
    Albert(),
    MPNet(),
    DebertaV2(),
    ModernBert(),
)

IMAGE_FAMILIES: tuple[ImageFamily, ...] = (
    Vit(),
    Deit(),
    Dinov2(),
    Dinov2WithRegisters(),
    Swin(),
    ConvNext(),
    ConvNextV2(),
    ResNet(),
)


def family_of(model_type: str) -> Family:
    """Return the family of a `model_type`; raise `UnsupportedModel` naming those there are."""
    for family in FAMILIES:
        if model_type in family.model_types:
            return family
    raise _unsupported(model_type)


def image_family_of(model_type: str) -> ImageFamily:
    """Return the family of an image model; raise `UnsupportedModel` naming those there are."""
    for family in IMAGE_FAMILIES:
        if model_type in family.model_types:
            return family
    raise _unsupported(model_type)


def refuse_unsupported(config: Mapping[str, object]) -> None:
    """Raise `UnsupportedModel` where the document in `config.json` is of no family.

    It is asked before anything is loaded: `transformers` would advise to run the code that comes
    with some checkpoints, and would read gigabytes of others first.
    """
    model_type = config.get("model_type")
    if not isinstance(model_type, str):
        raise UnsupportedModel(f"config.json names no model_type, but {model_type!r}; {_choice()}")
    code = config.get("auto_map")
    if isinstance(code, Mapping) and any(str(name).startswith(_CODE) for name in code):
        raise UnsupportedModel(
            f"the model type {model_type!r} comes with code of its own (auto_map in config.json),"
            " and nothing of a checkpoint is ever run, so trust_remote_code has no place here;"
            f" {_choice()}"
        )
    if model_type not in _names(FAMILIES) + _names(IMAGE_FAMILIES):
        raise _unsupported(model_type)


def _names(families: Iterable[Family | ImageFamily]) -> list[str]:
    return sorted(name for family in families for name in family.model_types)


def _choice() -> str:
    return (
        f"supported are {', '.join(_names(FAMILIES))}, and for images"
        f" {', '.join(_names(IMAGE_FAMILIES))}; {_GUIDE} shows how a family is added"
    )


def _unsupported(model_type: str) -> UnsupportedModel:
    reason = reason_against(model_type)
    why = "" if reason is None else f": {reason}"
    return UnsupportedModel(f"the model type {model_type!r} is not supported{why}; {_choice()}")
