import fcntl
import os
from dataclasses import replace
from pathlib import Path

import pytest

from service.events.cursor import cursor_path
from service.events.folder import JANITOR_LOCK, is_alive, segments, writers
from service.events.order import Writership
from service.events.reader import LogReader
from service.events.retention import Janitor, Kept, log_bytes, recover
from tests.fakes.events import (
    QUIET,
    CountedLogMetrics,
    SetClock,
    ids_of,
    label_of,
    open_log,
    read_all,
)

WAIT_S = 20.0
ALL = Kept(age_s=1e12, bytes=1 << 40, reader_gone_s=1e12)


def names(folder: Path) -> list[str]:
    return [file.path.name for writer in writers(folder) for file in segments(folder, writer)]


def write(folder: Path, *numbers: int) -> str:
    """Write labels as one writer, each into a sealed segment of its own; return its name."""
    with open_log(folder, replace(QUIET, segment_bytes=1)) as log:
        for number in numbers:
            log.append([label_of(number)]).result(WAIT_S)
    return max(writers(folder), key=lambda name: (folder / name).stat().st_mtime_ns)


def tick(folder: Path, kept: Kept, metrics: CountedLogMetrics | None = None) -> int:
    clock = SetClock(wall_s=folder.stat().st_mtime + 1.0).clock()
    return Janitor(folder, kept, metrics=metrics or CountedLogMetrics(), clock=clock).tick()


def age(folder: Path, writer: str, number: int, seconds: float) -> None:
    path = segments(folder, writer)[number - 1].path
    status = path.stat()
    os.utime(path, (status.st_atime, status.st_mtime - seconds))


def test_old_segments_go_whoever_wrote_them(tmp_path: Path) -> None:
    one, two = write(tmp_path, 0, 1), write(tmp_path, 2, 3)
    age(tmp_path, one, 1, 1000.0)
    age(tmp_path, two, 2, 1000.0)
    metrics = CountedLogMetrics()
    size = tick(tmp_path, replace(ALL, age_s=500.0), metrics)
    assert ids_of(read_all(tmp_path)) == ["label-1", "label-2"]
    assert size == log_bytes(tmp_path) > 0
    assert metrics.unread == 0, "nobody reads it"


def test_the_oldest_go_until_the_size_is_kept(tmp_path: Path) -> None:
    write(tmp_path, 0, 1, 2, 3)
    each = log_bytes(tmp_path) // 4
    tick(tmp_path, replace(ALL, bytes=2 * each + each // 2))
    assert ids_of(read_all(tmp_path)) == ["label-2", "label-3"]


def test_open_segments_count_and_stay(tmp_path: Path) -> None:
    with open_log(tmp_path) as log:
        log.append([label_of(0)]).result(WAIT_S)
        assert tick(tmp_path, replace(ALL, bytes=1, age_s=0.0)) > 0
        assert names(tmp_path) == ["00000001.open"]


def test_what_a_reader_has_not_read_is_counted_when_it_goes(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    writer = write(tmp_path, 0, 1, 2)
    with LogReader(tmp_path, "sidecar") as reader:
        next(reader.batches())
        reader.commit()
    metrics = CountedLogMetrics()
    tick(tmp_path, replace(ALL, bytes=1), metrics)
    assert names(tmp_path) == []
    assert metrics.unread == 2
    assert "not read by sidecar" in caplog.text
    assert f"{writer}/00000001.log" not in caplog.text


def test_a_reader_that_began_before_this_writer_has_read_none_of_it(tmp_path: Path) -> None:
    with LogReader(tmp_path, "sidecar") as reader:
        reader.commit()
    write(tmp_path, 0, 1)
    metrics = CountedLogMetrics()
    tick(tmp_path, replace(ALL, bytes=1), metrics)
    assert metrics.unread == 2


def test_a_segment_that_was_read_to_its_end_goes_in_silence(tmp_path: Path) -> None:
    write(tmp_path, 0, 1)
    with LogReader(tmp_path, "sidecar") as reader:
        list(reader.batches())
        reader.commit()
    metrics = CountedLogMetrics()
    tick(tmp_path, replace(ALL, bytes=1), metrics)
    assert names(tmp_path) == []
    assert metrics.unread == 0


def test_a_reader_that_is_gone_is_not_counted(tmp_path: Path) -> None:
    with LogReader(tmp_path, "sidecar") as reader:
        reader.commit()
    path = cursor_path(tmp_path, "sidecar")
    os.utime(path, (0, 0))
    write(tmp_path, 0)
    metrics = CountedLogMetrics()
    tick(tmp_path, replace(ALL, bytes=1, reader_gone_s=7 * 86_400.0), metrics)
    assert metrics.unread == 0


def test_a_reader_whose_cursor_is_damaged_counts_as_having_read_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write(tmp_path, 0)
    with LogReader(tmp_path, "sidecar") as reader:
        list(reader.batches())
        reader.commit()
    cursor_path(tmp_path, "sidecar").write_bytes(b"{")
    metrics = CountedLogMetrics()
    tick(tmp_path, replace(ALL, bytes=1), metrics)
    assert metrics.unread == 1
    assert "counts as having read nothing" in caplog.text


def test_a_reader_goes_on_behind_what_was_deleted_and_counts_it(tmp_path: Path) -> None:
    with LogReader(tmp_path, "sidecar") as reader:
        writer = write(tmp_path, 0, 1, 2, 3)
        next(reader.batches())
        for number in (1, 2, 3):
            age(tmp_path, writer, number, 1000.0)
        tick(tmp_path, replace(ALL, age_s=500.0))
        assert ids_of(list(reader.batches())) == ["label-3"]
        assert reader.missing == 2


def test_a_new_reader_misses_nothing_of_what_was_there_before_it(tmp_path: Path) -> None:
    writer = write(tmp_path, 0, 1)
    age(tmp_path, writer, 1, 1000.0)
    tick(tmp_path, replace(ALL, age_s=500.0))
    with LogReader(tmp_path, "sidecar") as reader:
        assert ids_of(list(reader.batches())) == ["label-1"]
        assert reader.missing == 0


# --- the dead ----------------------------------------------------------------------------


def died(folder: Path, tail: bytes) -> Path:
    """Make it look as if a writer had died in a write; return its segment."""
    with open_log(folder) as log:
        for number in range(3):
            log.append([label_of(number)]).result(WAIT_S)
    [writer] = writers(folder)
    [file] = segments(folder, writer)
    path = file.path.with_suffix(".open")
    path.write_bytes(file.path.read_bytes() + tail)
    file.path.unlink()
    return path


@pytest.mark.parametrize("tail", [b"", b"torn", bytes(5000), b"\xf5TNF" + bytes(200)])
def test_what_the_dead_left_is_cut_to_its_last_good_frame_and_sealed(
    tmp_path: Path, tail: bytes
) -> None:
    path = died(tmp_path, tail)
    size = path.stat().st_size - len(tail)
    recover(tmp_path)
    assert not path.exists()
    assert path.with_suffix(".log").stat().st_size == size
    with LogReader(tmp_path, "sidecar") as reader:
        assert len(ids_of(list(reader.batches()))) == 3
        assert reader.damaged == 0


def test_good_frames_behind_damage_are_not_cut_off(tmp_path: Path) -> None:
    path = died(tmp_path, b"")
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    recover(tmp_path)
    with LogReader(tmp_path, "sidecar") as reader:
        assert len(ids_of(list(reader.batches()))) == 2
        assert reader.damaged == 1


@pytest.mark.parametrize("size", [0, 10, 20, 100])
def test_a_segment_that_was_only_begun_is_removed(tmp_path: Path, size: int) -> None:
    path = died(tmp_path, b"")
    os.truncate(path, size)
    recover(tmp_path)
    assert names(tmp_path) == []


def test_the_living_are_left_alone(tmp_path: Path) -> None:
    with open_log(tmp_path) as log:
        log.append([label_of(0)]).result(WAIT_S)
        recover(tmp_path)
        log.append([label_of(1)]).result(WAIT_S)
        assert ids_of(read_all(tmp_path)) == ["label-0", "label-1"]
        assert names(tmp_path) == ["00000001.open"]


def test_the_folder_of_a_dead_writer_goes_with_its_last_segment(tmp_path: Path) -> None:
    write(tmp_path, 0)
    living = Writership.begin(tmp_path, 1_743_413_400.0)
    tick(tmp_path, replace(ALL, bytes=1))
    assert writers(tmp_path) == [living.name]
    assert is_alive(tmp_path, living.name)
    living.end()
    tick(tmp_path, ALL)
    assert writers(tmp_path) == []


def test_what_an_erasure_left_half_made_is_removed(tmp_path: Path) -> None:
    writer = write(tmp_path, 0)
    draft = tmp_path / writer / ".00000001.log"
    draft.write_bytes(b"half")
    tick(tmp_path, ALL)
    assert not draft.exists()
    assert names(tmp_path) == ["00000001.log"]


def test_one_process_does_it_at_a_time(tmp_path: Path) -> None:
    write(tmp_path, 0)
    handle = os.open(tmp_path / JANITOR_LOCK, os.O_RDWR | os.O_CREAT)
    fcntl.flock(handle, fcntl.LOCK_EX)
    assert tick(tmp_path, replace(ALL, bytes=1)) > 0, "the size is told all the same"
    assert names(tmp_path) == ["00000001.log"]
    os.close(handle)
    assert tick(tmp_path, replace(ALL, bytes=1)) == 0


def test_a_log_that_is_open_keeps_itself_in_bounds(tmp_path: Path) -> None:
    write(tmp_path, 0, 1)
    metrics = CountedLogMetrics()
    limits = replace(QUIET, kept_bytes=1, janitor_s=0.01)
    with open_log(tmp_path, limits, metrics=metrics) as log:
        while names(tmp_path):
            pass
        log.append([label_of(2)]).result(WAIT_S)
        while not metrics.size_bytes:
            pass
    assert metrics.states == [False]
