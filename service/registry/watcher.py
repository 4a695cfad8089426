"""A thread that asks the database again and again whether another process changed it.

SQLite counts the commits of others for each connection (`PRAGMA data_version`), so asking costs
microseconds and reads no table.
"""

import logging
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from threading import Event, Thread

from service.registry.place import check_place, identity

logger = logging.getLogger(__name__)


class Watcher:
    """Calls `refresh` after every commit that it did not see yet, until it is stopped.

    `on_change` is called where `refresh` said that something was new, `on_failure` where the
    database could not be asked or read; then it is asked again after the usual time. `on_answer`
    is called each time that it answered, whether anything was new or not.
    """

    def __init__(
        self,
        path: Path,
        refresh: Callable[[], bool],
        poll_s: float,
        on_change: Callable[[], object],
        on_failure: Callable[[], object],
        on_answer: Callable[[], object] = lambda: None,
    ) -> None:
        self._path = path
        self._refresh = refresh
        self._poll_s = poll_s
        self._on_change = on_change
        self._on_failure = on_failure
        self._on_answer = on_answer
        self._stopping = Event()
        self._failing = False
        self._thread = Thread(target=self._run, name="tenantry-registry-watch", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread and wait for its end; calling it again does nothing."""
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._ask()
            # Whatever it was, requests go on with what is known, and the next try may succeed. A
            # thread that ended here would leave this process behind for good.
            except Exception as error:  # noqa: BLE001
                self._fail(error)
            self._stopping.wait(self._poll_s)

    def _ask(self) -> None:
        """Ask on one connection for as long as it goes well; a new one knows of nothing seen."""
        uri = f"{self._path.absolute().as_uri()}?mode=rw"
        with closing(sqlite3.connect(uri, uri=True, timeout=self._poll_s)) as connection:
            opened = identity(self._path)
            seen = None
            while True:
                check_place(self._path, opened)
                found = connection.execute("PRAGMA data_version").fetchone()
                if found != seen:
                    if self._refresh():
                        self._on_change()
                    seen = found
                self._on_answer()
                if self._failing:
                    self._failing = False
                    logger.info("the registry can be asked for changes again")
                if self._stopping.wait(self._poll_s):
                    return

    def _fail(self, error: Exception) -> None:
        self._on_failure()
        if not self._failing:
            self._failing = True
            logger.warning("the registry cannot be asked for changes: %s", error)
