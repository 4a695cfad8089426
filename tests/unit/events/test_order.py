import fcntl
import os
from pathlib import Path

import pytest

from service.events import order
from service.events.folder import LOCK, is_alive, writers
from service.events.order import Writership, promise_of

NOW_S = 1_743_413_400.0
NOW_US = 1_743_413_400_000_000


def test_a_writer_lives_until_it_ends(tmp_path: Path) -> None:
    writer = Writership.begin(tmp_path, NOW_S)
    assert writers(tmp_path) == [writer.name]
    assert is_alive(tmp_path, writer.name)
    assert promise_of(tmp_path, writer.name) == NOW_US
    writer.end()
    assert not is_alive(tmp_path, writer.name)
    assert promise_of(tmp_path, writer.name) is None


def test_names_are_not_used_twice(tmp_path: Path) -> None:
    names = set()
    for _ in range(50):
        writer = Writership.begin(tmp_path, NOW_S)
        names.add(writer.name)
        writer.end()
    assert len(names) == 50


def test_a_stamp_is_the_time_and_rises_when_the_clock_does_not(tmp_path: Path) -> None:
    writer = Writership.begin(tmp_path, NOW_S)
    assert writer.stamp(NOW_S + 1) == NOW_US + 1_000_000
    assert writer.stamp(NOW_S + 1) == NOW_US + 1_000_001
    assert writer.stamp(NOW_S - 1000) == NOW_US + 1_000_002
    writer.end()


def test_a_stamp_is_promised_only_once_it_is_written(tmp_path: Path) -> None:
    writer = Writership.begin(tmp_path, NOW_S)
    stamp = writer.stamp(NOW_S + 1)
    assert promise_of(tmp_path, writer.name) == NOW_US
    writer.written()
    assert promise_of(tmp_path, writer.name) == stamp
    writer.end()


def test_a_writer_begins_above_all_that_others_wrote_or_began_to_write(tmp_path: Path) -> None:
    first = Writership.begin(tmp_path, NOW_S + 3600)
    stamp = first.stamp(NOW_S + 3600)
    first.end()  # in the middle of a write, on a clock that went ahead
    second = Writership.begin(tmp_path, NOW_S)
    assert second.stamp(NOW_S) == stamp + 1
    second.end()


def test_a_beat_takes_over_the_others_order(tmp_path: Path) -> None:
    ahead, behind = Writership.begin(tmp_path, NOW_S), Writership.begin(tmp_path, NOW_S)
    stamp = ahead.stamp(NOW_S + 60)
    behind.beat(NOW_S + 1)
    assert promise_of(tmp_path, behind.name) == stamp
    ahead.end()
    behind.end()


def test_a_state_that_is_half_written_promises_nothing(tmp_path: Path) -> None:
    writer = Writership.begin(tmp_path, NOW_S)
    (tmp_path / writer.name / LOCK).write_bytes(b"\1" * 20)
    assert promise_of(tmp_path, writer.name) == 0
    writer.end()


def test_a_writer_whose_folder_is_swept_away_while_it_begins_tries_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = order._locked
    swept: list[Path] = []

    def sweep_first(path: Path) -> int | None:
        if not swept:
            swept.append(path.parent)
            path.parent.rmdir()
        elif len(swept) == 1:
            swept.append(path.parent)
            handle = os.open(path, os.O_CREAT | os.O_RDWR)
            fcntl.flock(handle, fcntl.LOCK_EX)
            try:
                return real(path)
            finally:
                os.close(handle)
        return real(path)

    monkeypatch.setattr(order, "_locked", sweep_first)
    writer = Writership.begin(tmp_path, NOW_S)
    assert is_alive(tmp_path, writer.name)
    assert len(swept) == 2
    writer.end()
