"""What a model wants done to an image, as its own `preprocessor_config.json` says it.

The settings and their defaults are those of transformers' slow image processors
(`use_fast=False`, 4.57), which 5.x calls the PIL backend. What those releases do not agree on is
refused, and so is a step that is not known here: an image that is prepared otherwise than the
model was trained with is answered wrongly, and nobody would see it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from PIL.Image import Resampling

from service.engine.images.processors import PROCESSORS, processor_of
from service.engine.images.settings import Channels, Settings, ToShorterSide, ToSize

_WRITTEN_AS = "BitImageProcessor"  # whose settings can say everything but the order of channels
_WRITTEN_AS_BGR = "MobileViTImageProcessor"


@dataclass(frozen=True, slots=True)
class Recipe:
    """Resize, crop, rescale, normalise: in this order, each where it is asked for."""

    resize: ToSize | ToShorterSide | None
    resample: Resampling
    crop: ToSize | None  # from the centre; what is smaller is padded with black
    scale: float | None  # times each value of 0 to 255
    mean: Channels | None  # of the values as scaled
    std: Channels | None
    bgr: bool  # whether blue comes first

    @property
    def height(self) -> int:
        """Return the height of everything that comes out."""
        return self._size.height

    @property
    def width(self) -> int:
        """Return the width of everything that comes out."""
        return self._size.width

    @property
    def _size(self) -> ToSize:
        if self.crop is not None:
            return self.crop
        assert isinstance(self.resize, ToSize), "read_recipe refuses a size that is not fixed"
        return self.resize

    def document(self) -> dict[str, Any]:
        """Return a `preprocessor_config.json` that says the same with every setting spelled out.

        `read_recipe` and transformers read it without the model's own `config.json`.
        """
        size = {"shortest_edge": 224}  # has no effect where nothing is resized
        if isinstance(self.resize, ToSize):
            size = {"height": self.resize.height, "width": self.resize.width}
        elif self.resize is not None:
            size = {"shortest_edge": self.resize.side}
        said: dict[str, Any] = {
            "image_processor_type": _WRITTEN_AS_BGR if self.bgr else _WRITTEN_AS,
            "do_resize": self.resize is not None,
            "size": size,
            "resample": int(self.resample),
            "do_center_crop": self.crop is not None,
            "crop_size": {"height": self.height, "width": self.width},
            "do_rescale": self.scale is not None,
            "rescale_factor": 1.0 if self.scale is None else self.scale,
        }
        if self.bgr:
            return said | {"do_flip_channel_order": True}
        return said | {
            "do_normalize": self.mean is not None,
            "image_mean": list(self.mean or (0.0, 0.0, 0.0)),
            "image_std": list(self.std or (1.0, 1.0, 1.0)),
        }


def read_recipe(document: Mapping[str, Any], model_type: str | None = None) -> Recipe:
    """Return the recipe of a model's `preprocessor_config.json`.

    `model_type` is of the model's `config.json`; it is looked at where the document names no
    processor. Raises `UnsupportedRecipe`, which names the setting, where a setting is not known
    here, cannot be, or leaves the size of what comes out to the picture.
    """
    name = processor_of(document, model_type)
    processor = PROCESSORS[name.class_name]
    settings = Settings(name, processor, document)
    settings.refuse_unknown()
    resize, crop = settings.geometry()
    mean, std = settings.normalisation()
    return Recipe(
        resize=resize,
        resample=Resampling.NEAREST if resize is None else settings.resampling(),
        crop=crop,
        scale=settings.scale(),
        mean=mean,
        std=std,
        bgr=processor.flips and settings.flag("do_flip_channel_order", True),
    )
