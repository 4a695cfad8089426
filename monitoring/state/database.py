"""The sidecar's database: SQLite in WAL mode, each commit on disk before it returns."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import URL, Connection, Engine, MetaData, create_engine, event, insert, inspect
from sqlalchemy import select as choose
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import ConnectionPoolEntry

from monitoring.errors import ForeignState, MonitorError
from monitoring.state import tables

FILE = "monitor.sqlite3"
_BUSY_S = 10.0  # how long a write waits for another one
_PAGE = 8192  # most blobs are a little larger than that

_UNUSABLE = {
    sqlite3.SQLITE_FULL: "the disk is full",
    sqlite3.SQLITE_IOERR: "the disk gave an error",
    sqlite3.SQLITE_READONLY: "it is read-only",
    sqlite3.SQLITE_CANTOPEN: "it cannot be opened",
    sqlite3.SQLITE_BUSY: "another process holds it",
}


class StateUnwritable(MonitorError):
    """The database cannot be read or written now; nothing of the transaction was kept."""


class Database:
    """Reads run side by side; writes one after another."""

    def __init__(self, folder: Path, *, busy_s: float = _BUSY_S) -> None:
        self.path = folder / FILE
        self._engine = _engine(self.path, busy_s)
        self._held: Connection | None = None

    def prepare(self, *others: MetaData) -> None:
        """Make the tables where there are none; `others` are those of other parts.

        Raises `ForeignState` where the file is no state of the sidecar or has a newer schema.
        """
        try:
            with self.write() as connection:
                _prepare(connection, self.path)
                for metadata in others:
                    metadata.create_all(connection)
        except DBAPIError as error:
            raise ForeignState(f"{self.path} is no state of the sidecar: {error.orig}") from error

    def check(self) -> None:
        """Raise `ForeignState` where there is no state of this version; change nothing."""
        if not self.path.exists():
            raise ForeignState(f"{self.path} is not there: no sidecar has begun to write it")
        try:
            with self.read() as connection:
                _check(connection, self.path)
        except DBAPIError as error:
            raise ForeignState(f"{self.path} is no state of the sidecar: {error.orig}") from error

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Give a connection that sees one moment of the database. Raises `StateUnwritable`."""
        if self._held is not None:
            with _telling("read"):
                yield self._held
            return
        with _telling("read"), self._engine.connect() as connection, connection.begin():
            yield connection

    def hold(self) -> None:
        """Let every read from now on see this one moment, whoever writes; for one thread alone.

        Raises `StateUnwritable`.
        """
        with _telling("read"):
            held = self._engine.connect()
            held.begin()
            held.execute(choose(tables.ABOUT.c.key)).all()  # the first read sets the moment
        self._held = held

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """Give a connection that alone may write; commit at the end, roll back on an error.

        Raises `StateUnwritable` where the database cannot take the write.
        """
        writing = self._engine.execution_options(monitor_write=True)
        with _telling("written"), writing.connect() as connection, connection.begin():
            yield connection

    def wipe(self) -> bool:
        """Leave nothing of what was deleted in the write-ahead log; return whether that is done.

        It is not while somebody reads an older moment. Raises `StateUnwritable`.
        """
        with _telling("written"), self._engine.connect() as connection:
            busy = connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)").scalar()
        return not busy

    @property
    def bytes(self) -> int:
        """Return the size of the file, its log apart."""
        return self.path.stat().st_size

    def close(self) -> None:
        """Close every connection."""
        if self._held is not None:
            self._held.close()
            self._held = None
        self._engine.dispose()


def _engine(path: Path, busy_s: float) -> Engine:
    # Parameters are personal data: errors, which are logged, must not repeat them.
    engine = create_engine(URL.create("sqlite", database=str(path)), hide_parameters=True)

    @event.listens_for(engine, "connect")
    def connect(connection: DBAPIConnection, _: ConnectionPoolEntry) -> None:
        # The driver would begin transactions by itself, and late: see `begin`.
        connection.isolation_level = None
        cursor = connection.cursor()
        for pragma in (
            f"busy_timeout={round(1000 * busy_s)}",
            f"page_size={_PAGE}",  # of a new file
            "journal_mode=WAL",
            "synchronous=FULL",
            "secure_delete=ON",  # what is deleted is personal data
        ):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        # A transaction that begins by reading cannot become a writing one while another one
        # writes, however long it waits; so one that will write takes the lock at once.
        writes = connection.get_execution_options().get("monitor_write", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


def _prepare(connection: Connection, path: Path) -> None:
    known = inspect(connection).get_table_names()
    if not known:
        tables.METADATA.create_all(connection)
        connection.execute(insert(tables.ABOUT).values(key="schema", value=str(tables.SCHEMA)))
        return
    _check(connection, path)


def _check(connection: Connection, path: Path) -> None:
    if not inspect(connection).has_table(tables.ABOUT.name):
        raise ForeignState(f"{path} is no state of the sidecar; name another --state")
    wanted = choose(tables.ABOUT.c.value).where(tables.ABOUT.c.key == "schema")
    schema = connection.execute(wanted).scalar()
    if schema != str(tables.SCHEMA):
        raise ForeignState(
            f"{path} has schema {schema}, and this version of tenantry reads {tables.SCHEMA};"
            " start the version that wrote it, or move the file away: the log is read again"
        )


@contextmanager
def _telling(use: str) -> Iterator[None]:
    """Raise `StateUnwritable` in place of the errors of a disk or database that is not usable."""
    try:
        yield
    except (DBAPIError, sqlite3.Error) as error:
        cause = error.orig if isinstance(error, DBAPIError) else error
        code = getattr(cause, "sqlite_errorcode", None)
        if code is None or code & 0xFF not in _UNUSABLE:
            raise
        reason = _UNUSABLE[code & 0xFF]
        raise StateUnwritable(f"the sidecar's state cannot be {use}: {reason}") from error
