import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.api.oip_binary import raw_floats, raw_strings, read_strings, split
from service.errors import MalformedRequest

HEADER = b"inference-header-content-length"
WHERE = "input text"


def raw(*elements: bytes) -> memoryview:
    return memoryview(b"".join(struct.pack("<I", len(one)) + one for one in elements))


def test_a_body_is_split_where_the_header_says() -> None:
    json, tail = split(b'{"a": 1}abcde', {HEADER: b"8"})
    assert json == b'{"a": 1}'
    assert [bytes(tail.take(size, WHERE)) for size in (2, 0, 3)] == [b"ab", b"", b"cde"]
    tail.finish()


def test_a_body_without_the_header_is_json_altogether() -> None:
    json, tail = split(b"{}", {})
    assert json == b"{}"
    tail.finish()
    with pytest.raises(MalformedRequest, match="input text: binary_data_size is 1, and 0 bytes"):
        tail.take(1, WHERE)


@pytest.mark.parametrize(
    ("length", "what"),
    [
        (b"", "not a number"),
        (b"-1", "not a number"),
        (b"+1", "not a number"),
        (b"1.0", "not a number"),
        (b"1, 1", "not a number"),
        (b"9" * 16, "not a number"),
        (b"\xb2", "not a number"),
        (b"3", "is 3, and the body has 2 bytes"),
        (b"0", "needs JSON"),
    ],
)
def test_a_length_that_cannot_be_is_refused(length: bytes, what: str) -> None:
    with pytest.raises(MalformedRequest, match=what):
        split(b"{}", {HEADER: length})


@pytest.mark.parametrize("size", [-1, 1.0, "1", True, None, [1]])
def test_a_size_that_is_no_size_is_refused(size: object) -> None:
    _, tail = split(b"{}xxxx", {HEADER: b"2"})
    with pytest.raises(MalformedRequest, match="input text: binary_data_size must be a whole"):
        tail.take(size, WHERE)


def test_a_size_beyond_the_body_is_refused_with_what_is_left() -> None:
    _, tail = split(b"{}xxxx", {HEADER: b"2"})
    tail.take(3, WHERE)
    with pytest.raises(MalformedRequest, match="binary_data_size is 2, and 1 bytes are left"):
        tail.take(2, WHERE)


def test_bytes_that_belong_to_no_tensor_are_refused() -> None:
    _, tail = split(b"{}xxxx", {HEADER: b"2"})
    tail.take(1, WHERE)
    with pytest.raises(MalformedRequest, match="3 bytes at the end"):
        tail.finish()


def test_elements_are_read_by_their_lengths() -> None:
    assert read_strings(raw(b"a", b"", "ä".encode()), 3, WHERE) == [b"a", b"", b"\xc3\xa4"]


@pytest.mark.parametrize(
    ("given", "count", "what"),
    [
        (raw(b"abc")[:3], 1, "ends after 0 elements, at byte 0 of 3; its shape says 1"),
        (raw(b"abc"), 2, "ends after 1 elements, at byte 7 of 7; its shape says 2"),
        (raw(b"abc")[:6], 1, "element 0 says 3 bytes, and 2 are left"),
        (memoryview(b"\xff\xff\xff\xff"), 1, "element 0 says 4294967295 bytes, and 0 are left"),
        (raw(b"a", b"b"), 1, "goes on for 5 bytes behind its 1 elements"),
    ],
)
def test_a_lie_about_lengths_is_told_by_its_place(given: memoryview, count: int, what: str) -> None:
    with pytest.raises(MalformedRequest, match=f"^input text.*{what}"):
        read_strings(given, count, WHERE)


@given(st.lists(st.text()))
def test_what_is_written_can_be_read(texts: list[str]) -> None:
    written = memoryview(raw_strings(texts))
    assert [one.decode() for one in read_strings(written, len(texts), WHERE)] == texts


@given(st.binary(max_size=64), st.integers(0, 20))
def test_any_bytes_are_read_or_refused(given: bytes, count: int) -> None:
    try:
        elements = read_strings(memoryview(given), count, WHERE)
    except MalformedRequest:
        return
    assert len(elements) == count
    assert b"".join(struct.pack("<I", len(one)) + one for one in elements) == given


def test_numbers_are_little_endian_float32_row_by_row() -> None:
    array = np.array([[1.5, -2.0], [0.25, 3.0]], dtype=np.float32)
    assert raw_floats(array) == struct.pack("<4f", 1.5, -2.0, 0.25, 3.0)
    assert raw_floats(array.T) == struct.pack("<4f", 1.5, 0.25, -2.0, 3.0)
