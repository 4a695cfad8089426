"""An image backbone that was never exported: its manifest, what prepares its images, and images."""

import base64
import io
from collections.abc import Sequence

import numpy as np
from PIL import Image

from service.engine.bundle import ImageInput, Manifest
from service.engine.images.decode import decode
from service.engine.images.figures import figures_of
from service.engine.images.limits import Limits
from service.engine.images.preprocess import Encoded
from service.engine.pixels import Pixels
from tests.fakes.manifests import manifest_of

SIDE, TOKENS = 4, 5
RED, BLUE = (200, 30, 30), (30, 30, 200)


def image_manifest() -> Manifest:
    """Return the manifest of a tiny backbone that reads images."""
    shape = ImageInput(channels=3, height=SIDE, width=SIDE, tokens=TOKENS)
    return manifest_of("bert").model_copy(update={"task": "image", "image": shape})


class FakePreprocessor:
    """Decodes as the service does, and makes every picture very small."""

    def __init__(self, limits: Limits | None = None) -> None:
        self._limits = limits or Limits()
        self.encoded = 0

    def encode(self, images: Sequence[Encoded]) -> list[Pixels]:
        return [self._one(image) for image in images]

    def _one(self, image: Encoded) -> Pixels:
        data, declared = (image, None) if isinstance(image, bytes) else image
        picture = decode(data, declared, self._limits)
        self.encoded += 1
        small = np.asarray(picture.image.resize((SIDE, SIDE)), dtype=np.float32)
        return Pixels(small.transpose(2, 0, 1) / 255, TOKENS, figures_of(picture))


def picture(
    colour: tuple[int, int, int] = RED, size: tuple[int, int] = (40, 30), kind: str = "PNG"
) -> bytes:
    """Return the file of a picture: a square on a grey ground."""
    image = Image.new("RGB", size, (128, 128, 128))
    image.paste(colour, (5, 5, 20, 20))
    file = io.BytesIO()
    image.save(file, kind)
    return file.getvalue()


def url_of(data: bytes, media_type: str = "image/png") -> str:
    """Return a file as a data URL."""
    return f"data:{media_type};base64,{base64.b64encode(data).decode()}"
