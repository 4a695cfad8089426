"""One frame's columns, by name, as numpy arrays or lists; what is not there is all null."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from monitoring.rows import HalfArray, IntArray, TruthArray


class Columns:
    """Some rows of a record batch; each column is converted when it is asked for."""

    def __init__(self, records: Any) -> None:
        self._records = records
        self._names = {name: number for number, name in enumerate(records.schema.names)}

    def __len__(self) -> int:
        count: int = self._records.num_rows
        return count

    def of_kind(self, kind: str) -> "Columns":
        """Return the rows of one kind of event."""
        here = pc.equal(self._records["kind"], kind)
        if pc.all(here).as_py() or not len(self):
            return self
        return Columns(self._records.filter(here))

    def without(self, name: str, text: str) -> "Columns":
        """Return the rows whose text is another one, or that have none."""
        column = self.column(name)
        if column is None:
            return self
        here = pc.fill_null(pc.equal(column, text), False)
        return Columns(self._records.filter(pc.invert(here))) if pc.any(here).as_py() else self

    def column(self, name: str) -> Any:
        """Return an Arrow array; None where the frame has no such column."""
        number = self._names.get(name)
        return None if number is None else self._records.column(number)

    def known(self, name: str) -> TruthArray:
        """Return which rows have a value, [n]."""
        column = self.column(name)
        if column is None:
            return np.zeros(len(self), np.bool_)
        if not column.null_count:
            return np.ones(len(self), np.bool_)
        return _numpy(column.is_valid())

    def integers(self, name: str, missing: int) -> IntArray:
        """Return whole numbers or times in microseconds as int64, [n]."""
        column = self.column(name)
        if column is None:
            return np.full(len(self), missing, np.int64)
        if pa.types.is_timestamp(column.type):
            column = column.view(pa.int64())
        if column.null_count:
            column = column.fill_null(missing)
        return _numpy(column).astype(np.int64, copy=False)

    def numbers(self, name: str) -> npt.NDArray[np.float32]:
        """Return float32, NaN where there is none, [n]."""
        column = self.column(name)
        if column is None:
            return np.full(len(self), np.nan, np.float32)
        return _numpy(column).astype(np.float32, copy=False)

    def truths(self, name: str) -> TruthArray:
        """Return truth values, false where there is none, [n]."""
        column = self.column(name)
        if column is None:
            return np.zeros(len(self), np.bool_)
        return _numpy(column.fill_null(False) if column.null_count else column)

    def texts(self, name: str) -> list[str | None]:
        """Return texts, [n]."""
        column = self.column(name)
        if column is None or column.null_count == len(column):
            return [None] * len(self)
        texts: list[str | None] = column.to_pylist()
        return texts

    def coded(self, name: str) -> tuple[IntArray, list[str | None]]:
        """Return texts as numbers into a list of those that differ, [n]; -1 for none."""
        column = self.column(name)
        if column is None or column.null_count == len(column):
            return np.full(len(self), -1, np.int64), []
        coded = column.dictionary_encode()
        codes = coded.indices
        if codes.null_count:
            codes = codes.fill_null(-1)
        return _numpy(codes).astype(np.int64), coded.dictionary.to_pylist()

    def vectors(self, name: str) -> "Vectors":
        """Return lists of float16."""
        column = self.column(name)
        if column is None or column.null_count == len(column):
            return Vectors(np.zeros(0, np.float16), np.full(len(self), -1, np.int64))
        lengths = pc.list_value_length(column)
        if lengths.null_count:
            lengths = lengths.fill_null(-1)
        return Vectors(_numpy(column.flatten()), _numpy(lengths).astype(np.int64))


class Vectors:
    """Rows of float16 of any lengths, one behind the other; length -1 where there is none."""

    def __init__(self, values: HalfArray, lengths: IntArray) -> None:
        self.values = values
        self.lengths = lengths  # [n]
        self._ends = np.cumsum(np.maximum(lengths, 0))

    def __len__(self) -> int:
        return len(self.lengths)

    def matrix(self, rows: IntArray, width: int) -> HalfArray:
        """Return rows that all have one width, [rows, width]."""
        if not len(rows):
            return np.zeros((0, width), np.float16)
        if len(self.values) == width * len(self):  # every row has it
            whole: HalfArray = self.values.reshape(-1, width)
            return whole[rows]
        starts = self._ends[rows] - width
        gathered: HalfArray = self.values[starts[:, None] + np.arange(width)]
        return gathered

    def all_of(self, sound: npt.NDArray[np.bool_]) -> TruthArray:
        """Return for each row whether `sound` [values] holds for all of it; true for none, [n]."""
        if sound.all():
            return np.ones(len(self), np.bool_)
        bad = np.zeros(len(self), np.bool_)
        bad[np.searchsorted(self._ends, np.flatnonzero(~sound), side="right")] = True
        return ~bad


def _numpy(column: Any) -> npt.NDArray[Any]:
    array: npt.NDArray[Any] = column.to_numpy(zero_copy_only=False)
    return array
