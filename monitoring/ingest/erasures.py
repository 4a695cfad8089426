"""Which tenants the log was erased of: their figures go too."""

from collections.abc import Mapping
from pathlib import Path

from service.events.erasure import erasures
from service.events.folder import ERASURES
from service.events.ports import CLOCK, Clock

_SURE_S = 5.0  # after which a folder's time would have told of another record


class Erasures:
    """The records of a log's folder, read again when there may be a new one."""

    def __init__(self, events: Path, clock: Clock = CLOCK) -> None:
        self._events = events
        self._clock = clock
        self._found: Mapping[str, str] = {}
        self._changed_ns = -1  # when the folder changed, as of the last reading

    def read(self) -> Mapping[str, str]:
        """Return the last erasure of each tenant that was erased.

        Raises `OSError`, and `ValueError` for a record that is damaged.
        """
        try:
            changed_ns = (self._events / ERASURES).stat().st_mtime_ns
        except FileNotFoundError:
            return {}
        if changed_ns != self._changed_ns:
            self._found = erasures(self._events)
            sure = abs(self._clock.wall_s() - changed_ns / 1e9) > _SURE_S
            self._changed_ns = changed_ns if sure else -1
        return self._found
