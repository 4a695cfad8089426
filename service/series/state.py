"""Series of the state, as gauges read it at each scrape."""

import os
import time
from pathlib import Path

from service.series.families import Families


class StateSeries:
    """Room on the file system, and how old what is known of the registry may be."""

    def __init__(self, families: Families) -> None:
        self._state_free = families.reading(
            "state_free_bytes", "Room that is left on the file system of the state."
        )
        self._state_size = families.reading(
            "state_size_bytes", "Size of the file system of the state."
        )
        self._registry_age = families.reading(
            "registry_age_seconds", "Time since the registry last answered its poll."
        )

    def watch_state(self, folder: Path) -> None:
        """Let the gauges read the file system of the state at each scrape."""
        self._state_free.read = lambda: _room(folder, free=True)
        self._state_size.read = lambda: _room(folder, free=False)

    def polled(self) -> None:
        """Take down that the registry answered its poll just now."""
        polled_s = time.monotonic()
        self._registry_age.read = lambda: time.monotonic() - polled_s


def _room(folder: Path, *, free: bool) -> float | None:
    """Return the bytes of a folder's file system, or those left; None where it does not tell."""
    try:
        found = os.statvfs(folder)
    except OSError:
        return None
    return float((found.f_bavail if free else found.f_blocks) * found.f_frsize)
