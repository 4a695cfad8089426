"""From frozen dataclasses of numbers, texts and arrays to bytes and back; no pickle.

msgpack, with arrays as extension type 1: dtype and shape as JSON, a zero byte, and the elements in
C order, little-endian.
"""

from math import prod
from typing import Any, TypeVar

import msgspec
import numpy as np

T = TypeVar("T")

_ARRAY = 1
_DTYPES = frozenset({"|b1", "|i1", "|u1", *(f"<{k}{n}" for k in "iuf" for n in (2, 4, 8))})


def encode(value: Any) -> bytes:
    """Return a dataclass, list or dict as bytes; arrays keep dtype and shape."""
    return _ENCODER.encode(value)


def decode(data: bytes, kind: type[T]) -> T:
    """Return what `encode` wrote; raise `ValueError` for bytes that are no `kind`."""
    try:
        return msgspec.msgpack.decode(data, type=kind, dec_hook=_from, ext_hook=_array)
    except msgspec.MsgspecError as error:
        raise ValueError(f"no {kind.__name__}: {error}") from error


def _to(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        plain = np.ascontiguousarray(value)
        little = plain.astype(plain.dtype.newbyteorder("<"), copy=False)
        head = msgspec.json.encode([little.dtype.str, list(value.shape)])
        return msgspec.msgpack.Ext(_ARRAY, head + b"\0" + little.tobytes())
    if isinstance(value, np.generic):
        return value.item()
    raise NotImplementedError(f"a {type(value).__name__} cannot be kept")


def _array(code: int, data: memoryview) -> Any:
    if code != _ARRAY:
        raise ValueError(f"extension {code} is not known")
    head, _, elements = bytes(data).partition(b"\0")
    dtype, shape = msgspec.json.decode(head, type=tuple[str, list[int]])
    if dtype not in _DTYPES or min(shape, default=0) < 0:
        raise ValueError(f"an array of {dtype} {shape}")
    kind = np.dtype(dtype)
    if prod(shape) * kind.itemsize != len(elements):
        raise ValueError("an array of another length")
    return np.frombuffer(elements, kind).reshape(shape).copy()


def _from(_kind: type, value: Any) -> Any:
    if isinstance(value, np.ndarray):  # annotations of arrays are not checked any further
        return value
    raise ValueError(f"a {type(value).__name__} in place of an array")


_ENCODER = msgspec.msgpack.Encoder(enc_hook=_to)
