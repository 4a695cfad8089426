"""Who there is: owners of objects, by name, all of them in memory.

An entry is a small dataclass whose fields are the columns of its table; its id is given in the
order in which owners first appeared, and never used again.
"""

from collections.abc import Callable, Hashable, Iterator
from dataclasses import asdict, dataclass, fields
from typing import Any, Generic, Protocol, TypeVar

from sqlalchemy import Connection, Table, bindparam, delete, insert, select, update


class Owner(Protocol):
    """A row of a directory's table."""

    id: int


K = TypeVar("K", bound=Hashable)
E = TypeVar("E", bound=Owner)


@dataclass(frozen=True, slots=True)
class Moved:
    """What a checkpoint writes of a directory."""

    table: Table
    inserted: list[dict[str, Any]]
    updated: list[dict[str, Any]]
    deleted: list[dict[str, Any]]


class Directory(Generic[K, E]):
    """Owners of one kind by their key; not for several threads at once."""

    def __init__(self, table: Table, entry: type[E], key: Callable[[E], K]) -> None:
        self._table = table
        self._entry = entry
        self._key = key
        self._entries: dict[K, E] = {}
        self._new: set[K] = set()
        self._changed: set[K] = set()
        self._gone: set[int] = set()  # ids that the database has

    def load(self, connection: Connection) -> None:
        """Read all entries."""
        names = [field.name for field in fields(self._entry)]  # type: ignore[arg-type]
        columns = [self._table.c[name] for name in names]
        for row in connection.execute(select(*columns).order_by(self._table.c.id)):
            entry = self._entry(*row)
            self._entries[self._key(entry)] = entry

    def get(self, key: K) -> E | None:
        """Return an entry; whoever changes it calls `touch`."""
        return self._entries.get(key)

    def add(self, entry: E) -> None:
        """Take in an entry, whose key is new."""
        key = self._key(entry)
        assert key not in self._entries, "a key is there once"
        self._entries[key] = entry
        self._new.add(key)

    def touch(self, key: K) -> None:
        """Take note that an entry changed."""
        if key not in self._new:
            self._changed.add(key)

    def drop(self, key: K) -> None:
        """Take an entry out."""
        entry = self._entries.pop(key)
        self._changed.discard(key)
        if key in self._new:
            self._new.remove(key)
        else:
            self._gone.add(entry.id)

    def __iter__(self) -> Iterator[E]:
        return iter(self._entries.values())

    def __len__(self) -> int:
        return len(self._entries)

    def changes(self) -> Moved:
        """Return what is to be written, as it is now."""
        rows = {key: asdict(self._entries[key]) for key in (*self._new, *self._changed)}  # type: ignore[call-overload]
        inserted = sorted((rows[key] for key in self._new), key=_id)
        updated = sorted((rows[key] for key in self._changed), key=_id)
        return Moved(
            self._table,
            inserted,
            [{"b_id": row["id"], **row} for row in updated],
            [{"b_id": number} for number in sorted(self._gone)],
        )

    def written(self) -> None:
        """Take note that the last `changes` are in the database."""
        self._new.clear()
        self._changed.clear()
        self._gone.clear()


def write(connection: Connection, moved: Moved) -> None:
    """Write changes, in the caller's transaction."""
    here = moved.table.c.id == bindparam("b_id")
    if moved.deleted:
        connection.execute(delete(moved.table).where(here), moved.deleted)
    if moved.inserted:
        connection.execute(insert(moved.table), moved.inserted)
    if moved.updated:
        values: dict[str, Any] = {
            column.name: bindparam(column.name)
            for column in moved.table.columns
            if column.name != "id"
        }
        rows = [{k: v for k, v in row.items() if k != "id"} for row in moved.updated]
        connection.execute(update(moved.table).where(here).values(values), rows)


def _id(row: dict[str, Any]) -> int:
    number: int = row["id"]
    return number
