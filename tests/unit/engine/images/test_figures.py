"""Figures of a picture are those that their definitions give."""

import numpy as np
import pytest
from PIL import Image, ImageFilter

from service.engine.images.decode import Picture
from service.engine.images.figures import figures_of
from service.engine.pixels import ImageFigures
from tests.fakes.pictures import drawn


def figures(image: Image.Image) -> ImageFigures:
    return figures_of(Picture(image, "PNG", 1234, 99))


def test_brightness_goes_from_black_to_white() -> None:
    for level in (0, 51, 255):
        flat = figures(Image.new("RGB", (20, 10), (level,) * 3))
        assert flat.brightness == pytest.approx(level / 255)
        assert flat.sharpness == 0
    green, blue = (figures(Image.new("RGB", (9, 9), colour)) for colour in ("#0f0", "#00f"))
    assert green.brightness > blue.brightness > 0


def test_sharpness_is_the_variance_of_the_laplacian() -> None:
    image = drawn(40, 30)
    luma = np.asarray(image.convert("L"), dtype=np.float64) / 255
    laplacian = [
        4 * luma[y, x] - luma[y - 1, x] - luma[y + 1, x] - luma[y, x - 1] - luma[y, x + 1]
        for y in range(1, 29)
        for x in range(1, 39)
    ]
    assert figures(image).sharpness == pytest.approx(np.var(laplacian), rel=1e-12)
    assert figures(image).brightness == pytest.approx(luma.mean(), rel=1e-12)


@pytest.mark.parametrize("size", [(100, 80), (700, 500)])
def test_a_blurred_picture_is_less_sharp(size: tuple[int, int]) -> None:
    image = drawn(*size)
    blurred = image.filter(ImageFilter.GaussianBlur(size[0] / 50))
    assert figures(blurred).sharpness < figures(image).sharpness / 2


def test_a_picture_beyond_128_pixels_is_averaged() -> None:
    image = drawn(256, 100)
    assert figures(image).sharpness == figures(image.reduce(2)).sharpness
    assert figures(image).brightness == figures(image.reduce(2)).brightness
    assert (figures(image).width, figures(image).height) == (256, 100)


def test_of_a_picture_beyond_256_pixels_some_are_taken() -> None:
    image = drawn(200, 100)
    larger = image.resize((600, 300), Image.Resampling.NEAREST)
    assert figures(larger).sharpness == figures(image).sharpness
    assert figures(larger).brightness == figures(image).brightness


@pytest.mark.parametrize("size", [(1, 1), (2, 9), (9, 2), (1, 200), (300, 4)])
def test_the_sharpness_of_what_has_no_inside_is_not_defined(size: tuple[int, int]) -> None:
    measured = figures(drawn(*size))
    assert np.isnan(measured.sharpness)
    assert 0 <= measured.brightness <= 1


def test_bytes_and_fingerprint_are_those_of_the_file() -> None:
    assert (figures(drawn(9, 9)).bytes, figures(drawn(9, 9)).fingerprint) == (1234, 99)
