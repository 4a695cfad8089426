"""Duplicates: the share of repeated texts from bitmaps, with an interval that holds."""

import math

import numpy as np
import pytest

from monitoring.sketches.duplicates import (
    BITMAP_BYTES,
    Bitmap,
    distinct,
    duplicate_share,
    mark,
)


def bitmap_of(*fingerprints: int) -> Bitmap:
    bitmap = np.zeros(BITMAP_BYTES, dtype=np.uint8)
    mark(bitmap, np.array(fingerprints, dtype=np.int64))
    return bitmap


def drawn(count: int, seed: int) -> list[int]:
    return [int(n) for n in np.random.default_rng(seed).integers(1, 2**63 - 1, count)]


def test_unknown_fingerprints_are_left_out() -> None:
    assert not bitmap_of(0, 0, 0).any()
    assert (bitmap_of(7, 0, 9) == bitmap_of(9, 7)).all()


def test_negative_fingerprints_are_as_good_as_others() -> None:
    assert distinct(bitmap_of(-5, -6, -7)).value == pytest.approx(3, abs=0.01)


def test_one_text_many_times_is_one_text() -> None:
    share = duplicate_share(bitmap_of(*[12345] * 100), 100)
    assert share.value == pytest.approx(0.99, abs=1e-4)
    assert share.lower < 0.99 < share.upper


def test_texts_that_differ_are_no_duplicates() -> None:
    share = duplicate_share(bitmap_of(*drawn(300, 0)), 300)
    assert share.value < 0.02
    assert share.lower == 0


@pytest.mark.parametrize(
    ("texts", "error"), [(500, 0.006), (10_000, 0.006), (45_000, 0.011), (60_000, 0.027)]
)
def test_the_error_is_the_stated_one_and_the_interval_holds(texts: int, error: float) -> None:
    found = [distinct(bitmap_of(*drawn(texts, seed))) for seed in range(40)]
    relative = np.array([estimate.value / texts - 1 for estimate in found])
    assert np.sqrt((relative**2).mean()) < 1.3 * error
    assert sum(estimate.lower <= texts <= estimate.upper for estimate in found) >= 35


def test_very_many_texts_are_counted_by_the_few_that_are_looked_at() -> None:
    fingerprints = np.random.default_rng(1).integers(1, 2**63 - 1, 1_000_000)
    bitmap = np.zeros(BITMAP_BYTES, dtype=np.uint8)
    mark(bitmap, fingerprints)
    estimate = distinct(bitmap)
    assert estimate.lower < 1_000_000 < estimate.upper
    assert estimate.value == pytest.approx(1_000_000, rel=0.15)


def test_texts_beyond_what_bitmaps_can_tell_are_unknown() -> None:
    full = np.full(BITMAP_BYTES, 255, dtype=np.uint8)
    assert not distinct(full).is_defined
    assert not duplicate_share(full, 10**8).is_defined


def test_no_rows_have_no_share() -> None:
    assert distinct(bitmap_of()).value == 0
    assert math.isnan(duplicate_share(bitmap_of(), 0).value)
