"""Whether the registry's file is still where it was opened.

SQLite goes on with a file that was moved away or replaced, and answers as ever; but nobody would
open that file again, and what is written into it would be lost.
"""

from pathlib import Path

from service.errors import StoreFull

Identity = tuple[int, int]  # device and inode


def identity(path: Path) -> Identity:
    """Return which file has this name; raise `OSError` where there is none."""
    found = path.stat()
    return found.st_dev, found.st_ino


def check_place(path: Path, opened: Identity) -> None:
    """Raise `StoreFull` where another file than the opened one has its name, or none."""
    try:
        there = identity(path)
    except FileNotFoundError:
        there = None
    if there != opened:
        how = "is gone" if there is None else "was replaced by another"
        raise StoreFull(
            f"the registry's file {how}: put {path.name} back with its -wal and -shm, or stop, and"
            " restore a backup"
        )
