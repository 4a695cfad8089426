"""Taking one tenant's events out of the log: segments are rewritten without its rows.

Frames keep their numbers, first sequence numbers and stamps, so that readers go on where they are;
a frame that loses rows is flagged, and an empty one has no payload. A segment is replaced as a
whole by a rename: a death leaves the old one or the new one.

When all is done a record of it is left in `erased`. Readers that made something of the events look
there: a tenant's record with another `erasure` than the last means that what they have of the
tenant goes too.
"""

import hashlib
import os
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import orjson
import pyarrow.compute as pc

from service.events.disk import Disk, LocalDisk, give_to_owner, write_all
from service.events.folder import ERASURES, SEAL, SegmentFile, is_alive, janitor, segments, writers
from service.events.frames import ERASED, Header, checksum, encode, schema_payload
from service.events.retention import recover
from service.events.segments import SegmentReader, frame, segment_head

_POLL_S = 0.05


@dataclass(frozen=True, slots=True)
class Erased:
    """What an erasure did."""

    events: int  # that were taken out
    segments: int  # that were rewritten for it
    damaged: int  # places that could not be read, and were taken out for that
    unsealed: tuple[str, ...]  # writers that did not seal in time: erase again


def erase(folder: Path, tenant: str, *, wait_s: float = 30.0, disk: Disk | None = None) -> Erased:
    """Take a tenant's events out of all segments; any process may call it, beside writers.

    Open segments are sealed first: their writers are asked, and looked after for `wait_s`. Events
    that come after the call began stay, so the tenant should get no answers any more. Raises
    `OSError`, and `UnknownSchema` for a segment of a later version of this software.
    """
    if not folder.is_dir():
        return Erased(0, 0, 0, ())
    with janitor(folder, wait=True):
        unsealed = _seal_all(folder, wait_s)
        recover(folder)
        events = rewritten = damaged = 0
        for writer in writers(folder):
            for file in segments(folder, writer):
                if not file.sealed:
                    continue
                rows, places = _rewrite(file, tenant, disk or LocalDisk())
                events, damaged = events + rows, damaged + places
                rewritten += bool(rows or places)
        _leave_record(folder, tenant, disk or LocalDisk())
    return Erased(events, rewritten, damaged, unsealed)


def erasures(folder: Path) -> Mapping[str, str]:
    """Return which tenants were erased, each with what tells its last erasure from others.

    Raises `OSError`, and `ValueError` for a record that is damaged.
    """
    found = {}
    for path in sorted((folder / ERASURES).glob("*.json")):
        try:
            document = orjson.loads(path.read_bytes())
            found[str(document["tenant"])] = str(document["erasure"])
        except (ValueError, TypeError, KeyError) as error:
            raise ValueError(f"{path} is no record of an erasure; erase again") from error
    return found


def _leave_record(folder: Path, tenant: str, disk: Disk) -> None:
    """Say that a tenant was erased, once nothing of it is left."""
    records = folder / ERASURES
    records.mkdir(mode=0o700, exist_ok=True)
    _give(records, folder)
    disk.sync_folder(folder)
    for draft in records.glob(".*"):  # of an erasure that died; there is one at a time
        draft.unlink()
    path = records / f"{hashlib.sha256(tenant.encode()).hexdigest()[:32]}.json"
    draft = path.with_name(f".{path.stem}")
    handle = disk.create(draft)
    try:
        record = {"tenant": tenant, "erasure": secrets.token_hex(8)}
        write_all(disk, handle, orjson.dumps(record), 0)
        give_to_owner(handle, folder)
        disk.sync(handle)
        disk.rename(draft, path)
    finally:
        os.close(handle)
        draft.unlink(missing_ok=True)
    disk.sync_folder(records)


def _give(path: Path, of: Path) -> None:
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        give_to_owner(handle, of)
    finally:
        os.close(handle)


def _seal_all(folder: Path, wait_s: float) -> tuple[str, ...]:
    """Ask all living writers to write what waits and seal it; return those that did not."""
    asked = [writer for writer in writers(folder) if is_alive(folder, writer)]
    for writer in asked:
        (folder / writer / SEAL).touch()
    until_s = time.monotonic() + wait_s
    while asked := [writer for writer in asked if _waits(folder, writer)]:
        if time.monotonic() > until_s:
            break
        time.sleep(_POLL_S)
    return tuple(asked)


def _waits(folder: Path, writer: str) -> bool:
    return (folder / writer / SEAL).exists() and is_alive(folder, writer)


class _Count:
    def __init__(self) -> None:
        self.value = 0

    def add(self) -> None:
        self.value += 1


def _rewrite(file: SegmentFile, tenant: str, disk: Disk) -> tuple[int, int]:
    """Rewrite a segment that holds a tenant's events, or damage, which may hold some.

    Returns how many events and how many damaged places were in it.
    """
    damage = _Count()
    reader = SegmentReader(file.path, on_damage=damage.add)
    found = 0
    try:
        while (header := reader.peek(final=True)) is not None:
            batch = reader.load(header, final=True)
            if batch is not None:
                found += pc.sum(pc.equal(batch["tenant"], tenant)).as_py() or 0
    finally:
        reader.close()
    if found or damage.value:
        _replace(file.path, tenant, disk)
    return found, damage.value


def _replace(path: Path, tenant: str, disk: Disk) -> None:
    draft = path.with_name(f".{path.name}")
    draft.unlink(missing_ok=True)  # of an erasure that died; there is one at a time
    handle = disk.create(draft)
    reader = SegmentReader(path)
    try:
        end = 0
        while (header := reader.peek(final=True)) is not None:
            if not end:
                end = write_all(disk, handle, segment_head(schema_payload(reader.schema)), 0)
            end = write_all(disk, handle, _without(tenant, reader, header), end)
        give_to_owner(handle, path)
        disk.sync(handle)
        status = path.stat()
        os.utime(handle, ns=(status.st_atime_ns, status.st_mtime_ns))  # its age stays
        disk.rename(draft, path)
    finally:
        os.close(handle)
        reader.close()
        draft.unlink(missing_ok=True)
    disk.sync_folder(path.parent)


def _without(tenant: str, reader: SegmentReader, header: Header) -> bytes:
    """Return the frame that comes next, without a tenant's rows."""
    before = reader.payload(header)
    batch = reader.load(header, final=True)
    payload: Any = b""
    if batch is not None:
        others = batch.filter(pc.not_equal(batch["tenant"], tenant))
        if others.num_rows == batch.num_rows:
            return frame(header, before)
        if others.num_rows:
            payload = encode(others)
    left = replace(
        header,
        flags=header.flags | ERASED,
        length=len(payload),
        crc=checksum(payload),
    )
    return frame(left, payload)
