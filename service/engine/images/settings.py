"""The settings of an image processor, read one by one and refused by name."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from PIL.Image import Resampling

from service.engine.errors import UnsupportedRecipe
from service.engine.images.processors import Name, Processor

Channels = tuple[float, float, float]  # red, green, blue

_SIDE_MAX = 4096  # pixels; far beyond what any classifier takes
_CROPPED_BELOW = 384  # pixels; ConvNeXt's rule
_CROP_PCT = 224 / 256

_STEPS = {
    "do_resize",
    "do_center_crop",
    "do_rescale",
    "do_normalize",
    "do_flip_channel_order",
    "do_convert_rgb",  # every picture is RGB before it comes here
    "do_reduce_labels",  # of segmentation maps
}
# Settings that would change what is done, though no step has their name.
_CHANGING = {
    "auto_map": "code of the model's own is never run",
    "use_square_size": "write `size` with height and width instead",
}


@dataclass(frozen=True, slots=True)
class ToSize:
    """Resize to just this, whatever that does to the shape."""

    height: int
    width: int


@dataclass(frozen=True, slots=True)
class ToShorterSide:
    """Resize so that the shorter side is this long, and the shape is kept."""

    side: int


@dataclass(frozen=True, slots=True)
class Settings:
    """A document, and the processor whose defaults fill its gaps."""

    name: Name
    processor: Processor
    document: Mapping[str, Any]

    def refused(self, key: str, why: str) -> UnsupportedRecipe:
        """Return the error that names a setting."""
        return UnsupportedRecipe(
            f"{self.name.written}: `{key}` is {self.document.get(key)!r}: {why}"
        )

    def refuse_unknown(self) -> None:
        """Raise `UnsupportedRecipe` for a step, or what amounts to one, that is not known here.

        Any other setting that no step reads has no effect, here as in transformers.
        """
        for key, value in self.document.items():
            if key in _CHANGING and value:
                raise self.refused(key, _CHANGING[key])
            if key.startswith("do_") and key not in _STEPS and value:
                raise self.refused(key, "this step is not known here")
        if self.document.get("do_center_crop") and self.processor.crop is None:
            raise self.refused(
                "do_center_crop", "some releases of transformers crop here and some do not"
            )
        if self.document.get("do_flip_channel_order") and not self.processor.flips:
            raise self.refused("do_flip_channel_order", "this processor does not do that")
        order = self.document.get("data_format")
        if order not in (None, "channels_first"):
            raise self.refused("data_format", "the graph takes channels first")

    def flag(self, key: str, default: bool) -> bool:
        """Return whether a step is done; null means no, as in transformers."""
        value = self.document.get(key, default)
        if value is not None and not isinstance(value, bool):
            raise self.refused(key, "it must be true or false")
        return bool(value)

    def geometry(self) -> tuple[ToSize | ToShorterSide | None, ToSize | None]:
        """Return how to resize, and what to crop to."""
        resize = self._resize() if self.flag("do_resize", True) else None
        if self.processor.sizes == "convnext":
            return self._convnext(resize)
        crop = (
            self._crop() if self.flag("do_center_crop", self.processor.crop is not None) else None
        )
        if crop is None and not isinstance(resize, ToSize):
            raise self.refused(
                "do_resize" if resize is None else "size",
                "with no crop every picture comes out in a size of its own; it must be fixed",
            )
        return resize, crop

    def _convnext(
        self, resize: ToSize | ToShorterSide | None
    ) -> tuple[ToSize | ToShorterSide | None, ToSize | None]:
        """Return ConvNeXt's rule: from 384 pixels on the shape is not kept, below it is cropped."""
        if not isinstance(resize, ToShorterSide):
            key = "do_resize" if resize is None else "size"
            raise self.refused(key, "this processor resizes to one `shortest_edge`")
        square = ToSize(resize.side, resize.side)
        if resize.side >= _CROPPED_BELOW:
            return square, None
        part = self.document.get("crop_pct")
        part = self._number("crop_pct", _CROP_PCT if part is None else part)
        if part <= 0 or not 1 <= int(resize.side / part) <= _SIDE_MAX:
            raise self.refused("crop_pct", f"it makes no side of 1 to {_SIDE_MAX} pixels")
        return ToShorterSide(int(resize.side / part)), square

    def _resize(self) -> ToSize | ToShorterSide:
        size = self.document.get("size")
        size = self.processor.size if size is None else size
        if isinstance(size, int) and not self.processor.square:
            size = {"shortest_edge": size}
        if isinstance(size, dict) and size.keys() == {"shortest_edge"}:
            if self.processor.sizes == "exact":
                raise self.refused("size", "this processor needs `height` and `width`")
            return ToShorterSide(self._side("size", size["shortest_edge"]))
        if isinstance(size, dict) and "longest_edge" in size:
            raise self.refused(
                "size", "with a `longest_edge` releases of transformers do not agree on the size"
            )
        return self._to_size("size", size)

    def _crop(self) -> ToSize:
        size = self.document.get("crop_size")
        return self._to_size("crop_size", self.processor.crop if size is None else size)

    def _to_size(self, key: str, size: object) -> ToSize:
        if isinstance(size, int):
            size = [size, size]
        if isinstance(size, dict) and size.keys() == {"height", "width"}:
            size = [size["height"], size["width"]]
        if not isinstance(size, list) or len(size) != 2:
            raise self.refused(key, "it must be a number, or `height` and `width`")
        return ToSize(self._side(key, size[0]), self._side(key, size[1]))

    def _side(self, key: str, value: object) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= _SIDE_MAX:
            raise self.refused(key, f"a side must be a whole number of 1 to {_SIDE_MAX} pixels")
        return value

    def resampling(self) -> Resampling:
        """Return the filter that resizes."""
        if "resample" not in self.document:
            if self.processor.sizes == "convnext" and not self.name.slow:
                raise self.refused("resample", "processors of this name do not agree on it")
            return self.processor.resample
        value = self.document["resample"]
        if isinstance(value, bool) or value not in list(Resampling):
            raise self.refused("resample", "it must be the number of one of Pillow's filters")
        return Resampling(value)

    def scale(self) -> float | None:
        """Return what each value of 0 to 255 is multiplied by."""
        if not self.flag("do_rescale", True):
            return None
        return self._number("rescale_factor", self.document.get("rescale_factor", 1 / 255))

    def normalisation(self) -> tuple[Channels | None, Channels | None]:
        """Return mean and standard deviation, or None twice."""
        if not self.processor.normalises or not self.flag("do_normalize", True):
            return None, None
        mean = self._channels("image_mean", self.processor.mean)
        std = self._channels("image_std", self.processor.std)
        if 0 in std:
            raise self.refused("image_std", "a standard deviation cannot be 0")
        return mean, std

    def _channels(self, key: str, default: Channels) -> Channels:
        value = self.document.get(key)
        if value is None:
            return default
        values = value if isinstance(value, list) else [value] * 3
        if len(values) != 3:
            raise self.refused(key, "it must have three values, for red, green and blue")
        red, green, blue = (self._number(key, one) for one in values)
        return red, green, blue

    def _number(self, key: str, value: object) -> float:
        if (
            isinstance(value, bool)
            or not isinstance(value, int | float)
            or not math.isfinite(value)
        ):
            raise self.refused(key, "it must be made of finite numbers")
        return float(value)
