"""One order over all writers: each frame has a stamp, and each writer says how far it has come.

A stamp is the wall clock in microseconds where that moves on, and one more than the last stamp
where it does not: a Lamport clock (Lamport 1978) that follows the time. The log's order is by
stamp, then by the writer's name. It depends on what was written alone, not on when it is read.

Beside its lock a writer publishes two numbers: `ceiling`, the largest stamp that it has begun to
write, and `promise`, below or at which it will write no more. So a reader may deliver all frames
up to the smallest promise of the living. A writer begins above all ceilings, and takes over larger
ones of others whenever it beats, so that the orders of all move on together.
"""

import contextlib
import fcntl
import os
import struct
import zlib
from pathlib import Path
from typing import Self

from service.events.folder import LOCK, is_alive, new_writer, writers

_STATE = struct.Struct("<qqI")  # promise, ceiling, CRC-32 of both
_TRIES = 16


class Writership:
    """A writer's place in the log: its folder, its lock and its stamps."""

    def __init__(self, folder: Path, name: str, handle: int) -> None:
        self.name = name
        self.folder = folder
        self._handle = handle
        self._last = 0
        self._promise = 0
        self._dead_ceilings: dict[str, int] = {}

    @classmethod
    def begin(cls, folder: Path, wall_s: float) -> Self:
        """Make a writer's folder and lock it. Raises `OSError`."""
        for _ in range(_TRIES):
            name = new_writer(wall_s)
            (folder / name).mkdir(mode=0o700)
            handle = _locked(folder / name / LOCK)
            if handle is None:  # a janitor took it for dead between the two calls
                continue
            writer = cls(folder, name, handle)
            try:
                writer._publish(0, 0)  # from now on readers wait for it,
                writer.beat(wall_s)  # so the ceilings that it reads here are all there are
            except OSError:
                writer.end()
                with contextlib.suppress(OSError):
                    (folder / name / LOCK).unlink()
                    (folder / name).rmdir()
                raise
            return writer
        raise OSError(f"no writer could begin in {folder}")

    def beat(self, wall_s: float) -> None:
        """Promise that all that follows comes later than now, by all writers' clocks."""
        others = max((self._ceiling_of(name) for name in writers(self.folder)), default=0)
        self._last = max(self._last, int(wall_s * 1e6), others)
        self._publish(self._last, self._last)

    def stamp(self, wall_s: float) -> int:
        """Return the stamp of the next frames, and publish that they begin to be written."""
        stamp = max(self._last + 1, int(wall_s * 1e6))
        self._publish(self._promise, stamp)
        self._last = stamp
        return stamp

    def written(self) -> None:
        """Publish that all frames up to the last stamp can be read."""
        self._publish(self._last, self._last)

    def end(self) -> None:
        """Give the lock back; what was written is the janitor's and the readers' now."""
        os.close(self._handle)

    def _publish(self, promise: int, ceiling: int) -> None:
        body = _STATE.pack(promise, ceiling, 0)[:16]
        os.pwrite(self._handle, body + zlib.crc32(body).to_bytes(4, "little"), 0)
        self._promise = promise

    def _ceiling_of(self, name: str) -> int:
        if name == self.name:
            return 0
        if name not in self._dead_ceilings:
            alive = is_alive(self.folder, name)
            state = _state(self.folder, name)
            if alive or state is None:
                return 0 if state is None else state[1]
            self._dead_ceilings[name] = state[1]
        return self._dead_ceilings[name]


def promise_of(folder: Path, writer: str) -> int | None:
    """Return up to which stamp all of a writer's frames can be read; None: it is dead, so all."""
    if not is_alive(folder, writer):
        return None
    state = _state(folder, writer)
    return 0 if state is None else state[0]


def _state(folder: Path, writer: str) -> tuple[int, int] | None:
    try:
        data = (folder / writer / LOCK).read_bytes()
    except FileNotFoundError:
        return None
    if len(data) != _STATE.size or zlib.crc32(data[:16]) != int.from_bytes(data[16:], "little"):
        return None
    promise, ceiling, _ = _STATE.unpack(data)
    return promise, ceiling


def _locked(path: Path) -> int | None:
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if path.stat().st_ino == os.fstat(handle).st_ino:
            return handle
    except (BlockingIOError, FileNotFoundError):
        pass
    os.close(handle)
    return None
