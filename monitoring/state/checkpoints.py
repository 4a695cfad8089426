"""Checkpoints: what one transaction writes, made while the state stands still."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, bindparam, delete, insert

from monitoring.state import directory, labels, objects
from monitoring.state.directory import Moved
from monitoring.state.labels import Replaced
from monitoring.state.objects import Changes
from monitoring.state.tables import NOTES

Deferred = Callable[[Connection], object]  # a write of another part, with the figures it follows


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """All that changed since the last one, as bytes."""

    objects: Changes
    moved: Sequence[Moved]
    replaced: Sequence[Replaced]
    notes: Mapping[str, bytes]
    deferred: Sequence[Deferred]

    def write(self, connection: Connection) -> None:
        """Write it, in the caller's transaction."""
        objects.write(connection, self.objects)
        for moved in self.moved:
            directory.write(connection, moved)
        for replaced in self.replaced:
            labels.write(connection, replaced)
        if self.notes:
            names = [{"b_name": name} for name in self.notes]
            connection.execute(delete(NOTES).where(NOTES.c.name == bindparam("b_name")), names)
            rows = [{"name": name, "data": data} for name, data in self.notes.items()]
            connection.execute(insert(NOTES), rows)
        for write in self.deferred:
            write(connection)
