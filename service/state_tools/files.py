"""Files that are written for good: private, digested on their way, on disk when they are there."""

import errno
import hashlib
import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, BinaryIO

from service.events.disk import sync_folder

# What a file system says that has no hard links, or none from here to there.
NO_LINKS = frozenset({errno.EXDEV, errno.EPERM, errno.EMLINK, errno.EOPNOTSUPP, errno.ENOSYS})

_PIECE_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Entry:
    """What a file was found to be."""

    digest: str
    bytes: int


class Hashing(io.RawIOBase):
    """A file that is digested and counted while it is read."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._state = hashlib.sha256()
        self._bytes = 0

    def read(self, size: int = -1) -> bytes:
        """Return the next bytes."""
        data = self._file.read(size)
        self._state.update(data)
        self._bytes += len(data)
        return data

    def entry(self) -> Entry:
        """Return what was read so far."""
        return Entry("sha256:" + self._state.hexdigest(), self._bytes)


def transfer(source: IO[bytes], target: Path) -> Entry:
    """Copy a file into a new private one, made with its folders; return what it was."""
    private_folder(target.parent)
    hashing = Hashing(source)
    with private(target) as file:
        while piece := hashing.read(_PIECE_BYTES):
            file.write(piece)
    return hashing.entry()


def private_folder(folder: Path) -> None:
    """Make a folder, and those above it that are not there, for their owner alone."""
    if not folder.is_dir():
        private_folder(folder.parent)
        folder.mkdir(mode=0o700, exist_ok=True)


@contextmanager
def private(path: Path) -> Iterator[BinaryIO]:
    """Open a new file that its owner alone can read; it is on disk afterwards."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "wb") as file:
        yield file
        file.flush()
        os.fsync(handle)


def put_in_place(draft: Path, target: Path) -> None:
    """Give a draft beside the target its name; raise `FileExistsError` where something has it."""
    if draft.is_dir():
        if target.exists():
            raise FileExistsError(target)
        draft.rename(target)
    else:
        try:
            os.link(draft, target)  # a rename would replace what is there
        except OSError as error:
            if error.errno not in NO_LINKS:
                raise
            if target.exists():
                raise FileExistsError(target) from None
            draft.rename(target)
    sync_folder(target.parent)


def sync_tree(folder: Path) -> None:
    """Put the names in a folder, and in every one below it, on disk."""
    for path in [folder, *folder.rglob("*")]:
        if path.is_dir():
            sync_folder(path)
