"""The demo's work folder: its own, and one demo's at a time."""

from pathlib import Path

import pytest

from examples.demo.errors import DemoFailed
from examples.demo.work_folder import claimed, emptied


def test_a_folder_is_made_and_can_be_claimed_again_later(tmp_path: Path) -> None:
    for _ in range(2):
        with claimed(tmp_path / "a" / "demo") as folder:
            (folder / "bundle").touch()
    assert (tmp_path / "a" / "demo" / "bundle").exists()


def test_an_empty_folder_can_be_claimed(tmp_path: Path) -> None:
    with claimed(tmp_path) as folder:
        assert folder == tmp_path


def test_a_folder_that_holds_other_things_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(DemoFailed, match="holds other things"), claimed(tmp_path):
        pass


def test_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "demo").touch()
    with pytest.raises(DemoFailed, match="not a folder"), claimed(tmp_path / "demo"):
        pass


def test_a_second_demo_is_refused_while_the_first_one_works(tmp_path: Path) -> None:
    with (
        claimed(tmp_path / "demo"),
        pytest.raises(DemoFailed, match="another demo"),
        claimed(tmp_path / "demo"),
    ):
        pass


def test_emptying_leaves_a_folder_without_anything_in_it(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "tenantry.db").touch()
    assert list(emptied(tmp_path / "state").iterdir()) == []
