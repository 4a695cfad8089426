"""The few calls that write a segment, as a seam: a full disk can be tried without filling one."""

import os
from pathlib import Path
from typing import Any, Protocol


class Disk(Protocol):
    """What a segment needs of the file system; every call may raise `OSError`."""

    def create(self, path: Path) -> int:
        """Make a new file and return its descriptor."""
        ...

    def write(self, handle: int, data: Any, offset: int) -> int:
        """Write some of the bytes at an offset; return how many."""
        ...

    def sync(self, handle: int) -> None:
        """Return when what was written is on the disk."""
        ...

    def truncate(self, handle: int, size: int) -> None:
        """Cut a file."""
        ...

    def rename(self, old: Path, new: Path) -> None:
        """Give a file its new name, at one moment."""
        ...

    def sync_folder(self, path: Path) -> None:
        """Return when a folder's names are on the disk."""
        ...


class LocalDisk:
    """The disk of this machine."""

    def create(self, path: Path) -> int:
        """Make a new file that only its owner can read."""
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)

    def write(self, handle: int, data: Any, offset: int) -> int:
        """Write some of the bytes at an offset; return how many."""
        return os.pwrite(handle, data, offset)

    def sync(self, handle: int) -> None:
        """Return when what was written is on the disk."""
        os.fsync(handle)

    def truncate(self, handle: int, size: int) -> None:
        """Cut a file."""
        os.ftruncate(handle, size)

    def rename(self, old: Path, new: Path) -> None:
        """Give a file its new name, at one moment."""
        old.rename(new)

    def sync_folder(self, path: Path) -> None:
        """Return when a folder's names are on the disk."""
        sync_folder(path)


def sync_folder(path: Path) -> None:
    """Return when a folder's names are on the disk."""
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_all(disk: Disk, handle: int, data: Any, offset: int) -> int:
    """Write all bytes at an offset, however short the single writes are; return where they end."""
    view = memoryview(data)
    while view:
        count = disk.write(handle, view, offset)
        if count <= 0:
            raise OSError("the disk took no bytes")
        view, offset = view[count:], offset + count
    return offset


def replace_file(disk: Disk, path: Path, data: bytes) -> None:
    """Give a file new content: all of it or none, on the disk when this returns."""
    draft = path.with_name(f".{path.name}.{os.getpid()}-{os.urandom(4).hex()}")
    handle = disk.create(draft)
    try:
        try:
            write_all(disk, handle, data, 0)
            disk.sync(handle)
        finally:
            os.close(handle)
        disk.rename(draft, path)
    except OSError:
        draft.unlink(missing_ok=True)
        raise
    disk.sync_folder(path.parent)


def give_to_owner(handle: int, of: Path) -> None:
    """Where root works on a service's files, leave a file to the owner of another one."""
    owner = of.stat()
    if os.geteuid() == 0 and (owner.st_uid, owner.st_gid) != (0, 0):
        os.fchown(handle, owner.st_uid, owner.st_gid)
