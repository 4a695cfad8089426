"""The calibration set: real inputs, with labels where there are some, one JSON object a line.

    {"text": "my card was charged twice", "label": "card_charges"}
    {"image": "shelf/0412.jpg", "label": "empty"}           path from the folder of the file

Labels may be left out, of all rows or of none. Without a set, random inputs stand in: they show
whether a variant computes what fp32 computes, and not what it costs in accuracy.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from exporter.errors import UnusableData
from exporter.precision.tolerance import RANDOM
from service.engine.bundle import Bundle
from service.engine.errors import TenantryError
from service.engine.images.preprocess import Preprocessor
from service.engine.pixels import Prepared
from service.engine.tokens import Tokeniser

ROWS_MAX = 2048  # beyond it, so many are drawn
ROWS_MIN = 32
_SEED = 20260101

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class CalibrationSet:
    """Inputs as a pass takes them, in random order, and their classes."""

    name: str
    inputs: Sequence[Prepared]
    classes: NDArray[np.int64] | None  # [inputs], indices into `labels`
    labels: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.inputs)

    def halves(self) -> tuple["CalibrationSet", "CalibrationSet"]:
        """Return the half that is fitted on, and the half that is measured on."""
        middle = len(self) // 2
        return self._part(slice(0, middle)), self._part(slice(middle, None))

    def _part(self, rows: slice) -> "CalibrationSet":
        classes = None if self.classes is None else self.classes[rows]
        return CalibrationSet(self.name, self.inputs[rows], classes, self.labels)


def require_rows(file: Path) -> None:
    """Raise `UnusableData` where a file cannot be read, or is too short for a measurement."""
    try:
        with file.open("rb") as lines:
            count = sum(1 for _ in islice((line for line in lines if line.strip()), ROWS_MIN))
    except OSError as error:
        raise UnusableData(f"{file}: cannot be read: {error.strerror}") from error
    if count < ROWS_MIN:
        raise UnusableData(f"{file}: {count} rows; a measurement needs {ROWS_MIN}")


def read_calibration(file: Path, bundle: Bundle) -> CalibrationSet:
    """Read a calibration set; raise `UnusableData` naming the line that is wrong."""
    require_rows(file)
    rows = _rows(file, bundle.manifest.task)
    order = np.random.default_rng(_SEED).permutation(len(rows))[:ROWS_MAX]
    rows = [rows[i] for i in order]
    named = [row["label"] for row in rows if row.get("label") is not None]
    if named and len(named) < len(rows):
        raise UnusableData(
            f"{file}: some rows have a label and some have none; give all of them one, or none"
        )
    labels = _labels(named, file, bundle)
    index = {label: i for i, label in enumerate(labels)}
    classes = np.array([index[str(label)] for label in named], dtype=np.int64) if named else None
    return CalibrationSet(file.name, _inputs(rows, file, bundle), classes, labels)


def random_set(inputs: Sequence[Prepared]) -> CalibrationSet:
    """Return the set that stands in where none was given."""
    return CalibrationSet(RANDOM, inputs, None, ())


def _rows(file: Path, task: str) -> list[Row]:
    key = "text" if task == "text" else "image"
    try:
        lines = file.read_bytes().splitlines()
    except OSError as error:
        raise UnusableData(f"{file}: cannot be read: {error.strerror}") from error
    rows = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row = orjson.loads(line)
        except orjson.JSONDecodeError as error:
            raise UnusableData(f"{file}, line {number}: not JSON: {error}") from error
        if not isinstance(row, dict) or not isinstance(row.get(key), str):
            raise UnusableData(
                f'{file}, line {number}: not an object with a "{key}" that is a string'
            )
        rows.append(row)
    return rows


def _labels(named: Sequence[object], file: Path, bundle: Bundle) -> tuple[str, ...]:
    found = sorted({str(label) for label in named})
    dedicated = bundle.manifest.dedicated
    if dedicated is not None:
        foreign = [label for label in found if label not in dedicated.labels]
        if foreign:
            raise UnusableData(
                f"{file}: the model has no label {foreign[0]!r}; it has"
                f" {', '.join(dedicated.labels[:8])}"
            )
        return dedicated.labels
    if len(found) == 1:
        raise UnusableData(f"{file}: every row has the label {found[0]!r}; give two")
    return tuple(found)


def _inputs(rows: Sequence[Row], file: Path, bundle: Bundle) -> list[Prepared]:
    if bundle.manifest.task == "text":
        return list(Tokeniser(bundle).encode([row["text"] for row in rows]))
    preprocessor = Preprocessor(bundle)
    made: list[Prepared] = []
    for row in rows:
        path = file.parent / row["image"]
        try:
            made += preprocessor.encode([path.read_bytes()])
        except OSError as error:
            raise UnusableData(f"{path}: cannot be read: {error.strerror}") from error
        except TenantryError as error:
            raise UnusableData(f"{path}: {error}") from error
    return made
