"""What is worth knowing of a picture for those who watch the log."""

import numpy as np
from PIL.Image import Image, Resampling

from service.engine.images.decode import Picture
from service.engine.pixels import ImageFigures

_SIDE = 128  # pixels; a longer picture is brought to at most this before it is measured
_WHITE = 255


def figures_of(picture: Picture) -> ImageFigures:
    """Return the figures of an upright picture.

    They are of a small copy (`_small`). Luma is ITU-R BT.601's, rounded to eight bits, 0 to 1.
    Brightness is its mean. Sharpness is the variance of its Laplacian, 4 times each pixel less its
    four neighbours, wherever there are four (Pech-Pacheco et al., 2000), and NaN where there are
    none.
    """
    luma = np.asarray(_small(picture.image).convert("L")).astype(np.int16)  # [height, width]
    middle = luma[1:-1, 1:-1]
    around = luma[:-2, 1:-1] + luma[2:, 1:-1] + luma[1:-1, :-2] + luma[1:-1, 2:]
    return ImageFigures(
        width=picture.image.width,
        height=picture.image.height,
        bytes=picture.bytes,
        brightness=float(luma.mean()) / _WHITE,
        sharpness=_variance(4 * middle - around) / _WHITE**2 if middle.size else float("nan"),
        fingerprint=picture.fingerprint,
    )


def _small(image: Image) -> Image:
    """Return the image with at most 128 pixels a side, shape kept.

    Of a side beyond 256 one pixel of k is taken, k = ceil(longer side / 256), which is cheap
    however large the picture is. Then squares of two by two are averaged.
    """
    step = -(-max(image.size) // (2 * _SIDE))
    if step > 1:
        size = -(-image.width // step), -(-image.height // step)
        image = image.resize(size, Resampling.NEAREST)
    return image.reduce(2) if max(image.size) > _SIDE else image


def _variance(values: np.ndarray[tuple[int, ...], np.dtype[np.int16]]) -> float:
    flat = values.ravel().astype(np.float64)
    mean = flat.sum() / flat.size
    return float(flat @ flat / flat.size - mean * mean)
