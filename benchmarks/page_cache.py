"""The system's page cache, emptied of chosen files, so that a read comes from the disk."""

import os
from pathlib import Path


def forget(folder: Path, pattern: str) -> int:
    """Ask the system to drop the matching files below `folder`; return how many there are.

    It drops pages that are on disk already, which is true of what was synced.
    """
    count = 0
    for file in folder.rglob(pattern):
        handle = os.open(file, os.O_RDONLY)
        try:
            os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(handle)
        count += 1
    return count
