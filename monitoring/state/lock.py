"""Who may write a state folder: one sidecar at a time."""

import fcntl
import os
from pathlib import Path

from monitoring.errors import StateInUse

FILE = "lock"


class FolderLock:
    """A state folder that is held for writing; the lock dies with the process."""

    def __init__(self, folder: Path) -> None:
        """Make the folder and hold it. Raises `StateInUse` and `OSError`."""
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._handle = os.open(folder / FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(self._handle)
            raise StateInUse(
                f"another sidecar works on {folder}; stop it, or name another --state"
            ) from error

    def release(self) -> None:
        """Let go of the folder."""
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1
