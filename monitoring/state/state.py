"""The sidecar's state: a fold over the log, in memory and in a database.

One transaction writes all that changed and the place in the log, so that whatever dies when, the
figures and the place belong together, and reading on gives the same to the bit.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from sqlalchemy import Connection, MetaData, select

from monitoring import codec
from monitoring.state.adapters import Adapters
from monitoring.state.checkpoints import Checkpoint, Deferred
from monitoring.state.codecs import codecs_of
from monitoring.state.database import Database
from monitoring.state.labels import Labels, Shadows
from monitoring.state.limits import Limits
from monitoring.state.lock import FolderLock
from monitoring.state.objects import Objects
from monitoring.state.owners import AdapterOwner, ReferenceOwner
from monitoring.state.ports import Maker
from monitoring.state.references import References
from monitoring.state.tables import NOTES
from monitoring.state.turns import Turns
from monitoring.state.versions import Versions
from monitoring.state.watermark import Watermark
from service.events.cursor import Cursor

_ROW_BYTES = 512  # of memory, of a label that waits for a checkpoint

Forget = Callable[[Connection, str], object]  # deletes what another part has of a tenant

_CURSOR, _LOG, _WATERMARK, _ERASED = "log/cursor", "log/totals", "log/watermark", "log/erased"


@dataclass(slots=True)
class LogTotals:
    """What was read in all, and what was wrong with it."""

    next_id: int = 1  # of owners
    events: int = 0
    malformed: dict[str, int] = field(default_factory=dict)  # events, by what was wrong
    damaged: int = 0  # places in the log
    missing: int = 0  # events
    late: int = 0  # frames


class MonitorState:
    """All that the sidecar knows. Hold `turns` while using it; one thread alone changes it."""

    def __init__(
        self,
        database: Database,
        lock: FolderLock | None,
        limits: Limits,
        maker: Maker,
        forget: Sequence[Forget] = (),
    ) -> None:
        """Use `open` or `look`."""
        self.turns = Turns()
        self.database = database
        self.limits = limits
        self._maker = maker
        self._lock = lock
        self._forget = forget
        self._begin()

    def _begin(self) -> None:
        """Be the state before the first event."""
        limits, database = self.limits, self.database
        self.watermark = Watermark()
        self.log = LogTotals()
        self.cursor = Cursor()  # of the last checkpoint
        self.objects = Objects(database, codecs_of(self._maker), limits.loaded_bytes)
        self.labels = Labels(database, limits.labels_kept)
        self.shadows = Shadows(database, limits.shadows_kept)
        self.adapters = Adapters(self.objects, limits, self._next_id)
        self.references = References(self.objects, self._maker, limits, self._next_id)
        self.versions = Versions(self.objects, limits, self.watermark, self._next_id, self._on_gone)
        self._erased: dict[str, str] = {}  # by tenant, the erasure that was followed last
        self._notes: dict[str, bytes] = {}
        self._changed_notes: set[str] = set()
        self._deferred: list[Deferred] = []

    def rewind(self) -> None:
        """Go back to the last checkpoint, after a frame could not be folded.

        Raises `StateUnwritable` where the database cannot be read.
        """
        with self.turns:
            self._begin()
            self._load()

    @classmethod
    def open(
        cls,
        folder: Path,
        limits: Limits,
        maker: Maker,
        *,
        others: Sequence[MetaData] = (),
        forget: Sequence[Forget] = (),
    ) -> Self:
        """Open a state folder to write it, and make what is not there.

        `others` are tables of other parts in the same database; `forget` deletes a tenant's rows
        in them. Raises `StateInUse`, `ForeignState`, `StateUnwritable` and `OSError`.
        """
        lock = FolderLock(folder)
        try:
            database = Database(folder)
            database.prepare(*others)
            state = cls(database, lock, limits, maker, forget)
            state._load()
        except BaseException:
            lock.release()
            raise
        return state

    @classmethod
    def look(cls, folder: Path, limits: Limits, maker: Maker) -> Self:
        """Open a state folder to read it as the last checkpoint left it, beside its sidecar.

        Raises `ForeignState` and `StateUnwritable`.
        """
        database = Database(folder)
        database.check()
        database.hold()  # heads and what they name are read one by one
        state = cls(database, None, limits, maker)
        state._load()
        return state

    def close(self) -> None:
        """Let go of the folder; what was not written in a checkpoint is read again next time."""
        self.database.close()
        if self._lock is not None:
            self._lock.release()

    # --- notes, and writes of other parts ------------------------------------------------

    def note(self, name: str) -> bytes | None:
        """Return what was kept under a name."""
        return self._notes.get(name)

    def set_note(self, name: str, data: bytes) -> None:
        """Keep something under a name, with the next checkpoint."""
        self._notes[name] = data
        self._changed_notes.add(name)

    def defer(self, write: Deferred) -> None:
        """Have something written in the transaction of the next checkpoint.

        Where that fails it is done again with the one after it.
        """
        self._deferred.append(write)

    # --- checkpoints ---------------------------------------------------------------------

    @property
    def is_checkpoint_due(self) -> bool:
        """Return whether so much changed that it should not stay in memory alone."""
        waiting = _ROW_BYTES * (self.labels.waiting + self.shadows.waiting)
        return self.objects.changed_bytes + waiting > self.limits.changed_bytes

    @property
    def has_deferred(self) -> bool:
        """Return whether another part waits for a checkpoint."""
        return bool(self._deferred)

    def checkpoint(self, cursor: Cursor) -> int:
        """Write all that changed and a place in the log, in one transaction; return the bytes.

        Others may read meanwhile. Raises `StateUnwritable`, and then nothing was written, nothing
        is lost, and the next one writes it all.
        """
        with self.turns:
            prepared = self._prepared(cursor)
        with self.database.write() as connection:
            prepared.write(connection)
        with self.turns:
            for part in (
                *(self.objects, self.versions.owners, self.adapters.owners, self.references),
                *(self.labels, self.shadows),
            ):
                part.written()
            self._changed_notes.clear()
            del self._deferred[: len(prepared.deferred)]
            self.cursor = cursor
        return prepared.objects.bytes

    def _prepared(self, cursor: Cursor) -> Checkpoint:
        self.references.settle()
        notes = {name: self._notes[name] for name in sorted(self._changed_notes)}
        notes |= {
            _CURSOR: cursor.to_bytes(),
            _LOG: codec.encode(self.log),
            _WATERMARK: codec.encode(self.watermark),
            _ERASED: codec.encode(self._erased),
        }
        return Checkpoint(
            objects=self.objects.changes(),
            moved=[
                self.versions.owners.changes(),
                self.adapters.owners.changes(),
                *self.references.changes(),
            ],
            replaced=[self.labels.changes(), self.shadows.changes()],
            notes=notes,
            deferred=tuple(self._deferred),
        )

    def _load(self) -> None:
        with self.database.read() as connection:
            for owners in (
                *(self.versions.owners, self.adapters.owners),
                *(self.references.owners, self.references.pools),
            ):
                owners.load(connection)
            rows = connection.execute(select(NOTES.c.name, NOTES.c.data))
            self._notes = {name: data for name, data in rows}  # noqa: C416 rows are no pairs
        self.versions.loaded()
        if _CURSOR not in self._notes:
            return
        self.cursor = Cursor.from_bytes(self._notes.pop(_CURSOR))
        self.log = codec.decode(self._notes.pop(_LOG), LogTotals)
        self._erased = codec.decode(self._notes.pop(_ERASED), dict[str, str])
        watermark = codec.decode(self._notes.pop(_WATERMARK), Watermark)
        for name in Watermark.__slots__:
            setattr(self.watermark, name, getattr(watermark, name))

    # --- what goes -----------------------------------------------------------------------

    def evict(self) -> None:
        """Delete versions, adapters and references beyond the bound."""
        self.versions.evict()
        self.adapters.evict(lambda owner: max(owner.last_us, self._used_us(owner)))
        self.references.evict(lambda owner: max(owner.made_us, self._used_us(owner)))

    def erasure_of(self, tenant: str) -> str | None:
        """Return which erasure of a tenant was followed last."""
        return self._erased.get(tenant)

    def erase(self, tenant: str, erasure: str) -> None:
        """Delete everything of a tenant; a checkpoint and `wipe` make it final."""
        theirs = [owner for owner in self.versions.owners if owner.tenant == tenant]
        self.versions.drop(theirs)
        self.adapters.forget(tenant)
        self.references.forget(tenant)
        for forget in self._forget:
            self.defer(_forgetting(forget, tenant))
        self._erased[tenant] = erasure

    def _used_us(self, owner: AdapterOwner | ReferenceOwner) -> int:
        """Return the time of the newest event of the versions that an owner is of."""
        version = owner.version if isinstance(owner, ReferenceOwner) else None
        return max(
            (
                watched.last_us
                for watched in self.versions.of_adapter(owner.tenant, owner.adapter)
                if version is None or watched.version == version
            ),
            default=0,
        )

    def _on_gone(self, ids: Sequence[int]) -> None:
        self.labels.drop_owners(ids)
        self.shadows.drop_owners(ids)

    def _next_id(self) -> int:
        number = self.log.next_id
        self.log.next_id += 1
        return number


def _forgetting(forget: Forget, tenant: str) -> Deferred:
    return lambda connection: forget(connection, tenant)
