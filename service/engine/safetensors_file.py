"""Reading a safetensors file whose writer is not trusted.

Layout (https://github.com/huggingface/safetensors#format): 8 bytes, the header's length N, little
endian; N bytes of JSON, `{name: {"dtype", "shape", "data_offsets": [begin, end]}}`, and perhaps
`__metadata__`; then the tensors' bytes, without holes. Every number in the header is checked
against the bytes that are there before one byte is interpreted; no library is involved.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from service.engine.findings import Findings
from service.engine.strict_json import UnreadableJson, parse_object

FloatArray = NDArray[np.float32]

WEIGHTS_FILE = "adapter_model.safetensors"
HEADER_BYTES_MAX = 1 << 20
TENSORS_MAX = 8_192

_LENGTH_BYTES = 8
_DIMENSIONS_MAX = 8
_DIMENSION_MAX = 1 << 31
_NAME_CHARS_MAX = 256
_METADATA = "__metadata__"
_KEYS = {"dtype", "shape", "data_offsets"}
_ITEM_BYTES = {"F16": 2, "BF16": 2, "F32": 4, "F64": 8}


@dataclass(frozen=True, slots=True)
class _Entry:
    name: str
    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int


def read_tensors(source: Path | bytes) -> dict[str, FloatArray]:
    """Return the tensors of a safetensors file as float32, by their names.

    Takes F32, F16, BF16 and F64; values are not looked at, so they may be anything, and an F64
    beyond float32 becomes infinite. F32 tensors are views of the file's bytes: copy what is kept.
    Raises `InvalidAdapter` with every problem that the header has.
    """
    findings = Findings()
    data = source if isinstance(source, bytes) else source.read_bytes()
    tensors = scan_tensors(data, findings)
    findings.settle()
    return tensors


def scan_tensors(data: bytes, findings: Findings) -> dict[str, FloatArray]:
    """Return the tensors as `read_tensors` does, adding problems to `findings`.

    Where there are problems, the tensors without one are returned, so that they can be judged too.
    """
    header = _header(data, findings)
    if header is None:
        return {}
    start, document = header
    entries = []
    for name, entry in document.items():
        if name == _METADATA:
            if not isinstance(entry, dict) or not all(isinstance(v, str) for v in entry.values()):
                findings.add(f"{WEIGHTS_FILE}/{_METADATA}", "must map texts to texts")
            continue
        read = _entry(name, entry, len(data) - start, findings)
        if read is not None:
            entries.append(read)
    entries = _apart(entries, len(data) - start, whole=not findings, findings=findings)
    return {entry.name: _array(data, start, entry) for entry in entries}


def _header(data: bytes, findings: Findings) -> tuple[int, Mapping[str, object]] | None:
    if len(data) < _LENGTH_BYTES:
        findings.add(WEIGHTS_FILE, f"is no safetensors file: it has {len(data)} bytes")
        return None
    length = int.from_bytes(data[:_LENGTH_BYTES], "little")
    start = _LENGTH_BYTES + length
    if length > HEADER_BYTES_MAX:
        findings.add(
            WEIGHTS_FILE,
            f"is no safetensors file, or has a header of {length:,} bytes;"
            f" the limit is {HEADER_BYTES_MAX:,}",
        )
        return None
    if start > len(data):
        findings.add(
            WEIGHTS_FILE,
            f"is cut off: the header should have {length:,} bytes, the whole file has"
            f" {len(data):,}",
        )
        return None
    try:
        document = parse_object(data[_LENGTH_BYTES:start], bytes_max=HEADER_BYTES_MAX, depth_max=4)
    except UnreadableJson as error:
        findings.add(WEIGHTS_FILE, f"has an unreadable header: {error}")
        return None
    if len(document) > TENSORS_MAX:
        findings.add(WEIGHTS_FILE, f"has {len(document):,} tensors, the limit is {TENSORS_MAX:,}")
        return None
    return start, document


def _entry(name: str, entry: object, available: int, findings: Findings) -> _Entry | None:
    where = f"{WEIGHTS_FILE}/{name}"
    if not (name.isascii() and name.isprintable() and 0 < len(name) <= _NAME_CHARS_MAX):
        findings.add(where, f"must be a name of 1 to {_NAME_CHARS_MAX} printable ASCII characters")
        return None
    if not isinstance(entry, dict) or set(entry) != _KEYS:
        findings.add(where, "must have exactly dtype, shape and data_offsets")
        return None
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in _ITEM_BYTES:
        findings.add(where, f"has dtype {dtype!r:.40}; {', '.join(_ITEM_BYTES)} are read")
        return None
    if (
        not isinstance(shape, list)
        or len(shape) > _DIMENSIONS_MAX
        or not all(type(size) is int and 0 < size <= _DIMENSION_MAX for size in shape)
    ):
        findings.add(where, f"has an unreadable shape {shape!r:.80}")
        return None
    if (
        not isinstance(offsets, list)
        or len(offsets) != 2
        or not all(type(offset) is int for offset in offsets)
        or not 0 <= offsets[0] <= offsets[1] <= available
    ):
        findings.add(
            where,
            f"has data_offsets {offsets!r:.80} outside of the file's {available:,} bytes of data",
        )
        return None
    begin, end = offsets
    needed = math.prod(shape) * _ITEM_BYTES[dtype]
    if end - begin != needed:
        findings.add(
            where,
            f"has {end - begin:,} bytes, but shape {shape} of {dtype} takes {needed:,}",
        )
        return None
    return _Entry(name, dtype, tuple(shape), begin, end)


def _apart(
    entries: list[_Entry], available: int, *, whole: bool, findings: Findings
) -> list[_Entry]:
    """Return the entries that share no bytes; find holes where all could be read (`whole`).

    Entries that share bytes are left out: many large tensors could hide in few bytes.
    """
    apart = []
    expected = 0
    for entry in sorted(entries, key=lambda entry: entry.begin):
        if entry.begin < expected:
            findings.add(f"{WEIGHTS_FILE}/{entry.name}", "shares bytes with another tensor")
            continue
        if entry.begin > expected and whole:
            findings.add(
                f"{WEIGHTS_FILE}/{entry.name}",
                f"begins at byte {entry.begin:,}, but the tensors before it end at {expected:,}",
            )
        expected = entry.end
        apart.append(entry)
    if whole and expected != available:
        findings.add(
            WEIGHTS_FILE, f"has {available:,} bytes of data, its tensors end at {expected:,}"
        )
    return apart


def _array(data: bytes, start: int, entry: _Entry) -> FloatArray:
    count = math.prod(entry.shape)
    offset = start + entry.begin
    if entry.dtype == "BF16":  # the upper half of a float32
        halves = np.frombuffer(data, "<u2", count, offset)
        flat = (halves.astype(np.uint32) << 16).view(np.float32)
    elif entry.dtype == "F32":
        flat = np.frombuffer(data, "<f4", count, offset)
    else:
        stored = np.frombuffer(data, "<f2" if entry.dtype == "F16" else "<f8", count, offset)
        with np.errstate(over="ignore", invalid="ignore"):
            flat = stored.astype(np.float32)
    return flat.reshape(entry.shape)
