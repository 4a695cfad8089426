"""The state that is moved from: what is refused, in words that say what to do next."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from service.errors import InvalidSettings, StateDamaged
from service.migration.source import opened
from service.registry.database import FILE, Database


def whole(folder: Path) -> Path:
    with closing(Database(folder)) as database:
        database.prepare()
    return folder / FILE


def test_a_registry_of_this_version_is_read(tmp_path: Path) -> None:
    whole(tmp_path)
    with opened(tmp_path) as state:
        assert state.households() == []


def test_a_folder_without_a_registry_is_none(tmp_path: Path) -> None:
    with (
        pytest.raises(InvalidSettings, match=f"there is no {FILE} in it"),
        opened(tmp_path),
    ):
        raise AssertionError("it was opened")


@pytest.mark.parametrize("data", [b"", b"no database" * 1000])
def test_a_registry_that_is_no_database_is_one_line_that_says_what_to_do(
    tmp_path: Path, data: bytes
) -> None:
    (tmp_path / FILE).write_bytes(data)
    with pytest.raises(StateDamaged, match="cannot be read: ") as refused, opened(tmp_path):
        raise AssertionError("it was opened")
    assert "\n" not in str(refused.value)
    assert f"`tenantry state check --state {tmp_path}`" in str(refused.value)
    assert "`tenantry state restore`" in str(refused.value)


def test_damage_that_is_found_later_is_told_the_same_way(tmp_path: Path) -> None:
    file = whole(tmp_path)
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("DROP TABLE rollouts")
        connection.commit()
    with pytest.raises(StateDamaged, match="cannot be read: "), opened(tmp_path) as state:
        state.households()
