"""The calibration set: what is refused of its file before the long work."""

from pathlib import Path

import pytest

from exporter.errors import UnusableData
from exporter.precision.calibration import ROWS_MIN, require_rows


def test_a_file_with_rows_enough_is_taken_and_a_shorter_one_refused(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text("{}\n\n" * ROWS_MIN)
    require_rows(file)
    file.write_text("{}\n\n" * (ROWS_MIN - 1))
    with pytest.raises(UnusableData, match=f"{ROWS_MIN - 1} rows; a measurement needs {ROWS_MIN}"):
        require_rows(file)


def test_a_file_that_cannot_be_read_is_refused_with_the_reason(tmp_path: Path) -> None:
    with pytest.raises(UnusableData, match=r"gone\.jsonl: cannot be read: No such file"):
        require_rows(tmp_path / "gone.jsonl")
