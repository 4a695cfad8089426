"""The bytes of a segment: a header, then frames.

    segment  8 bytes `TNTRYLOG`, format u32, CRC-32 of the schema, CRC-32 of the bytes before it
    frame    4 bytes magic, kind u8, flags u8, 2 bytes zero, number u32, events u32, first i64,
             stamp i64, written i64, length u32, CRC-32 of the payload, CRC-32 of the header
    payload  `length` bytes: an Arrow schema message (frame 0) or a record batch message

All numbers are little-endian. The header has a CRC of its own, so that a length is believed only
where it is right, and a reader can look at the order of frames without reading their payloads.
The magic begins with a byte that no UTF-8 text contains, so no text can look like a frame.
"""

import struct
import zlib
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from service.events.schema import SCHEMA, check_schema

FORMAT = 1
FRAME_BYTES_MAX = 64 << 20
MAGIC = b"\xf5TNF"
SCHEMA_FRAME, EVENTS_FRAME = 0, 1
ERASED = 1  # flag: the payload may hold fewer events than the header says

_SEGMENT = struct.Struct("<8sIII")
_SEGMENT_MAGIC = b"TNTRYLOG"
_FRAME = struct.Struct("<4sBBHIIqqqIII")
_CRC = struct.Struct("<I")

SEGMENT_HEADER_BYTES = _SEGMENT.size
HEADER_BYTES = _FRAME.size

_OPTIONS = pa.ipc.IpcWriteOptions(compression="lz4", use_threads=False)
_SCHEMA_BYTES: bytes = SCHEMA.serialize().to_pybytes()
_END_BYTES = 8  # of a stream


class DamagedFrame(ValueError):
    """A payload that is not what its frame says."""


@dataclass(frozen=True, slots=True)
class Header:
    """A frame's header."""

    kind: int
    flags: int
    number: int  # of the frame in its segment; the schema is 0
    events: int  # that were written in it, whatever was erased since
    first: int  # sequence number of the first of them
    stamp: int  # its place in the order over all writers
    written_us: int  # by the wall clock
    length: int  # bytes of the payload
    crc: int  # of the payload

    @property
    def bytes(self) -> int:
        """Return the frame's size."""
        return HEADER_BYTES + self.length


def segment_header(schema: bytes) -> bytes:
    """Return the first bytes of a segment, whose schema is given as the payload of frame 0."""
    body = _SEGMENT.pack(_SEGMENT_MAGIC, FORMAT, zlib.crc32(schema), 0)[: -_CRC.size]
    return body + _CRC.pack(zlib.crc32(body))


def has_known_schema(data: bytes) -> bool:
    """Return whether the first bytes of a segment name the schema of this version."""
    return data[:SEGMENT_HEADER_BYTES] == segment_header(_SCHEMA_BYTES)


def pack(header: Header) -> bytes:
    """Return a header's bytes."""
    body = _FRAME.pack(
        MAGIC,
        header.kind,
        header.flags,
        0,
        header.number,
        header.events,
        header.first,
        header.stamp,
        header.written_us,
        header.length,
        header.crc,
        0,
    )[: -_CRC.size]
    return body + _CRC.pack(zlib.crc32(body))


def unpack(data: bytes) -> Header | None:
    """Return the header in the first bytes of `data`, None where there is none."""
    if len(data) < HEADER_BYTES or data[: len(MAGIC)] != MAGIC:
        return None
    magic_and_fields = _FRAME.unpack_from(data)
    if zlib.crc32(data[: HEADER_BYTES - _CRC.size]) != magic_and_fields[-1]:
        return None
    _, kind, flags, _, number, events, first, stamp, written_us, length, crc, _ = magic_and_fields
    if length > FRAME_BYTES_MAX:
        return None
    return Header(kind, flags, number, events, first, stamp, written_us, length, crc)


def schema_payload(schema: Any = SCHEMA) -> bytes:
    """Return the payload of frame 0."""
    payload: bytes = schema.serialize().to_pybytes()
    return payload


def read_schema(header: Header, payload: bytes) -> Any:
    """Return the schema of frame 0; raise `DamagedFrame` or `UnknownSchema`."""
    if len(payload) != header.length or zlib.crc32(payload) != header.crc:
        raise DamagedFrame("another checksum")
    try:
        schema = pa.ipc.read_schema(pa.py_buffer(payload))
    except (pa.ArrowException, OSError, ValueError) as error:
        raise DamagedFrame("the schema cannot be read") from error
    check_schema(schema)
    return schema


def encode(batch: Any) -> Any:
    """Return the payload of a record batch, as an Arrow buffer: compressed, without its schema."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema, options=_OPTIONS) as stream:
        stream.write_batch(batch)
    whole = sink.getvalue()
    # An erasure may hold a segment of earlier columns.
    head = len(_SCHEMA_BYTES) if batch.schema is SCHEMA else batch.schema.serialize().size
    return whole.slice(head, whole.size - head - _END_BYTES)


def decode(header: Header, payload: bytes, schema: Any) -> Any:
    """Return the record batch of a frame; raise `DamagedFrame`.

    What was written is checked in full: a batch that came through is safe to use.
    """
    if len(payload) != header.length or zlib.crc32(payload) != header.crc:
        raise DamagedFrame("another checksum")
    if not payload:
        return pa.RecordBatch.from_arrays([pa.nulls(0, f.type) for f in schema], schema=schema)
    try:
        batch = pa.ipc.read_record_batch(pa.py_buffer(payload), schema)
        batch.validate(full=True)
    except (pa.ArrowException, OSError, ValueError, MemoryError) as error:
        raise DamagedFrame("the events cannot be read") from error
    if batch.num_rows != header.events and not header.flags & ERASED:
        raise DamagedFrame("another number of events")
    return batch


def checksum(payload: Any) -> int:
    """Return the CRC-32 of a payload, bytes or buffer."""
    return zlib.crc32(payload)
