import zlib
from dataclasses import replace

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitoring.rows import Images
from monitoring.sketches.images import IMAGE_COUNTS, ImageCounts, count_images
from monitoring.sketches.sketch import Sketch
from tests.unit.monitoring.sketches.made_rows import parts_of, rows_of, sketch_of

SEEDS = st.integers(0, 1000)


def images_of(count: int, seed: int = 0) -> Images:
    """Return images of many sizes and kinds; of some nothing is known."""
    random = np.random.default_rng(seed)
    return Images(
        width=random.integers(1, 4000, count) * random.choice([-1, 1], count, p=[0.1, 0.9]),
        height=random.integers(1, 3000, count),
        bytes=random.integers(100, 5_000_000, count),
        brightness=random.random(count).astype(np.float32),
        sharpness=np.where(
            random.random(count) < 0.1, np.nan, 2.0 ** random.uniform(-18, 4, count)
        ).astype(np.float32),
    )


@given(SEEDS)
def test_counts_are_those_of_a_loop_anyone_can_read(seed: int) -> None:
    images = images_of(50, seed)
    counts = ImageCounts.of(count_images(images))
    known = [i for i in range(50) if images.width[i] > 0]
    assert counts.rows == counts.sides.sum() == counts.brightness.sum() == len(known)
    assert counts.undecodable == 0
    assert counts.bytes == sum(int(images.bytes[i]) for i in known)
    assert counts.pixels == sum(int(images.width[i] * images.height[i]) for i in known)
    assert counts.sharpness.sum() == sum(not np.isnan(images.sharpness[i]) for i in known)


def test_quantiles_are_within_what_they_promise() -> None:
    images = images_of(999)
    known = images.rows(np.flatnonzero(images.width > 0))
    counts = ImageCounts.of(count_images(images))
    sides = np.sqrt(known.width * known.height)
    for share in (0.05, 0.5, 0.95):
        side = np.quantile(sides, share, method="inverted_cdf")
        assert counts.side_quantile(share) == pytest.approx(side, rel=0.04)
        light = np.quantile(known.brightness, share, method="inverted_cdf")
        assert counts.brightness_quantile(share) == pytest.approx(light, abs=1 / 128)
        sharp = np.nanquantile(known.sharpness, share, method="inverted_cdf")
        assert counts.sharpness_quantile(share) == pytest.approx(sharp, rel=0.1)
    assert counts.bytes_per_pixel == pytest.approx(known.bytes.sum() / (sides**2).sum())


def test_what_is_beyond_the_bins_is_in_the_outer_ones() -> None:
    images = Images(
        width=np.array([1, 100_000]),
        height=np.array([1, 100_000]),
        bytes=np.array([0, 1]),
        brightness=np.array([0.0, 1.0], np.float32),
        sharpness=np.array([0.0, 1e9], np.float32),
    )
    counts = ImageCounts.of(count_images(images))
    assert counts.brightness[[0, -1]].tolist() == [1, 1]
    assert counts.sharpness[[0, -1]].tolist() == [1, 1]
    assert counts.sides[-1] == 1
    assert counts.sharpness_quantile(0.5) == 0.0


def test_of_no_images_nothing_is_known() -> None:
    counts = ImageCounts.of(np.zeros(IMAGE_COUNTS, np.int64))
    for value in (
        counts.undecodable_share,
        counts.bytes_per_pixel,
        counts.side_quantile(0.5),
        counts.brightness_quantile(0.5),
        counts.sharpness_quantile(0.5),
    ):
        assert np.isnan(value)


@given(SEEDS, st.lists(st.integers(0, 40), max_size=3).map(sorted))
def test_sketches_of_parts_add_up_to_that_of_the_whole(seed: int, cuts: list[int]) -> None:
    rows = replace(rows_of(40, seed), images=images_of(40, seed))
    whole = sketch_of(rows)
    whole.add_undecodable(3)
    parts = [sketch_of(part) for part in parts_of(rows, cuts)]
    parts[-1].add_undecodable(2)
    added = parts[0]
    for part in parts[1:]:
        added = added.merge(part)
    added.add_undecodable(1)
    assert added.to_bytes() == whole.to_bytes()
    assert Sketch.from_bytes(whole.to_bytes()) == whole
    counts = whole.image_counts
    assert counts is not None
    assert counts.undecodable_share == 3 / (3 + counts.rows)


def test_a_sketch_of_texts_has_no_images_and_takes_those_of_another() -> None:
    texts = sketch_of(rows_of(10))
    assert texts.image_counts is None
    images = Sketch.empty(texts.classes)
    images.add_undecodable(2)
    for both in (texts.merge(images), images.merge(texts)):
        assert both.image_counts is not None
        assert both.image_counts.undecodable == 2
        assert both.predictions == 10


def test_a_sketch_from_before_there_were_images_is_read() -> None:
    sketch = sketch_of(rows_of(10))
    data = sketch.to_bytes()[8:]
    size = int.from_bytes(data[:4], "little")
    *head, has_images = msgspec.msgpack.decode(data[4 : 4 + size])
    assert has_images is False
    packed = msgspec.msgpack.encode(head)
    older = len(packed).to_bytes(4, "little") + packed + data[4 + size :]
    check = zlib.crc32(older).to_bytes(4, "little")
    assert Sketch.from_bytes(b"TSK1" + check + older) == sketch
