"""An image as the graph takes it, and what is worth knowing of the picture that it was."""

from dataclasses import dataclass

from service.engine.adapter import FloatArray
from service.engine.tokens import Tokens, Windowed


@dataclass(frozen=True, slots=True)
class ImageFigures:
    """What is logged of a picture, measured as it was decoded, before it was resized."""

    width: int  # pixels, upright
    height: int
    bytes: int  # as it came
    brightness: float  # mean luma, 0 to 1
    sharpness: float  # variance of the Laplacian of the luma; small where the picture is blurred
    fingerprint: int  # 64 bits of the content: exact repetitions have the same


@dataclass(frozen=True, slots=True)
class Pixels:
    """One preprocessed image."""

    values: FloatArray  # [channels, height, width]
    tokens: int  # what it costs in a pass, in tokens of a text
    figures: ImageFigures

    truncated = False
    unknown = 0

    def __len__(self) -> int:
        return self.tokens


Prepared = Tokens | Pixels  # what a pass takes
Whole = Prepared | Windowed  # what is asked: a long text goes through passes window by window
