"""A machine that may break: nothing is wrong with it until a file says so."""

from pathlib import Path

import pytest

from examples.gameday.faulty import ahead, seconds_in, slowed


def test_a_machine_is_whole_until_a_file_says_otherwise(tmp_path: Path) -> None:
    assert seconds_in(tmp_path / "slow-model") == 0.0
    (tmp_path / "slow-model").write_text("0.8")
    assert seconds_in(tmp_path / "slow-model") == 0.8


def test_a_file_sets_the_clock_ahead(tmp_path: Path) -> None:
    clock = ahead(lambda: 100.0, tmp_path / "wrong-clock")
    assert clock() == 100.0
    (tmp_path / "wrong-clock").write_text("600")
    assert clock() == 700.0


def test_a_sync_waits_as_long_as_a_file_says_and_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited: list[float] = []
    synced: list[int] = []
    monkeypatch.setattr("time.sleep", waited.append)
    sync = slowed(synced.append, tmp_path / "slow-disk")
    (tmp_path / "slow-disk").write_text("1.5")
    sync(7)
    assert (waited, synced) == ([1.5], [7])
