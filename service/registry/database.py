"""The registry's database: SQLite in WAL mode, each commit on disk before it returns."""

import errno
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import ConnectionPoolEntry

from service.errors import InvalidSettings, StoreFull
from service.registry import schema
from service.registry.place import Identity, check_place, identity

FILE = "registry.sqlite3"
BUSY_S = 10.0  # how long a write waits for another process's

_UNUSABLE = {
    sqlite3.SQLITE_FULL: "the disk is full",
    sqlite3.SQLITE_IOERR: "the disk gave an error",
    sqlite3.SQLITE_READONLY: "it is read-only",
    sqlite3.SQLITE_CANTOPEN: "it cannot be opened",
    sqlite3.SQLITE_BUSY: "another process holds it",
}
_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS}


class Database:
    """Reads run side by side; writes one after another, between processes too."""

    def __init__(self, folder: Path, busy_s: float = BUSY_S) -> None:
        self.path = folder / FILE
        self.busy_s = busy_s
        self._opened: Identity | None = None  # once it has been written
        self._engine = _engine(self.path, busy_s)

    def prepare(self) -> None:
        """Make the tables where there are none, or bring those of an older version up to date.

        Raises `InvalidSettings` where the file is no registry or has a newer schema.
        """
        try:
            with self.write() as connection:
                schema.prepare(connection, self.path)
        except DBAPIError as error:
            raise InvalidSettings(f"{self.path} is no registry: {error.orig}") from error

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Give a connection that sees one moment of the database.

        Raises `StoreFull` where the database cannot be read now.
        """
        with refusing_full("read"), self._engine.connect() as connection, connection.begin():
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """Give a connection that alone may write; commit at the end, roll back on an error.

        Raises `StoreFull` where the database cannot take the write, or is not where it was.
        """
        writing = self._engine.execution_options(tenantry_write=True)
        with refusing_full(), writing.connect() as connection, connection.begin():
            if self._opened is None:
                self._opened = identity(self.path)
            yield connection
            check_place(self.path, self._opened)

    def flaws(self) -> list[str]:
        """Return what SQLite finds wrong with the file, at most 100 things."""
        with self.read() as connection:
            found = connection.exec_driver_sql("PRAGMA integrity_check").scalars().all()
        return [] if found == ["ok"] else list(map(str, found))

    def close(self) -> None:
        """Close every connection."""
        self._engine.dispose()


def _engine(path: Path, busy_s: float) -> Engine:
    engine = create_engine(URL.create("sqlite", database=str(path)))

    @event.listens_for(engine, "connect")
    def connect(connection: DBAPIConnection, _: ConnectionPoolEntry) -> None:
        # The driver would begin transactions by itself, and late: see `begin`.
        connection.isolation_level = None
        cursor = connection.cursor()
        for pragma in (
            f"busy_timeout={round(1000 * busy_s)}",
            "journal_mode=WAL",
            "synchronous=FULL",
            "foreign_keys=ON",
        ):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        # A transaction that begins by reading cannot become a writing one while another process
        # writes, however long it waits; so one that will write takes the lock at once.
        writes = connection.get_execution_options().get("tenantry_write", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


@contextmanager
def refusing_full(use: str = "written") -> Iterator[None]:
    """Raise `StoreFull` in place of the errors of a disk or database that takes no more."""
    try:
        yield
    except (DBAPIError, sqlite3.Error) as error:
        cause = error.orig if isinstance(error, DBAPIError) else error
        code = getattr(cause, "sqlite_errorcode", None)
        if code is None or code & 0xFF not in _UNUSABLE:
            raise
        raise StoreFull(f"the registry cannot be {use}: {_UNUSABLE[code & 0xFF]}") from error
    except OSError as error:
        if error.errno not in _NO_ROOM:
            raise
        raise StoreFull(
            f"the state directory cannot be written: {os.strerror(error.errno)}"
        ) from error
