"""What lies where in the log's folder.

events/
  janitor.lock            held by the one process that retires or erases segments
  readers/<name>.json     how far each reader has read
  erased/<digest>.json    a tenant whose events were erased: readers forget it too
  <writer>/               one a start of a process; its name is never used again
    lock                  held while the writer lives; says how far its order has come
    seal                  somebody asks the writer to seal its open segment
    00000001.log          sealed: never written again, but by an erasure
    00000002.open         the writer writes here
"""

import fcntl
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from service.events.disk import give_to_owner

READERS = "readers"
ERASURES = "erased"
JANITOR_LOCK = "janitor.lock"
LOCK, SEAL = "lock", "seal"
SEALED, OPEN = ".log", ".open"

_WRITER = re.compile(r"[0-9a-f]{8}-[0-9a-f]{16}")
_SEGMENT = re.compile(r"([0-9]{8})(\.log|\.open)")


@dataclass(frozen=True, slots=True)
class SegmentFile:
    """A segment, by its name."""

    writer: str
    number: int
    sealed: bool
    path: Path


def new_writer(wall_s: float) -> str:
    """Return a writer's name: when it started, and chance, so that none is used twice."""
    return f"{int(wall_s) & 0xFFFFFFFF:08x}-{os.urandom(8).hex()}"


def segment_path(folder: Path, writer: str, number: int, ending: str) -> Path:
    """Return where a segment lies."""
    return folder / writer / f"{number:08d}{ending}"


def writers(folder: Path) -> list[str]:
    """Return the names of all writers, dead ones too, in order; none where there is no log."""
    try:
        names = [path.name for path in folder.iterdir()]
    except FileNotFoundError:
        return []
    return sorted(name for name in names if _WRITER.fullmatch(name))


def segments(folder: Path, writer: str) -> list[SegmentFile]:
    """Return a writer's segments, oldest first."""
    try:
        names = [path.name for path in (folder / writer).iterdir()]
    except FileNotFoundError:
        return []
    found: dict[int, SegmentFile] = {}
    for name in sorted(names, reverse=True):  # of two names of one segment, the sealed one stays
        match = _SEGMENT.fullmatch(name)
        if match:
            number, sealed = int(match[1]), match[2] == SEALED
            found[number] = SegmentFile(writer, number, sealed, folder / writer / name)
    return [found[number] for number in sorted(found)]


def is_alive(folder: Path, writer: str) -> bool:
    """Return whether a writer's process still holds its lock."""
    try:
        handle = os.open(folder / writer / LOCK, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(handle)
    return False


@contextmanager
def held_as_dead(folder: Path, writer: str) -> Iterator[bool]:
    """Hold a dead writer's lock, so that nobody begins under its name; gives False if it lives."""
    try:
        handle = os.open(folder / writer / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except FileNotFoundError:
        yield False
        return
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            dead = False
        else:
            dead = True
        yield dead
    finally:
        os.close(handle)


@contextmanager
def janitor(folder: Path, *, wait: bool) -> Iterator[bool]:
    """Be the one process that retires or erases segments; gives False where another one is.

    With `wait` it waits for the other one, and always gives True.
    """
    handle = os.open(folder / JANITOR_LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        give_to_owner(handle, folder)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            yield False
            return
        yield True
    finally:
        os.close(handle)
