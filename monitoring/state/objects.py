"""Objects of owners: in memory while they are in use, in the database as bytes.

What changed stays in memory until a checkpoint has written it, so that the database always shows
one moment of the log, and a checkpoint that fails loses nothing. What did not change is forgotten,
longest unused first, beyond a bound.
"""

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlalchemy import Connection, bindparam, delete, insert, select, update

from monitoring.state.database import Database
from monitoring.state.kinds import Codecs, Kind
from monitoring.state.tables import OBJECTS

_GUESS = 16_384  # bytes of an object that was never written, at least,
_NOTHING = 64  # and of the knowledge that there is none

_WHERE = (
    OBJECTS.c.owner == bindparam("b_owner"),
    OBJECTS.c.kind == bindparam("b_kind"),
    OBJECTS.c.start == bindparam("b_start"),
)


class Key(NamedTuple):
    """What an object is found by."""

    owner: int
    kind: Kind
    start: int


@dataclass(slots=True)
class _Slot:
    value: Any  # None: there is no such object
    bytes: int  # of memory, about
    stored: bool  # whether the database will have one when what is deleted is gone


@dataclass(frozen=True, slots=True)
class Changes:
    """What a checkpoint writes of the objects."""

    inserted: list[dict[str, Any]]
    updated: list[dict[str, Any]]
    deleted: list[dict[str, Any]]
    gone: list[dict[str, Any]]  # owners

    @property
    def bytes(self) -> int:
        """Return how much is written."""
        return sum(len(row["data"]) for row in (*self.inserted, *self.updated))


class Objects:
    """All objects; not for several threads at once."""

    def __init__(self, database: Database, codecs: Codecs, loaded_bytes: int) -> None:
        self._database = database
        self._codecs = codecs
        self._loaded_bytes = loaded_bytes
        self._slots: OrderedDict[Key, _Slot] = OrderedDict()
        self._changed: set[Key] = set()
        self._deleted: set[Key] = set()  # that the database has
        self._gone: set[int] = set()
        self._bytes = 0
        self.changed_bytes = 0

    def get(self, owner: int, kind: Kind, start: int = 0) -> Any:
        """Return an object that is not going to be changed, None where there is none."""
        return self._slot(Key(owner, kind, start)).value

    def edit(self, owner: int, kind: Kind, start: int = 0) -> Any:
        """Return an object that is going to be changed, None where there is none."""
        key = Key(owner, kind, start)
        slot = self._slot(key)
        if slot.value is not None:
            self._mark(key, slot)
        return slot.value

    def several(self, owner: int, kind: Kind, starts: Sequence[int]) -> list[Any]:
        """Return some objects of one kind, None for those that are not there."""
        missing = [start for start in starts if Key(owner, kind, start) not in self._slots]
        if missing:
            self._load(owner, kind, missing)
        found = [self._slot(Key(owner, kind, start)).value for start in starts]
        self._trim()
        return found

    def put(self, owner: int, kind: Kind, value: Any, start: int = 0) -> None:
        """Keep an object, in place of the one that was there."""
        key = Key(owner, kind, start)
        slot = self._slot(key)
        slot.value = value
        self._mark(key, slot)

    def add(self, owner: int, kind: Kind, value: Any, start: int = 0) -> None:
        """Keep an object that was not there; the database is not asked."""
        key = Key(owner, kind, start)
        if key not in self._slots:
            self._slots[key] = _Slot(None, _NOTHING, stored=False)
            self._bytes += _NOTHING
        self.put(owner, kind, value, start)

    def drop(self, owner: int, kind: Kind, start: int = 0) -> None:
        """Delete an object, if it is there."""
        key = Key(owner, kind, start)
        slot = self._slots.pop(key, None)
        if slot is not None:
            self._forget(key, slot)
        if slot is None or slot.stored:
            self._deleted.add(key)

    def drop_owners(self, owners: Iterable[int]) -> None:
        """Delete everything of some owners."""
        gone = set(owners)
        for key in [key for key in self._slots if key.owner in gone]:
            self._forget(key, self._slots.pop(key))
        self._deleted = {key for key in self._deleted if key.owner not in gone}
        self._gone |= gone

    # --- checkpoints ---------------------------------------------------------------------

    def changes(self) -> Changes:
        """Return what is to be written, as it is now."""
        inserted, updated = [], []
        for key in sorted(self._changed):
            slot = self._slots[key]
            codec = self._codecs[key.kind]
            data = codec.to_bytes(slot.value)
            self._resize(slot, codec.weight(slot.value, len(data)))
            if slot.stored:
                updated.append({**_named(key), "data": data})
            else:
                inserted.append({**key._asdict(), "kind": int(key.kind), "data": data})
        deleted = [_named(key) for key in sorted(self._deleted)]
        return Changes(
            inserted, updated, deleted, [{"b_owner": owner} for owner in sorted(self._gone)]
        )

    def written(self) -> None:
        """Take note that the last `changes` are in the database; nothing changed since."""
        for key in self._changed:
            self._slots[key].stored = True
        self._changed.clear()
        self._deleted.clear()
        self._gone.clear()
        self.changed_bytes = 0
        self._trim()

    @property
    def loaded_bytes(self) -> int:
        """Return about how much memory the objects take."""
        return self._bytes

    def _slot(self, key: Key) -> _Slot:
        slot = self._slots.get(key)
        if slot is None:
            self._load(key.owner, key.kind, [key.start])
            slot = self._slots[key]
            self._trim()
        self._slots.move_to_end(key)
        return slot

    def _mark(self, key: Key, slot: _Slot) -> None:
        if key not in self._changed:
            self._changed.add(key)
            if not slot.stored:
                size = max(_GUESS, self._codecs[key.kind].weight(slot.value, 0))
                self._bytes += size - slot.bytes
                slot.bytes = size
            self.changed_bytes += slot.bytes

    def _forget(self, key: Key, slot: _Slot) -> None:
        self._bytes -= slot.bytes
        if key in self._changed:
            self._changed.remove(key)
            self.changed_bytes -= slot.bytes

    def _resize(self, slot: _Slot, size: int) -> None:
        self._bytes += size - slot.bytes
        self.changed_bytes += size - slot.bytes
        slot.bytes = size

    def _trim(self) -> None:
        """Forget what did not change and was longest unused, beyond the bound."""
        for _ in range(len(self._slots) - 1):  # the newest one is in use
            if self._bytes - self.changed_bytes <= self._loaded_bytes:
                return
            key = next(iter(self._slots))
            if key in self._changed:
                self._slots.move_to_end(key)
            else:
                self._bytes -= self._slots.pop(key).bytes

    def _load(self, owner: int, kind: Kind, starts: Sequence[int]) -> None:
        found: dict[int, bytes] = {}
        wanted = [start for start in starts if Key(owner, kind, start) not in self._deleted]
        if wanted and owner not in self._gone:
            query = select(OBJECTS.c.start, OBJECTS.c.data).where(
                OBJECTS.c.owner == owner, OBJECTS.c.kind == int(kind), OBJECTS.c.start.in_(wanted)
            )
            with self._database.read() as connection:
                found = {start: data for start, data in connection.execute(query)}  # noqa: C416
        for start in starts:
            data = found.get(start)
            slot = _Slot(None, _NOTHING, stored=False)
            if data is not None:
                codec = self._codecs[kind]
                value = codec.from_bytes(data)
                slot = _Slot(value, codec.weight(value, len(data)), stored=True)
            self._slots[Key(owner, kind, start)] = slot
            self._bytes += slot.bytes


def write(connection: Connection, changes: Changes) -> None:
    """Write changes, in the caller's transaction."""
    if changes.gone:
        connection.execute(
            delete(OBJECTS).where(OBJECTS.c.owner == bindparam("b_owner")), changes.gone
        )
    if changes.deleted:
        connection.execute(delete(OBJECTS).where(*_WHERE), changes.deleted)
    if changes.inserted:
        connection.execute(insert(OBJECTS), changes.inserted)
    if changes.updated:
        statement = update(OBJECTS).where(*_WHERE).values(data=bindparam("data"))
        connection.execute(statement, changes.updated)


def _named(key: Key) -> dict[str, Any]:
    return {"b_owner": key.owner, "b_kind": int(key.kind), "b_start": key.start}
