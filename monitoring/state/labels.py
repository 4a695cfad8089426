"""The table of labels: the last one of each prediction, and the newest so many of a version.

Labels that came since the last checkpoint are in memory, over those in the database. A version's
labels are numbered as they come; those older than the newest `kept` numbers count as gone, wherever
the checkpoints fell. The same holds for the predictions of shadows, which wait for labels.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
from sqlalchemy import Connection, Table, bindparam, delete, insert, select

from monitoring.labelled import Labelled
from monitoring.state.database import Database
from monitoring.state.tables import LABELS, SHADOWS


@dataclass(frozen=True, slots=True)
class LabelRow:
    """The last label of a prediction."""

    owner: int
    prediction_id: str
    number: int
    came_us: int
    predicted_us: int
    class_index: int
    confidence: float
    label_index: int
    audit: bool
    audit_probability: float
    group: str | None


@dataclass(frozen=True, slots=True)
class ShadowRow:
    """What a shadow predicted where the caller got another version's answer."""

    owner: int
    prediction_id: str
    number: int
    predicted_us: int
    class_index: int
    confidence: float


class _Numbered(Protocol):
    @property
    def owner(self) -> int: ...
    @property
    def prediction_id(self) -> str: ...
    @property
    def number(self) -> int: ...


R = TypeVar("R", bound=_Numbered)


@dataclass(frozen=True, slots=True)
class Replaced:
    """What a checkpoint writes of a table of numbered rows."""

    table: Table
    rows: list[dict[str, Any]]
    ends: list[dict[str, Any]]  # up to which number an owner's rows are gone
    gone: list[dict[str, Any]]  # owners


class NumberedRows(Generic[R]):
    """Rows by owner and prediction; not for several threads at once."""

    def __init__(self, database: Database, table: Table, row: type[R], kept: int) -> None:
        self._database = database
        self._table = table
        self._row = row
        self._kept = kept
        self._new: dict[int, dict[str, R]] = {}  # by owner, since the last checkpoint
        self._gone: set[int] = set()
        self.waiting = 0  # rows that were put since the last checkpoint

    def put(self, row: R) -> None:
        """Keep a row in place of an earlier one of the same prediction."""
        rows = self._new.setdefault(row.owner, {})
        rows.pop(row.prediction_id, None)
        rows[row.prediction_id] = row
        self.waiting += 1

    def find(self, last: Mapping[int, int], prediction_ids: Iterable[str]) -> dict[str, R]:
        """Return a row of each prediction that has one, the owner's first named before others.

        `last` holds owners and the number of the newest row of each.
        """
        wanted = list(dict.fromkeys(prediction_ids))
        found: dict[tuple[int, str], R] = {}
        stored = [owner for owner in last if owner not in self._gone]
        if stored and wanted:
            columns = self._table.c
            query = select(self._table).where(columns.owner.in_(stored))
            with self._database.read() as connection:
                for start in range(0, len(wanted), 500):
                    some = query.where(columns.prediction_id.in_(wanted[start : start + 500]))
                    for values in connection.execute(some):
                        found[values[0], values[1]] = self._row(*values)
        for owner in last:
            new = self._new.get(owner, {})
            found |= {(owner, name): new[name] for name in wanted if name in new}
        chosen: dict[str, R] = {}
        for owner, newest in last.items():
            for name in wanted:
                row = found.get((owner, name))
                if row is not None and row.number > newest - self._kept:
                    chosen.setdefault(name, row)
        return chosen

    def newest(self, owner: int, last: int, most: int, *conditions: Any) -> list[R]:
        """Return an owner's newest rows, oldest first; `conditions` are asked of the database.

        Rows that came since the last checkpoint are all there, whatever the conditions.
        """
        new = self._new.get(owner, {})
        rows: list[R] = []
        if owner not in self._gone:
            columns = self._table.c
            query = (
                select(self._table)
                .where(columns.owner == owner, columns.number > last - self._kept, *conditions)
                .order_by(columns.number.desc())
                .limit(most + len(new))
            )
            with self._database.read() as connection:
                rows = [self._row(*values) for values in connection.execute(query)]
        kept = [row for row in reversed(rows) if row.prediction_id not in new]
        return kept + [row for row in new.values() if row.number > last - self._kept]

    def drop_owners(self, owners: Iterable[int]) -> None:
        """Delete all rows of some owners, whose ids are never used again."""
        for owner in owners:
            self._new.pop(owner, None)
            self._gone.add(owner)

    def changes(self) -> Replaced:
        """Return what is to be written, as it is now."""
        rows, ends = [], []
        for owner in sorted(self._new):
            some = list(self._new[owner].values())
            end = max(row.number for row in some) - self._kept
            rows += [asdict(row) for row in some if row.number > end]  # type: ignore[call-overload]
            ends.append({"b_owner": owner, "b_end": end})
        gone = [{"b_owner": owner} for owner in sorted(self._gone)]
        return Replaced(self._table, rows, ends, gone)

    def written(self) -> None:
        """Take note that the last `changes` are in the database."""
        self._new.clear()
        self._gone.clear()
        self.waiting = 0


class Labels(NumberedRows[LabelRow]):
    """The table of labels."""

    def __init__(self, database: Database, kept: int) -> None:
        super().__init__(database, LABELS, LabelRow, kept)

    def labelled(
        self, owner: int, last: int, since_us: int, most: int, group: str | None = None
    ) -> Labelled:
        """Return the newest labels that came at or after a time, at most so many."""
        conditions = [LABELS.c.came_us >= since_us]
        if group is not None:
            conditions.append(LABELS.c.group == group)
        rows = self.newest(owner, last, most, *conditions)
        fitting = [
            row for row in rows if row.came_us >= since_us and (group is None or row.group == group)
        ]
        return labelled_of(fitting[max(0, len(fitting) - most) :])

    def ids(self, owner: int, last: int, since_us: int, most: int) -> tuple[str, ...]:
        """Return predictions whose label came at or after a time, wrong ones first, then newest."""
        rows = self.newest(owner, last, self._kept, LABELS.c.came_us >= since_us)
        found = sorted(
            (row for row in rows if row.came_us >= since_us),
            key=lambda row: (row.class_index == row.label_index, -row.number),
        )
        return tuple(row.prediction_id for row in found[:most])


class Shadows(NumberedRows[ShadowRow]):
    """What shadows predicted."""

    def __init__(self, database: Database, kept: int) -> None:
        super().__init__(database, SHADOWS, ShadowRow, kept)


def labelled_of(rows: Sequence[LabelRow]) -> Labelled:
    """Return labels as arrays."""
    return Labelled(
        came_us=np.array([row.came_us for row in rows], np.int64),
        predicted_us=np.array([row.predicted_us for row in rows], np.int64),
        class_index=np.array([row.class_index for row in rows], np.int64),
        confidence=np.array([row.confidence for row in rows], np.float32),
        right=np.array([row.class_index == row.label_index for row in rows], np.bool_),
        audit=np.array([row.audit for row in rows], np.bool_),
        audit_probability=np.array([row.audit_probability for row in rows], np.float32),
    )


def write(connection: Connection, changes: Replaced) -> None:
    """Write changes, in the caller's transaction."""
    table = changes.table
    owner = table.c.owner == bindparam("b_owner")
    if changes.gone:
        connection.execute(delete(table).where(owner), changes.gone)
    if changes.rows:
        same = delete(table).where(owner, table.c.prediction_id == bindparam("b_prediction"))
        named = [
            {"b_owner": row["owner"], "b_prediction": row["prediction_id"]} for row in changes.rows
        ]
        connection.execute(same, named)
        connection.execute(insert(table), changes.rows)
    if changes.ends:
        connection.execute(
            delete(table).where(owner, table.c.number <= bindparam("b_end")), changes.ends
        )
