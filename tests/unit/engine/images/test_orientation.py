"""The orientation is read as Pillow reads it, and from nothing else."""

import struct
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from service.engine.images.orientation import (
    exif_orientation,
    inflated,
    upright,
    xmp_orientation,
)


def exif(*entries: tuple[int, int, int, bytes], order: str = ">", tail: bytes = b"") -> bytes:
    """Return EXIF data of entries of tag, type, count and four bytes."""
    head = b"MM\x00*" if order == ">" else b"II*\x00"
    body = b"".join(struct.pack(order + "HHL", *e[:3]) + e[3].ljust(4, b"\x00") for e in entries)
    return head + struct.pack(order + "LH", 8, len(entries)) + body + struct.pack(">L", 0) + tail


def of_pillow(data: bytes) -> object:
    image = Image.new("L", (1, 1))
    image.info["exif"] = b"Exif\x00\x00" + data
    return image.getexif().get(0x0112)


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (3, b"\x00\x06"),
        (4, b"\x00\x00\x00\x06"),
        (6, b"\x06"),
        (8, b"\x00\x06"),
        (9, b"\0\0\0\x06"),
    ],
)
def test_every_integer_type_is_read(kind: int, value: bytes) -> None:
    data = exif((0x0112, kind, 1, value))
    assert exif_orientation(data) == of_pillow(data) == 6


@given(st.sampled_from("<>"), st.integers(0, 2**16 - 1))
def test_both_orders_of_bytes_are_read(order: str, value: int) -> None:
    data = exif((0x0112, 3, 1, struct.pack(order + "H", value)), order=order)
    assert exif_orientation(data) == of_pillow(data) == value


def test_the_last_of_several_counts() -> None:
    data = exif((0x0112, 3, 1, b"\x00\x06"), (0x0112, 3, 1, b"\x00\x03"))
    assert exif_orientation(data) == 3


def test_what_follows_a_damaged_entry_is_not_read() -> None:
    data = exif((0x010F, 2, 500, b"\x00\x00\x00\x26"), (0x0112, 3, 1, b"\x00\x06"))
    assert exif_orientation(data) is None


@pytest.mark.parametrize(
    "data", [b"", b"MM\x00*", b"garbage", b"MM\x00*\xff\xff\xff\xff", exif((0x0112, 3, 0, b""))]
)
def test_what_makes_no_sense_holds_none(data: bytes) -> None:
    assert exif_orientation(data) is None


@given(st.binary(max_size=80))
def test_noise_does_no_harm(noise: bytes) -> None:
    for head in (b"MM\x00*\x00\x00\x00\x08", b"II*\x00\x08\x00\x00\x00", b""):
        found = exif_orientation(head + noise)
        assert found is None or isinstance(found, int)


def test_a_packet_of_xmp_is_read() -> None:
    assert xmp_orientation(b'<rdf tiff:Orientation="8"/>') == 8
    assert xmp_orientation(b"<tiff:Orientation>3</tiff:Orientation>") == 3
    assert xmp_orientation(b"<rdf/>") is None


def test_the_first_that_says_something_counts() -> None:
    assert upright(None, 6) == 6
    assert upright(3, 6) == 3
    assert upright(None, None) == upright(0, 6) == upright(9) == 1


def test_a_text_is_inflated_within_bounds() -> None:
    assert inflated(zlib.compress(b"text")) == b"text"
    assert inflated(zlib.compress(bytes((1 << 20) + 1))) == b""
    assert inflated(b"no such thing") == b""
