"""How large a picture may be, checked in its header before a single pixel is decoded."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """What one picture may ask of the server.

    At its worst, a progressive JPEG, a pixel takes 12 bytes while it is decoded: 32 Mi pixels come
    to 384 MiB, in each thread that decodes.
    """

    bytes: int = 16 << 20  # as it came
    pixels: int = 32 << 20  # width x height
    side: int = 32_768  # width or height
    aspect: int = 100  # longer side over the shorter one, which a resize may bring to 512 or so
    frames: int = 64  # of an animation, of which the first alone is looked at
