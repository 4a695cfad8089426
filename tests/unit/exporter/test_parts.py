"""Parts: where a bundle grows, and who clears away what a dead export left."""

import os
import signal
from pathlib import Path

import pytest

from exporter.parts import part_beside


def listed(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def killed_while_it_wrote(out: Path) -> Path:
    """Return the part of a process that was killed in it."""
    child = os.fork()
    if not child:
        with part_beside(out) as part:
            (part / "model.onnx").write_bytes(b"0" * 100)
            os.kill(os.getpid(), signal.SIGKILL)
        os._exit(1)
    assert os.WIFSIGNALED(os.waitpid(child, 0)[1])
    (left,) = (path for path in out.parent.iterdir() if path.name.startswith(f".{out.name}."))
    assert (left / "bundle" / "model.onnx").is_file()
    return left


def test_a_part_is_hidden_beside_its_place_and_gone_afterwards(tmp_path: Path) -> None:
    out = tmp_path / "bundle"
    with part_beside(out) as part:
        assert part.is_dir()
        assert not any(part.iterdir())
        assert all(name.startswith(".bundle.part-") for name in listed(tmp_path))
        (part / "file").touch()
    assert not listed(tmp_path)


def test_a_part_that_was_put_in_place_stays_there(tmp_path: Path) -> None:
    out = tmp_path / "bundle"
    with part_beside(out) as part:
        (part / "file").touch()
        part.rename(out)
    assert listed(tmp_path) == {"bundle"}
    assert listed(out) == {"file"}


def test_an_error_leaves_nothing(tmp_path: Path) -> None:
    def interrupted() -> None:
        with part_beside(tmp_path / "bundle") as part:
            (part / "file").touch()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert not listed(tmp_path)


def test_the_next_export_to_a_place_removes_what_a_killed_one_left_there(tmp_path: Path) -> None:
    left = killed_while_it_wrote(tmp_path / "bundle")
    other = killed_while_it_wrote(tmp_path / "another")
    with part_beside(tmp_path / "bundle"):
        assert not left.exists()
    assert listed(tmp_path) == {other.name}


def test_a_part_that_has_no_lock_yet_is_nobodys(tmp_path: Path) -> None:
    (tmp_path / ".bundle.part-abcd_123").mkdir()
    with part_beside(tmp_path / "bundle"):
        assert len(listed(tmp_path)) == 1


def test_the_part_of_a_living_export_to_the_same_place_is_left_alone(tmp_path: Path) -> None:
    out = tmp_path / "bundle"
    with part_beside(out) as first:
        (first / "file").touch()
        with part_beside(out) as second:
            assert first != second
            assert listed(first) == {"file"}
        assert listed(first) == {"file"}


@pytest.mark.parametrize(
    "name", [".bundle.part-", ".bundle.part-abcd_1234x", ".bundle.part-ABCD1234", "bundle.part-x"]
)
def test_what_only_looks_like_a_part_is_kept(name: str, tmp_path: Path) -> None:
    (tmp_path / name).mkdir()
    (tmp_path / ".bundle.part-abcdefgh").touch()  # a file
    (tmp_path / ".bundle.part-ijklmnop").symlink_to(tmp_path / name)
    with part_beside(tmp_path / "bundle"):
        pass
    assert listed(tmp_path) == {name, ".bundle.part-abcdefgh", ".bundle.part-ijklmnop"}


def test_what_belongs_to_somebody_else_is_neither_opened_nor_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs = tmp_path / ".bundle.part-abcdefgh"
    theirs.mkdir()
    os.mkfifo(theirs / "lock")  # whoever opens it waits for ever
    monkeypatch.setattr(os, "geteuid", lambda: theirs.stat().st_uid + 1)
    with part_beside(tmp_path / "bundle"):
        pass
    assert listed(tmp_path) == {theirs.name}


def test_a_lock_that_leads_elsewhere_is_no_lock(tmp_path: Path) -> None:
    left = tmp_path / ".bundle.part-abcdefgh"
    left.mkdir()
    (left / "lock").symlink_to(tmp_path / "elsewhere")
    with part_beside(tmp_path / "bundle"):
        pass
    assert listed(tmp_path) == {left.name}
