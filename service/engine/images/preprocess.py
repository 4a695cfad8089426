"""From pictures to what the graph takes, as `transformers` does it with `use_fast=False`.

Resizing is Pillow's, on eight bits a channel. What follows, rescaling and normalising, maps each of
the 256 values of a channel to one number; those are computed once, just as transformers computes
them, and looked up. So the result is not near that of transformers, but the same.
"""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import orjson
from numpy.typing import NDArray
from PIL import Image

from service.engine.adapter import FloatArray
from service.engine.bundle import PREPROCESSOR_FILE, Bundle
from service.engine.errors import InvalidBundle, UnsupportedRecipe
from service.engine.images.decode import decode
from service.engine.images.figures import figures_of
from service.engine.images.limits import Limits
from service.engine.images.recipe import Recipe, read_recipe
from service.engine.images.settings import ToShorterSide, ToSize
from service.engine.pixels import Pixels

Encoded = bytes | tuple[bytes, str | None]  # a picture's bytes, and the type it was declared as


class Preprocessor:
    """Decodes and preprocesses pictures for one bundle; may be used by several threads at once."""

    def __init__(self, bundle: Bundle, limits: Limits | None = None) -> None:
        """Raise `InvalidBundle` where the bundle's preprocessor and its graph do not fit."""
        image = bundle.manifest.image
        if image is None:
            raise InvalidBundle(f"{bundle.path}: the bundle takes texts, not images")
        self.recipe = _read(bundle)
        made = (3, self.recipe.height, self.recipe.width)
        if made != (image.channels, image.height, image.width):
            raise InvalidBundle(
                f"{bundle.path}: {PREPROCESSOR_FILE} makes {made} of an image, and the graph takes"
                f" {(image.channels, image.height, image.width)}"
            )
        self.limits = limits if limits is not None else Limits()
        self._tokens = image.tokens

    def encode(self, images: Sequence[Encoded]) -> list[Pixels]:
        """Return what the graph takes of each image, in order.

        Raises `UnsupportedImage`, `ImageTooLarge` or `InvalidImage` for the first one that cannot
        be taken.
        """
        return [self._encode_one(image) for image in images]

    def _encode_one(self, image: Encoded) -> Pixels:
        data, declared = (image, None) if isinstance(image, bytes) else image
        picture = decode(data, declared, self.limits)
        figures = figures_of(picture)
        return Pixels(pixel_values(picture.image, self.recipe), self._tokens, figures)


def _read(bundle: Bundle) -> Recipe:
    path = bundle.path / PREPROCESSOR_FILE
    try:
        document = orjson.loads(path.read_bytes())
        if not isinstance(document, dict):
            raise InvalidBundle(f"{path}: not a JSON object")
        return read_recipe(document)
    except orjson.JSONDecodeError as error:
        raise InvalidBundle(f"{path}: not JSON: {error}") from error
    except UnsupportedRecipe as error:
        raise InvalidBundle(f"{path}: {error}") from error


def pixel_values(image: Image.Image, recipe: Recipe) -> FloatArray:
    """Return `[3, height, width]` float32 of an upright RGB image."""
    shaped = np.asarray(_shaped(image, recipe))  # [height, width, 3] uint8
    table = _table(recipe)
    values = np.empty((3, recipe.height, recipe.width), dtype=np.float32)
    for channel in range(3):
        source = 2 - channel if recipe.bgr else channel
        # `take` would make indices of the bytes itself, more slowly; and, all of them being in the
        # table, this mode only saves it a buffer.
        indices = shaped[..., source].astype(np.intp)
        np.take(table[channel], indices, out=values[channel], mode="wrap")
    return values


@lru_cache(maxsize=16)
def _table(recipe: Recipe) -> NDArray[np.float32]:
    """Return `[3, 256]`: what becomes of each value of each channel."""
    values = np.arange(256, dtype=np.uint8)
    if recipe.scale is not None:
        values = (values.astype(np.float64) * recipe.scale).astype(np.float32)
    table = np.stack([values.astype(np.float32)] * 3)
    if recipe.mean is not None and recipe.std is not None:
        mean, std = (np.array(x, dtype=np.float32)[:, None] for x in (recipe.mean, recipe.std))
        table = (table - mean) / std
    table.setflags(write=False)
    return table


def _shaped(image: Image.Image, recipe: Recipe) -> Image.Image:
    """Return the image resized and cropped.

    It is resized in one call, as transformers does: in which order Pillow goes over rows and
    columns, each time with rounding, depends on its version, so that no part may be left out.
    """
    size = _resized(image, recipe.resize)
    image = image.resize((size.width, size.height), recipe.resample)
    return image if recipe.crop is None else _cropped(image, recipe.crop)


def _resized(image: Image.Image, resize: ToSize | ToShorterSide | None) -> ToSize:
    """Return the size that the whole image is resized to."""
    if resize is None:
        return ToSize(image.height, image.width)
    if isinstance(resize, ToSize):
        return resize
    longer = int(resize.side * max(image.size) / min(image.size))
    if image.width <= image.height:
        return ToSize(longer, resize.side)
    return ToSize(resize.side, longer)


def _cropped(image: Image.Image, crop: ToSize) -> Image.Image:
    """Return the middle of the image; where it is too small, black is put around it.

    Where the room is odd, a cut takes less at the left and top, and black is put there first.
    """
    left = -(-(crop.width - image.width) // 2) if image.width < crop.width else 0
    top = -(-(crop.height - image.height) // 2) if image.height < crop.height else 0
    x = max(0, (image.width - crop.width) // 2) - left
    y = max(0, (image.height - crop.height) // 2) - top
    # Beyond its edges Pillow's crop is black.
    return image.crop((x, y, x + crop.width, y + crop.height))
