"""Pictures drawn at random, the files that they are sent as, and what transformers makes of those.

Every file is of a kind that a decoder meets in the wild; `hostile_pictures` has the others.
"""

import io
import struct
import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from transformers import BaseImageProcessor
from transformers.image_utils import ChannelDimension, load_image

ORIENTATION = 0x0112  # of EXIF

# Which modes of Pillow each format holds.
MODES = {
    "PNG": ("1", "L", "LA", "P", "RGB", "RGBA", "I;16"),
    "JPEG": ("L", "RGB", "CMYK"),
    "WEBP": ("RGB", "RGBA"),
    "GIF": ("L", "P"),
    "BMP": ("1", "L", "P", "RGB", "RGBA"),
}


def drawn(width: int, height: int, seed: int = 0, mode: str = "RGB") -> Image.Image:
    """Return a picture of soft shapes and some noise, in a mode of Pillow."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (-(-height // 7), -(-width // 7), 4), dtype=np.uint8)
    soft = Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)
    noise = rng.integers(0, 32, (height, width, 4), dtype=np.uint8)
    picture = Image.fromarray(np.asarray(soft) // 2 + noise * 4)
    if mode == "I;16":
        grey = np.asarray(picture.convert("RGB").convert("L"), dtype=np.uint16)
        return Image.fromarray(grey * 5)  # darker and brighter than 8 bits hold
    if mode in {"RGBA", "LA"}:
        return picture.convert(mode)
    return picture.convert("RGB").convert(mode)


def encoded(image: Image.Image, kind: str, orientation: int | None = None, **options: Any) -> bytes:
    """Return the picture as a file of one of Pillow's formats."""
    if orientation is not None:
        options["exif"] = exif_of(orientation)
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def exif_of(orientation: int) -> bytes:
    """Return EXIF data with an orientation behind another entry, as a camera writes them."""
    maker = b"a maker of cameras\x00"
    entries = struct.pack(">HHLL", 0x010F, 2, len(maker), 38)
    entries += struct.pack(">HHLHxx", ORIENTATION, 3, 1, orientation)
    return b"Exif\x00\x00MM\x00*" + struct.pack(">LH", 8, 2) + entries + bytes(4) + maker


def as_transformers_loads(data: bytes) -> Image.Image:
    """Return the picture as `transformers.image_utils.load_image` does."""
    with warnings.catch_warnings():
        # Pillow's, of a palette that is partly transparent
        warnings.simplefilter("ignore", UserWarning)
        return load_image(Image.open(io.BytesIO(data)))


def as_transformers_prepares(image: Image.Image, processor: BaseImageProcessor) -> NDArray[Any]:
    """Return `[3, height, width]` of a slow image processor.

    It is told where the channels are: left to itself it takes the rows of a picture that is 1 or 3
    pixels high for them.
    """
    made = processor(image, input_data_format=ChannelDimension.LAST, return_tensors="np")
    values: NDArray[Any] = made["pixel_values"][0]
    return values
