"""A picture cut out of the file that it came in.

Each format has a module whose `carve` walks the file's own structure, without inflating or decoding
anything, and returns a file that holds the (first) picture and nothing else: no EXIF, no colour
profile, no text, no thumbnail, no further frames. So the decoder is never given what is not
needed, and what a header promises is known before memory is asked for. Of what is left out, the
orientation alone is read.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from service.engine.errors import ImageTooLarge, InvalidImage
from service.engine.images.limits import Limits


@dataclass(frozen=True, slots=True)
class Carved:
    """What is decoded, and what its header says."""

    width: int  # pixels, as stored
    height: int
    parts: Sequence[bytes | memoryview]  # joined, a file of the same format
    orientation: int = 1  # 1 to 8, as in EXIF


def truncated(kind: str) -> InvalidImage:
    """Return the error of a file that ends too early."""
    return InvalidImage(f"the {kind} is truncated: it ends before the picture does")


def check_frames(kind: str, frames: int, limits: Limits) -> None:
    """Raise `ImageTooLarge` where an animation has too many frames."""
    if frames > limits.frames:
        raise ImageTooLarge(f"the {kind} has more than {limits.frames} frames, which is the limit")


def check_size(kind: str, width: int, height: int, limits: Limits) -> None:
    """Raise `ImageTooLarge` or `InvalidImage` for what a header says of the picture's size."""
    if width < 1 or height < 1:
        raise InvalidImage(f"the {kind} is {width} x {height} pixels, which is no picture")
    said = f"the {kind} is {width} x {height} pixels"
    if max(width, height) > limits.side:
        raise ImageTooLarge(f"{said}, and a side has at most {limits.side}")
    if width * height > limits.pixels:
        raise ImageTooLarge(f"{said}, and a picture has at most {limits.pixels} in all")
    if max(width, height) > limits.aspect * min(width, height):
        raise ImageTooLarge(f"{said}, and one side is at most {limits.aspect} times the other")
