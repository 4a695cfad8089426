"""What is counted about images (method f), and the quantiles that follow.

Bins are fixed for ever, so that histograms of any two times add up. The size of an image is the
side of the square with as many pixels: sqrt(width x height).
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from monitoring.rows import Images, IntArray
from monitoring.sketches.histogram import LENGTH_BINS, length_bins, length_quantile, quantile_bin

NAN = float("nan")

BRIGHTNESS_BINS = 64  # of one width, from black to white

# Sharpness: a quarter of a doubling each, from 2**-20 to 2**12; the outer bins have the rest. The
# middle of a bin is within 9 % of any value in it.
SHARPNESS_BINS = 128
_SHARPNESS_LOW, _PER_DOUBLING = -20.0, 4

_SUMS = 4
_BOUNDS = (
    _SUMS + LENGTH_BINS,
    _SUMS + LENGTH_BINS + BRIGHTNESS_BINS,
    _SUMS + LENGTH_BINS + BRIGHTNESS_BINS + SHARPNESS_BINS,
)
IMAGE_COUNTS = _BOUNDS[-1]


@dataclass(frozen=True, slots=True)
class ImageCounts:
    """Sums and histograms over the images of some rows; all of it adds up."""

    rows: int  # images that were decoded and answered
    undecodable: int  # images that were not
    bytes: int  # of the files of the former,
    pixels: int  # and in them
    sides: IntArray  # [208], rows by size in pixels
    brightness: IntArray  # [64], rows by mean luma
    sharpness: IntArray  # [128], rows by variance of the luma's Laplacian, as far as it is known

    @staticmethod
    def of(counts: IntArray) -> "ImageCounts":
        """Return what an array [404] says."""
        a, b, c = _BOUNDS
        rows, undecodable, size, pixels = counts[:_SUMS].tolist()
        return ImageCounts(
            rows, undecodable, size, pixels, counts[_SUMS:a], counts[a:b], counts[b:c]
        )

    @property
    def undecodable_share(self) -> float:
        """Return the share of images that could not be decoded; NaN for none."""
        return _ratio(self.undecodable, self.rows + self.undecodable)

    @property
    def bytes_per_pixel(self) -> float:
        """Return bytes of the file per pixel, all images together; NaN for none."""
        return _ratio(self.bytes, self.pixels)

    def side_quantile(self, share: float) -> float:
        """Return the size, in pixels, that a share of the images does not exceed; NaN for none."""
        return length_quantile(self.sides, share)

    def brightness_quantile(self, share: float) -> float:
        """Return the brightness that a share does not exceed, within 1/128; NaN for none."""
        found = quantile_bin(self.brightness, share)
        return NAN if found is None else (found + 0.5) / BRIGHTNESS_BINS

    def sharpness_quantile(self, share: float) -> float:
        """Return the sharpness that a share does not exceed, within 9 %; NaN for none."""
        found = quantile_bin(self.sharpness, share)
        if found is None:
            return NAN
        if found == 0:
            return 0.0  # as good as none
        return float(2.0 ** (_SHARPNESS_LOW + (found + 0.5) / _PER_DOUBLING))


def count_images(images: Images) -> IntArray:
    """Return the sums and histograms of some images as an array [404], int64."""
    counts = np.zeros(IMAGE_COUNTS, dtype=np.int64)
    known = images.width > 0
    width, height = images.width[known], images.height[known]
    pixels = width * height
    counts[0] = len(pixels)
    counts[2] = images.bytes[known].sum()
    counts[3] = pixels.sum()
    sides = np.rint(np.sqrt(pixels)).astype(np.int64)
    a, b, _ = _BOUNDS
    np.add.at(counts, _SUMS + length_bins(sides), 1)
    np.add.at(counts, a + _brightness_bins(images.brightness[known]), 1)
    sharpness = images.sharpness[known & ~np.isnan(images.sharpness)]
    np.add.at(counts, b + _sharpness_bins(sharpness), 1)
    return counts


def undecodable_images(count: int) -> IntArray:
    """Return the array [404] of so many images that could not be decoded."""
    counts = np.zeros(IMAGE_COUNTS, dtype=np.int64)
    counts[1] = count
    return counts


def _brightness_bins(values: npt.NDArray[np.float32]) -> IntArray:
    return _clipped(values.astype(np.float64) * BRIGHTNESS_BINS, BRIGHTNESS_BINS)


def _sharpness_bins(values: npt.NDArray[np.float32]) -> IntArray:
    logs = np.log2(np.maximum(values.astype(np.float64), 2.0**_SHARPNESS_LOW))
    return _clipped((logs - _SHARPNESS_LOW) * _PER_DOUBLING, SHARPNESS_BINS)


def _clipped(places: npt.NDArray[np.float64], bins: int) -> IntArray:
    return np.clip(places, 0, bins - 1).astype(np.int64)


def _ratio(part: int, whole: int) -> float:
    return part / whole if whole else NAN
