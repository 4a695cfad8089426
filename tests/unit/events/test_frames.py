import struct
import zlib
from dataclasses import replace

import pyarrow as pa
import pytest

from service.events.columns import record_batch
from service.events.frames import (
    ERASED,
    EVENTS_FRAME,
    FRAME_BYTES_MAX,
    HEADER_BYTES,
    MAGIC,
    SCHEMA_FRAME,
    DamagedFrame,
    Header,
    checksum,
    decode,
    encode,
    has_known_schema,
    pack,
    read_schema,
    schema_payload,
    segment_header,
    unpack,
)
from service.events.schema import SCHEMA, UnknownSchema
from tests.fakes.events import label_of

PAYLOAD = bytes(encode(record_batch([label_of(1), label_of(2)], 0)))
HEADER = Header(EVENTS_FRAME, 0, 3, 2, 0, 1_000_000, 5, len(PAYLOAD), checksum(PAYLOAD))


def test_a_header_comes_back_as_it_was() -> None:
    assert unpack(pack(HEADER)) == HEADER
    assert len(pack(HEADER)) == HEADER_BYTES


@pytest.mark.parametrize("place", range(HEADER_BYTES))
def test_a_header_with_any_byte_changed_is_none(place: int) -> None:
    data = bytearray(pack(HEADER))
    data[place] ^= 0x40
    assert unpack(bytes(data)) is None


@pytest.mark.parametrize("length", range(0, HEADER_BYTES, 7))
def test_part_of_a_header_is_none(length: int) -> None:
    assert unpack(pack(HEADER)[:length]) is None


def test_a_length_beyond_the_bound_is_not_believed() -> None:
    assert unpack(pack(replace(HEADER, length=FRAME_BYTES_MAX))) is not None
    assert unpack(pack(replace(HEADER, length=FRAME_BYTES_MAX + 1))) is None


def test_no_text_can_look_like_a_frame() -> None:
    with pytest.raises(UnicodeDecodeError):
        MAGIC.decode()


def test_events_come_back_as_they_were() -> None:
    batch = decode(HEADER, PAYLOAD, SCHEMA)
    assert batch.equals(record_batch([label_of(1), label_of(2)], 0))


def test_a_payload_with_a_byte_changed_is_damaged() -> None:
    for place in range(0, len(PAYLOAD), 97):
        data = bytearray(PAYLOAD)
        data[place] ^= 1
        with pytest.raises(DamagedFrame):
            decode(HEADER, bytes(data), SCHEMA)


def test_a_payload_that_lies_under_a_right_checksum_is_damaged_and_takes_no_memory() -> None:
    """Every byte of it is changed in turn, which makes lengths and offsets that lie."""
    before = pa.total_allocated_bytes()
    refused = 0
    for place in range(0, len(PAYLOAD), 3):
        data = bytearray(PAYLOAD)
        data[place] ^= 0xFF
        header = replace(HEADER, crc=checksum(bytes(data)))
        try:
            batch = decode(header, bytes(data), SCHEMA)
        except DamagedFrame:
            refused += 1
        else:
            assert batch.num_rows == 2
            encode(batch)  # looks at every buffer
    assert refused > 100
    assert pa.total_allocated_bytes() <= before + (1 << 20)


def test_compressed_columns_that_claim_to_be_huge_are_damaged() -> None:
    lengths = struct.Struct("<q")
    tried = 0
    for place in range(0, len(PAYLOAD) - 8, 8):
        if not 0 < lengths.unpack_from(PAYLOAD, place)[0] < 200:
            continue
        data = bytearray(PAYLOAD)
        lengths.pack_into(data, place, 1 << 50)
        header = replace(HEADER, crc=checksum(bytes(data)))
        tried += 1
        try:
            assert decode(header, bytes(data), SCHEMA).num_rows == 2
        except DamagedFrame:
            continue
    assert tried > 10


def test_fewer_events_than_the_header_says_are_damage_unless_some_were_erased() -> None:
    with pytest.raises(DamagedFrame):
        decode(replace(HEADER, events=3), PAYLOAD, SCHEMA)
    assert decode(replace(HEADER, events=3, flags=ERASED), PAYLOAD, SCHEMA).num_rows == 2


def test_a_frame_whose_events_were_all_erased_is_empty() -> None:
    empty = replace(HEADER, flags=ERASED, length=0, crc=zlib.crc32(b""))
    batch = decode(empty, b"", SCHEMA)
    assert batch.num_rows == 0
    assert batch.schema.equals(SCHEMA)


def test_a_segment_says_which_schema_it_has() -> None:
    payload = schema_payload()
    assert has_known_schema(segment_header(payload) + b"more")
    assert not has_known_schema(segment_header(payload[:-1]))
    header = Header(SCHEMA_FRAME, 0, 0, 0, 0, 0, 0, len(payload), checksum(payload))
    assert read_schema(header, payload).equals(SCHEMA)


def test_a_schema_of_another_version_is_named() -> None:
    payload = schema_payload(SCHEMA.with_metadata({"tenantry.events": "2"}))
    header = Header(SCHEMA_FRAME, 0, 0, 0, 0, 0, 0, len(payload), checksum(payload))
    with pytest.raises(UnknownSchema, match="events of schema 2; this reads 1"):
        read_schema(header, payload)


def test_events_of_earlier_columns_can_be_written_again() -> None:
    narrow = record_batch([label_of(1)], 0).select(["kind", "tenant", "sequence"])
    payload = bytes(encode(narrow))
    header = replace(HEADER, events=1, length=len(payload), crc=checksum(payload))
    assert decode(header, payload, narrow.schema).equals(narrow)
