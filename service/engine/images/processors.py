"""The image processors of transformers that are known here, with what they do unasked.

Defaults as in 4.57 with `use_fast=False`. Names end in `Fast` where a torchvision processor wrote
the file, and in `Pil` in some files of 5.x; files from before 4.26 call a processor a feature
extractor.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from PIL.Image import Resampling

from service.engine.errors import UnsupportedRecipe

_HALF = (0.5, 0.5, 0.5)
_CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
_CLIP_STD = (0.26862954, 0.26130258, 0.27577711)

Sizes = Literal["exact", "any", "convnext"]


@dataclass(frozen=True, slots=True)
class Processor:
    """One class: which sizes it takes, and its defaults."""

    sizes: Sizes  # exact: height and width; any: or a shorter side; convnext: a rule of its own
    size: dict[str, int]
    resample: Resampling
    crop: int | None = None  # where it crops by default; None where it cannot
    square: bool = False  # what a `size` of one number is: a square, or a shorter side
    normalises: bool = True
    flips: bool = False  # whether blue comes first by default; the others cannot
    mean: tuple[float, float, float] = _HALF
    std: tuple[float, float, float] = _HALF


PROCESSORS: Mapping[str, Processor] = {
    "ViTImageProcessor": Processor(
        "exact", {"height": 224, "width": 224}, Resampling.BILINEAR, square=True
    ),
    "DeiTImageProcessor": Processor(
        "exact", {"height": 256, "width": 256}, Resampling.BICUBIC, crop=224, square=True
    ),
    "BeitImageProcessor": Processor(
        "exact", {"height": 256, "width": 256}, Resampling.BICUBIC, crop=224, square=True
    ),
    "BitImageProcessor": Processor(
        "any", {"shortest_edge": 224}, Resampling.BICUBIC, 224, mean=_CLIP_MEAN, std=_CLIP_STD
    ),
    "CLIPImageProcessor": Processor(
        "any", {"shortest_edge": 224}, Resampling.BICUBIC, 224, mean=_CLIP_MEAN, std=_CLIP_STD
    ),
    "ConvNextImageProcessor": Processor("convnext", {"shortest_edge": 384}, Resampling.BILINEAR),
    "SiglipImageProcessor": Processor("exact", {"height": 224, "width": 224}, Resampling.BICUBIC),
    "MobileViTImageProcessor": Processor(
        "any", {"shortest_edge": 224}, Resampling.BILINEAR, 256, normalises=False, flips=True
    ),
}

# What transformers takes where the file names no processor, by `model_type` of `config.json`.
_BY_MODEL = {
    "beit": "BeitImageProcessor",
    "bit": "BitImageProcessor",
    "clip": "CLIPImageProcessor",
    "convnext": "ConvNextImageProcessor",
    "convnextv2": "ConvNextImageProcessor",
    "data2vec-vision": "BeitImageProcessor",
    "deit": "DeiTImageProcessor",
    "dinov2": "BitImageProcessor",
    "dinov2_with_registers": "BitImageProcessor",
    "focalnet": "BitImageProcessor",
    "mobilevit": "MobileViTImageProcessor",
    "mobilevitv2": "MobileViTImageProcessor",
    "regnet": "ConvNextImageProcessor",
    "resnet": "ConvNextImageProcessor",
    "siglip": "SiglipImageProcessor",
    "swin": "ViTImageProcessor",
    "swinv2": "ViTImageProcessor",
    "vit": "ViTImageProcessor",
    "vit_msn": "ViTImageProcessor",
}


@dataclass(frozen=True, slots=True)
class Name:
    """What a document calls its processor."""

    written: str  # in the document, or the model type
    class_name: str  # a key of PROCESSORS
    slow: bool  # whether it is the name of a slow processor


def processor_of(document: Mapping[str, Any], model_type: str | None) -> Name:
    """Return which processor the document means.

    Raises `UnsupportedRecipe` where it names none, or one that is not known here.
    """
    key, written = "image_processor_type", document.get("image_processor_type")
    if written is None:
        key, written = "feature_extractor_type", document.get("feature_extractor_type")
    if written is None:
        if model_type not in _BY_MODEL:
            known = f"{model_type!r} is not known here" if model_type else "there is no model type"
            raise UnsupportedRecipe(
                "the preprocessor names no `image_processor_type`, and"
                f" {known}; write one of {_known()} into preprocessor_config.json"
            )
        return Name(model_type, _BY_MODEL[model_type], slow=True)
    if not isinstance(written, str):
        raise UnsupportedRecipe(f"`{key}` of the preprocessor is {written!r}, which is no name")
    bare = written.replace("FeatureExtractor", "ImageProcessor")
    bare = bare.removesuffix("Fast").removesuffix("Pil")
    if bare not in PROCESSORS:
        raise UnsupportedRecipe(f"`{key}` is {written!r}, and known here are {_known()}")
    return Name(written, bare, slow=not written.endswith(("Fast", "Pil")))


def _known() -> str:
    return ", ".join(PROCESSORS)
