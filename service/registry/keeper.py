"""Keeps what requests read in memory in step with what is on disk."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime
from threading import Lock

from service.errors import StoreFull
from service.registry.change import Change
from service.registry.database import Database
from service.registry.view import View, follow, read_view


class Keeper:
    """Holds the view of one database; each change of it is one assignment.

    A change first waits for its turn among this process's, then for the database, and only then
    for the view. So a view can follow another process's changes while a change of this one waits
    for the database.
    """

    def __init__(self, database: Database, backbone: str, clock: Callable[[], datetime]) -> None:
        self._database = database
        self._backbone = backbone
        self._clock = clock
        self._turn = Lock()
        self._lock = Lock()  # over reading a view and putting it in place
        with database.read() as connection:
            self.view: View = read_view(connection, backbone)

    def refresh(self) -> bool:
        """Take over what other processes changed; return whether there was anything."""
        with self._lock, self._database.read() as connection:
            before = self.view
            self.view = follow(connection, before, self._backbone)
            return self.view is not before

    @contextmanager
    def change(self, actor: str) -> Iterator[Change]:
        """Give a transaction; the view follows it once it is on disk, and then others are told.

        Raises `StoreFull` where the database cannot take it, or where a turn does not come within
        the time that a write waits for other processes: whoever has it waits for one, so those
        behind would wait that long one after another.
        """
        with self._its_turn():
            with ExitStack() as until_seen:
                with self._database.write() as connection:
                    until_seen.enter_context(self._lock)
                    at = self._clock().isoformat(timespec="microseconds")
                    change = Change(connection, at, actor, self._backbone)
                    yield change
                    view = follow(connection, self.view, self._backbone)
                self.view = view
            for tell in change.told:
                tell()

    @contextmanager
    def _its_turn(self) -> Iterator[None]:
        if not self._turn.acquire(timeout=self._database.busy_s):
            raise StoreFull("the registry cannot be written: other changes wait for it")
        try:
            yield
        finally:
            self._turn.release()
