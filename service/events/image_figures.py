"""What the log tells of an image, which it never keeps: sizes, light, sharpness, and a fingerprint.

A fingerprint is the same for the same file of the same tenant, so that exact repetitions can be
counted. It is keyed as that of a text is (`text_figures`), so that nobody can find out from the log
whether some known picture was asked.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from service.events.figures import Figures
from service.events.text_figures import keyed_fingerprint


@dataclass(frozen=True, slots=True)
class ImageFigures(Figures):
    """Figures of some images, in their order, as they came: before they were resized."""

    widths: Sequence[int]  # [n], pixels
    heights: Sequence[int]  # [n]
    bytes: Sequence[int]  # [n], of the file
    brightness: Sequence[float]  # [n], mean luma, 0 to 1
    sharpness: Sequence[float | None]  # [n], variance of the luma's Laplacian; None: too small
    fingerprints: Sequence[int]  # [n], 1 to 2**63 - 1

    def __len__(self) -> int:
        return len(self.fingerprints)


def image_fingerprint(content: int, tenant: str, key: bytes) -> int:
    """Return the fingerprint, 1 to 2**63 - 1, of 64 bits that tell an image's content.

    `key` has 16 to 64 bytes.
    """
    return keyed_fingerprint((content & (2**64 - 1)).to_bytes(8, "big"), b"image", tenant, key)
