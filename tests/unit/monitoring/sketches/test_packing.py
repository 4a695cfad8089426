"""Packed arrays: what goes in comes out, in few bytes, and other bytes are refused."""

import numpy as np
import pytest

from monitoring.sketches.packing import Unpacker, pack_counts, pack_sums


@pytest.mark.parametrize(
    ("numbers", "bytes_each"),
    [
        ([0, 127, -128], 1),
        ([0, 128], 2),
        ([-129], 2),
        ([2**31 - 1, -(2**31)], 4),
        ([2**31], 5),
        ([2**63 - 1, -(2**63)], 8),
    ],
)
def test_sums_take_as_many_bytes_as_the_largest_needs(numbers: list[int], bytes_each: int) -> None:
    packed = pack_sums(np.array(numbers, dtype=np.int64))
    assert len(packed) == 1 + bytes_each * len(numbers)
    source = Unpacker(packed)
    assert source.sums(len(numbers)).tolist() == numbers
    source.finish()


def test_sums_keep_their_shape() -> None:
    sums = np.arange(-6, 6).reshape(3, 4)
    assert (Unpacker(pack_sums(sums)).sums(3, 4) == sums).all()
    assert Unpacker(pack_sums(sums[:0])).sums(0, 4).shape == (0, 4)


@pytest.mark.parametrize(
    ("places", "size", "most"),
    [
        ([], 5000, 8),
        ([17, 4000], 5000, 16),
        (range(0, 5000, 4), 5000, 1900),
        (range(600), 600, 603),
    ],
)
def test_counts_take_few_bytes_where_few_are_not_0(places: list[int], size: int, most: int) -> None:
    counts = np.zeros(size, dtype=np.int64)
    counts[list(places)] = 200
    packed = pack_counts(counts)
    assert len(packed) <= most
    source = Unpacker(packed)
    assert (source.counts(size) == counts).all()
    source.finish()


def test_one_large_count_costs_its_own_bytes_only() -> None:
    counts = np.ones(1000, dtype=np.int64)
    plain = len(pack_counts(counts))
    counts[500] = 2**62
    assert len(pack_counts(counts)) < plain + 100
    assert (Unpacker(pack_counts(counts)).counts(1000) == counts).all()


def test_bytes_that_are_missing_or_left_over_are_refused() -> None:
    packed = pack_counts(np.arange(100))
    with pytest.raises(ValueError, match="missing"):
        Unpacker(packed[:-1]).counts(100)
    source = Unpacker(packed + b"\0")
    source.counts(100)
    with pytest.raises(ValueError, match="left over"):
        source.finish()


@pytest.mark.parametrize(
    "packed",
    [
        b"\3",  # a form that there is none of
        b"\0\5\1\0\0\0" + b"\0" * 6,  # gaps of five bytes
        b"\0\1\2\0\0\0\0\x09\1\1\0",  # a place beyond the end
        b"\0\1\x63\0\0\0" + b"\0" * 200,  # more places than cells
        b"\2" + b"\1" * 10 + b"\5",  # neither the end nor more
        (b"\2" + b"\xff" * 10 + b"\1") * 8 + b"\0",  # a count beyond 63 bits
        (b"\2" + b"\1" * 10 + b"\1") * 9,  # a count of nine bytes
    ],
)
def test_bytes_that_no_counts_have_are_refused(packed: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        Unpacker(packed).counts(10)


@pytest.mark.parametrize("packed", [b"", b"\0", b"\11" + b"\0" * 90, b"\1\1"])
def test_bytes_that_no_sums_have_are_refused(packed: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        Unpacker(packed).sums(10)
