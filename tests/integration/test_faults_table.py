"""The table of faults names tests that are there, and all of those that try faults."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TABLE = ROOT / "docs" / "concepts" / "faults.md"


def named() -> set[str]:
    return set(re.findall(r"`((?:tests/[a-z/]+/)?test_[a-z_]+\.py)`", TABLE.read_text("utf-8")))


def test_each_test_that_the_table_names_is_there() -> None:
    assert named()
    for name in named():
        path = ROOT / name if "/" in name else ROOT / "tests" / "integration" / name
        assert path.is_file(), name


def test_each_file_of_faults_is_in_the_table() -> None:
    files = {path.name for path in Path(__file__).parent.glob("test_faults_*.py")}
    assert files - named() == {Path(__file__).name}
