"""Raw tensors: what stands behind a request's or an answer's JSON.

The binary tensor data extension, https://github.com/triton-inference-server/server, docs/protocol/
extension_binary_data.md: a header says where the JSON ends; the tensors follow in the order in
which it lists them, little-endian, without padding. An element of BYTES is its length, a u32, and
its bytes. gRPC has the same raw tensors, each in a field of its own.
"""

import re
import struct
from collections.abc import Iterable, Mapping

import numpy as np

from service.engine.adapter import FloatArray
from service.errors import MalformedRequest

LENGTH_HEADER = b"inference-header-content-length"
SIZE = "binary_data_size"

_DIGITS = re.compile(rb"[0-9]{1,15}")
_LENGTH = struct.Struct("<I")


class RawTensors:
    """The bytes behind a request's JSON, taken tensor by tensor in the order of the inputs."""

    def __init__(self, tail: memoryview) -> None:
        self._tail = tail
        self._taken = 0

    def take(self, size: object, where: str) -> memoryview:
        """Return the next `size` bytes; raise `MalformedRequest` where there are not so many."""
        if type(size) is not int or size < 0:
            raise MalformedRequest(f"{where}: {SIZE} must be a whole number, 0 or more")
        left = len(self._tail) - self._taken
        if size > left:
            raise MalformedRequest(
                f"{where}: {SIZE} is {size}, and {left} bytes are left behind the JSON"
            )
        start = self._taken
        self._taken += size
        return self._tail[start : self._taken]

    def finish(self) -> None:
        """Raise `MalformedRequest` where bytes are left that belong to no tensor."""
        left = len(self._tail) - self._taken
        if left:
            raise MalformedRequest(f"{left} bytes at the end of the body belong to no input")


def split(body: bytes, headers: Mapping[bytes, bytes]) -> tuple[bytes, RawTensors]:
    """Return a body's JSON and what stands behind it; without the header all of it is JSON.

    The header counts bytes of the body as it was before it was compressed. Raises
    `MalformedRequest` for a length that cannot be.
    """
    given = headers.get(LENGTH_HEADER)
    if given is None:
        return body, RawTensors(memoryview(b""))
    if not _DIGITS.fullmatch(given):
        raise MalformedRequest("Inference-Header-Content-Length is not a number")
    length = int(given)
    if length == 0:
        raise MalformedRequest(
            "Inference-Header-Content-Length is 0; a request needs JSON that describes its tensors"
        )
    if length > len(body):
        raise MalformedRequest(
            f"Inference-Header-Content-Length is {length}, and the body has {len(body)} bytes"
        )
    return body[:length], RawTensors(memoryview(body)[length:])


def read_strings(raw: memoryview, count: int, where: str) -> list[bytes]:
    """Return the elements of a BYTES tensor; raise `MalformedRequest` unless they are `count`."""
    elements: list[bytes] = []
    at, end = 0, len(raw)
    for number in range(count):
        if end - at < _LENGTH.size:
            raise MalformedRequest(
                f"{where} ends after {number} elements, at byte {at} of {end}; its shape says"
                f" {count}"
            )
        (length,) = _LENGTH.unpack_from(raw, at)
        at += _LENGTH.size
        if length > end - at:
            raise MalformedRequest(
                f"{where}, element {number} says {length} bytes, and {end - at} are left"
            )
        elements.append(bytes(raw[at : at + length]))
        at += length
    if at != end:
        raise MalformedRequest(f"{where} goes on for {end - at} bytes behind its {count} elements")
    return elements


def raw_strings(texts: Iterable[str]) -> bytes:
    """Return a raw BYTES tensor."""
    parts: list[bytes] = []
    for text in texts:
        encoded = text.encode()
        parts += (_LENGTH.pack(len(encoded)), encoded)
    return b"".join(parts)


def raw_floats(array: FloatArray) -> bytes:
    """Return a raw FP32 tensor, row by row."""
    return np.ascontiguousarray(array, dtype="<f4").tobytes()
