"""The folder that the demo works in: its own, and one demo's at a time."""

import fcntl
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from examples.demo.errors import DemoFailed

MARK = ".tenantry-demo"


@contextmanager
def claimed(folder: Path) -> Iterator[Path]:
    """Give the folder, made where it is missing, to the block alone.

    Raises `DemoFailed` for a folder that holds something else, since the demo deletes in it, and
    while another demo works there.
    """
    if folder.exists() and not folder.is_dir():
        raise DemoFailed(f"{folder} is not a folder; name another one with --dir")
    if folder.is_dir() and not (folder / MARK).is_file() and any(folder.iterdir()):
        raise DemoFailed(f"{folder} holds other things; name another folder with --dir")
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / MARK).open("w", encoding="ascii") as mark:
        try:
            fcntl.flock(mark, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DemoFailed(
                f"another demo works in {folder}; name another one with --dir"
            ) from None
        yield folder


def emptied(folder: Path) -> Path:
    """Return the folder without anything in it."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder
