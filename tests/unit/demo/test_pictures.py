import io
from collections import Counter

import numpy as np
from PIL import Image

from examples.demo.pictures import SHAPES, draw_many


def light(file: bytes) -> float:
    return float(np.asarray(Image.open(io.BytesIO(file)).convert("L")).mean())


def test_the_same_seed_names_the_same_blocks_and_each_shape_is_there_as_often() -> None:
    first, again, other = draw_many(30, 1), draw_many(30, 1), draw_many(30, 2)
    names = [(one.shape, one.colour) for one in first]
    assert names == [(one.shape, one.colour) for one in again]
    assert names != [(one.shape, one.colour) for one in other]
    assert Counter(one.shape for one in first) == dict.fromkeys(SHAPES, 30 // len(SHAPES))


def test_pictures_are_files_of_several_sizes() -> None:
    sizes = {Image.open(io.BytesIO(one.file)).size for one in draw_many(12, 3)}
    assert len(sizes) > 6


def test_at_night_it_is_dark() -> None:
    day = [light(one.file) for one in draw_many(20, 4)]
    night = [light(one.file) for one in draw_many(20, 4, night=True)]
    assert max(night) < min(day)
