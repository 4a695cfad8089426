import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from service.events.cursor import Cursor, InvalidCursor, Place, cursor_path
from service.events.erasure import erase
from service.events.folder import SegmentFile, segments, writers
from service.events.frames import HEADER_BYTES, schema_payload, unpack
from service.events.image_figures import ImageFigures
from service.events.log import EventLog
from service.events.reader import LogReader
from service.events.schema import SCHEMA, UnknownSchema
from service.events.segments import segment_head
from service.events.text_figures import figures_of
from tests.fakes.events import (
    QUIET,
    SetClock,
    block_of,
    ids_of,
    label_of,
    open_log,
    read_all,
    rows_of,
)

WAIT_S = 20.0
SMALL = replace(QUIET, segment_bytes=1 << 14)


@pytest.fixture
def open_reader() -> Iterator[Callable[..., LogReader]]:
    """Give what opens readers, and close them after the test."""
    with ExitStack() as stack:
        yield lambda *args, **more: stack.enter_context(LogReader(*args, **more))


def write(log: EventLog, *numbers: int, tenant: str = "acme") -> None:
    """Write labels, each in a frame of its own."""
    for number in numbers:
        log.append([label_of(number, tenant)]).result(WAIT_S)


def labels(*numbers: int) -> list[str]:
    return [f"label-{number}" for number in numbers]


def files(folder: Path) -> list[SegmentFile]:
    return [file for writer in writers(folder) for file in segments(folder, writer)]


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def frames(path: Path) -> list[tuple[int, int]]:
    """Return where each frame of events begins and ends."""
    data, found = path.read_bytes(), []
    at = len(segment_head(schema_payload()))
    while (header := unpack(data[at : at + HEADER_BYTES])) is not None:
        found.append((at, at + header.bytes))
        at += header.bytes
    return found


def test_a_log_that_is_not_there_yet_is_empty(
    tmp_path: Path, open_reader: Callable[..., LogReader]
) -> None:
    reader = open_reader(tmp_path / "events", "sidecar")
    assert list(reader.batches()) == []
    assert reader.backlog().bytes == 0


def test_open_and_sealed_segments_are_read_in_one_go(tmp_path: Path) -> None:
    with open_log(tmp_path, SMALL) as log:
        write(log, *range(13))
        assert {file.sealed for file in files(tmp_path)} == {True, False}
        batches = read_all(tmp_path)
        assert ids_of(batches) == labels(*range(13))
    assert [batch.first for batch in batches] == list(range(13))
    assert {batch.writer for batch in batches} == set(writers(tmp_path))
    assert [row["sequence"] for row in rows_of(batches)] == list(range(13))


# Written by the last version that had 40 columns, before there were figures of texts: a reference
# of two rows, predictions of two tenants, one row with a base embedding, and a label.
BEFORE_FIGURES = Path(__file__).parent / "data" / "columns_40.log"


@pytest.fixture
def older(tmp_path: Path) -> Path:
    folder = tmp_path / "events" / "5f5e1000-0123456789abcdef"
    folder.mkdir(parents=True)
    shutil.copy(BEFORE_FIGURES, folder / "00000001.log")
    return folder.parent


def test_a_segment_from_before_a_column_is_read_and_the_column_is_null(older: Path) -> None:
    with open_log(older) as log:
        figures = figures_of(["now"], "acme", bytes(32))
        log.predictions(block_of(first=9, figures=figures))
        assert log.flush(WAIT_S)
    *old, new = read_all(older)
    assert [batch.column("kind").to_pylist() for batch in old] == [
        ["reference"] * 2,
        ["prediction"] * 5,
        ["label"],
    ]
    names = ("characters", "text_bytes", "replaced", "fingerprint")
    for batch in old:
        assert "fingerprint" not in batch.records.schema.names
        for name in names:
            column = batch.column(name)
            assert column.type == SCHEMA.field(name).type
            assert column.to_pylist() == [None] * batch.records.num_rows
    assert [new.column(name).to_pylist() for name in names[:3]] == [[3], [3], [0]]
    assert new.column("fingerprint").to_pylist() == figures.fingerprints
    assert old[1].column("tokens").to_pylist() == [5, 6, 7, 5, 6]
    with pytest.raises(KeyError, match="no_such_column"):
        new.column("no_such_column")


# Written by the last version that had 44 columns, before there were images: a reference of two
# rows, predictions of two tenants, those of one with figures of their texts, and a label.
BEFORE_IMAGES = Path(__file__).parent / "data" / "columns_44.log"


def test_a_segment_from_before_images_is_read_beside_one_with_them(tmp_path: Path) -> None:
    folder = tmp_path / "events" / "6b028dc5-c35b0f8da27bd4df"
    folder.mkdir(parents=True)
    shutil.copy(BEFORE_IMAGES, folder / "00000001.log")
    figures = ImageFigures([640], [480], [9000], [0.5], [None], [7])
    nothing: dict[str, Any] = {"tokens": [None], "unknown": [None], "truncated": [None]}
    with open_log(folder.parent) as log:
        log.predictions(block_of(first=9, images=figures, **nothing))
        assert log.flush(WAIT_S)
    *old, new = read_all(folder.parent)
    assert sum(batch.records.num_rows for batch in old) == 8
    names = ("width", "height", "image_bytes", "brightness", "sharpness", "count", "code")
    for batch in old:
        for name in names:
            assert batch.column(name).to_pylist() == [None] * batch.records.num_rows
    assert [new.column(name).to_pylist() for name in (*names, "fingerprint", "tokens")] == [
        *([640], [480], [9000], [0.5], [None], [None], [None], [7], [None])
    ]


def test_a_tenant_can_be_erased_from_a_segment_from_before_a_column(older: Path) -> None:
    assert erase(older, "acme").events == 6
    assert {row["tenant"] for row in rows_of(read_all(older))} == {"globex"}


def test_a_reader_follows_what_is_appended(
    tmp_path: Path, open_reader: Callable[..., LogReader]
) -> None:
    reader = open_reader(tmp_path, "sidecar")
    with open_log(tmp_path, SMALL) as log:
        for number in range(15):
            write(log, number)
            assert ids_of(list(reader.batches())) == labels(number)
            assert list(reader.batches()) == []
    assert list(reader.batches()) == []
    assert reader.missing == reader.damaged == reader.late == 0
    reader.close()


def test_a_reader_goes_on_where_it_committed(
    tmp_path: Path, open_reader: Callable[..., LogReader]
) -> None:
    with open_log(tmp_path, SMALL) as log:
        write(log, *range(10))
        for number in range(10):
            reader = open_reader(tmp_path, "sidecar")
            batches = reader.batches()
            assert ids_of([next(batches)]) == labels(number)
            reader.commit()
            next(batches, None)  # read, and not committed
            reader.close()
    assert list(open_reader(tmp_path, "sidecar").batches()) == []
    assert len(ids_of(read_all(tmp_path, "another"))) == 10


def test_a_cursor_that_is_kept_elsewhere_goes_before_the_committed_one(
    tmp_path: Path, open_reader: Callable[..., LogReader]
) -> None:
    with open_log(tmp_path) as log:
        write(log, 0, 1, 2)
        reader = open_reader(tmp_path, "sidecar")
        batches = reader.batches()
        next(batches)
        kept = reader.cursor().to_bytes()
        list(batches)
        reader.commit()
        again = open_reader(tmp_path, "sidecar", cursor=Cursor.from_bytes(kept))
        assert ids_of(list(again.batches())) == labels(1, 2)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"{}",
        b'{"format": 2, "places": {}}',
        b'{"format": 1, "places": {"w": [1, 2]}}',
        b'{"format": 1, "places": {"w": [1, 2, 3, "4"]}}',
        b'{"format": 1, "places": {"w": [1, 2, 3, -4]}}',
        b'{"format": 1, "places": []}',
    ],
)
def test_a_cursor_that_cannot_be_used_is_named(
    tmp_path: Path, open_reader: Callable[..., LogReader], data: bytes
) -> None:
    path = cursor_path(tmp_path, "sidecar")
    path.parent.mkdir()
    path.write_bytes(data)
    with pytest.raises(InvalidCursor, match=r"sidecar\.json: "):
        open_reader(tmp_path, "sidecar")


@pytest.mark.parametrize("name", ["", "../x", "A", "a/b", "x" * 64])
def test_a_name_that_could_leave_the_folder_is_refused(
    tmp_path: Path, open_reader: Callable[..., LogReader], name: str
) -> None:
    with pytest.raises(InvalidCursor, match="cannot be a reader's name"):
        open_reader(tmp_path, name)


def test_the_backlog_says_what_is_unread_and_how_old_it_is(
    tmp_path: Path, open_reader: Callable[..., LogReader]
) -> None:
    time = SetClock()
    with open_log(tmp_path, SMALL, clock=time.clock()) as log:
        write(log, *range(8))
        time.pass_s(30.0)
        write(log, 8)
        reader = open_reader(tmp_path, "sidecar", clock=time.clock())
        backlog = reader.backlog()
        assert backlog.bytes == sum(file.path.stat().st_size for file in files(tmp_path))
        assert backlog.segments == len(files(tmp_path)) > 1
        assert backlog.lag_s == pytest.approx(30.0, abs=0.001)
        batches = reader.batches()
        for _ in range(8):
            next(batches)
        at_the_last = reader.backlog()
        assert at_the_last.segments == 1
        assert at_the_last.lag_s == pytest.approx(0.0, abs=0.001)
        next(batches)
        assert reader.backlog() == (type(backlog)(0, 0, 0.0))


# --- several writers ---------------------------------------------------------------------


def test_several_writers_are_read_in_the_order_of_their_stamps(tmp_path: Path) -> None:
    time = SetClock()
    with (
        open_log(tmp_path, clock=time.clock()) as one,
        open_log(tmp_path, clock=time.clock()) as two,
    ):
        for number in range(0, 20, 2):
            write(one, number)
            time.pass_s(0.001)
            write(two, number + 1)
            time.pass_s(0.001)
        assert one.flush(WAIT_S)
        assert two.flush(WAIT_S)
        live = ids_of(read_all(tmp_path))
    assert live == labels(*range(20))
    assert ids_of(read_all(tmp_path)) == live, "the same when it is read later"
    assert len(writers(tmp_path)) == 2


def test_what_a_writer_may_still_write_before_is_waited_for(
    tmp_path: Path, open_reader: Callable[..., LogReader]
) -> None:
    time = SetClock()
    reader = open_reader(tmp_path, "sidecar", clock=time.clock())
    with (
        open_log(tmp_path, clock=time.clock()) as one,
        open_log(tmp_path, clock=time.clock()) as two,
    ):
        write(two, 0)
        time.pass_s(1.0)
        write(one, 1)
        seen = ids_of(list(reader.batches()))
        assert seen == labels(0), "two may still write something older than 1"
        assert two.flush(WAIT_S)
        assert ids_of(list(reader.batches())) == labels(1)
    assert reader.late == 0


def test_a_writer_that_says_nothing_is_not_waited_for_for_ever(
    tmp_path: Path, open_reader: Callable[..., LogReader]
) -> None:
    time = SetClock()
    reader = open_reader(tmp_path, "sidecar", silent_s=10.0, clock=time.clock())
    with (
        open_log(tmp_path, clock=time.clock()) as one,
        open_log(tmp_path, clock=SetClock().clock()) as silent,
    ):
        write(silent, 0)
        time.pass_s(1.0)
        write(one, 1)
        assert ids_of(list(reader.batches())) == labels(0)
        time.pass_s(11.0)
        write(one, 2)
        assert ids_of(list(reader.batches())) == labels(1, 2)
        write(silent, 3)
        assert ids_of(list(reader.batches())) == labels(3)
        assert reader.late == 1


def test_dead_writers_are_not_waited_for(tmp_path: Path) -> None:
    time = SetClock()
    with open_log(tmp_path, clock=time.clock()) as one:
        write(one, 0)
        with open_log(tmp_path, clock=time.clock()) as two:
            write(two, 1)
        time.pass_s(1.0)
        write(one, 2)
        assert ids_of(read_all(tmp_path)) == labels(0, 1, 2)


def test_many_writers_need_few_open_files(
    tmp_path: Path, open_reader: Callable[..., LogReader]
) -> None:
    for number in range(80):
        with open_log(tmp_path) as log:
            write(log, number)
    before = open_files()
    reader = open_reader(tmp_path, "sidecar")
    batches = reader.batches()
    assert len(ids_of([next(batches)])) == 1
    assert open_files() - before <= 65
    assert len(ids_of(list(batches))) == 79
    reader.close()
    assert open_files() <= before + 1


# --- damage ------------------------------------------------------------------------------


def damaged(folder: Path, change: Callable[[bytearray, list[tuple[int, int]]], object]) -> Path:
    """Write five labels into a sealed segment, change its bytes, and return its path."""
    with open_log(folder) as log:
        write(log, *range(5))
    [file] = files(folder)
    data = bytearray(file.path.read_bytes())
    change(data, frames(file.path))
    file.path.write_bytes(data)
    return file.path


def read_damaged(folder: Path) -> tuple[list[str], int, int]:
    reader = LogReader(folder, "sidecar")
    ids = ids_of(list(reader.batches()))
    assert list(reader.batches()) == []
    reader.close()
    return ids, reader.damaged, reader.missing


def test_a_frame_with_a_changed_payload_is_skipped_and_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def change(data: bytearray, at: list[tuple[int, int]]) -> None:
        data[at[2][0] + HEADER_BYTES + 5] ^= 1

    path = damaged(tmp_path, change)
    assert read_damaged(tmp_path) == (labels(0, 1, 3, 4), 1, 1)
    assert str(path) in caplog.text


def test_a_frame_with_a_changed_header_is_skipped_and_the_next_one_found(tmp_path: Path) -> None:
    def change(data: bytearray, at: list[tuple[int, int]]) -> None:
        data[at[1][0] + 9] ^= 1

    damaged(tmp_path, change)
    assert read_damaged(tmp_path) == (labels(0, 2, 3, 4), 1, 1)


def test_a_hole_is_skipped(tmp_path: Path) -> None:
    def change(data: bytearray, at: list[tuple[int, int]]) -> None:
        hole = slice(at[1][0] + 10, at[3][0] + 10)
        data[hole] = bytes(hole.stop - hole.start)

    damaged(tmp_path, change)
    assert read_damaged(tmp_path) == (labels(0, 4), 1, 3)


def test_a_sealed_segment_that_was_cut_is_damaged(tmp_path: Path) -> None:
    def change(data: bytearray, at: list[tuple[int, int]]) -> None:
        del data[at[3][1] - 7 :]

    damaged(tmp_path, change)
    assert read_damaged(tmp_path) == (labels(0, 1, 2), 1, 0)


def test_a_damaged_schema_is_made_good_by_our_own_of_the_same_checksum(tmp_path: Path) -> None:
    def change(data: bytearray, _: list[tuple[int, int]]) -> None:
        data[200] ^= 1

    damaged(tmp_path, change)
    assert read_damaged(tmp_path) == (labels(0, 1, 2, 3, 4), 1, 0)


def test_a_segment_that_is_none_is_one_damage(tmp_path: Path) -> None:
    damaged(tmp_path, lambda data, _: data.__setitem__(slice(0, len(data)), bytes(len(data))))
    assert read_damaged(tmp_path) == ([], 1, 0)


def test_a_segment_of_a_later_version_stops_the_reader_with_its_name(tmp_path: Path) -> None:
    def change(data: bytearray, at: list[tuple[int, int]]) -> None:
        later = schema_payload(SCHEMA.with_metadata({"tenantry.events": "2"}))
        data[: at[0][0]] = segment_head(later)

    damaged(tmp_path, change)
    with pytest.raises(UnknownSchema, match="schema 2"):
        read_all(tmp_path)


def test_what_a_later_version_wrote_counts_as_unread(tmp_path: Path) -> None:
    def change(data: bytearray, at: list[tuple[int, int]]) -> None:
        later = schema_payload(SCHEMA.with_metadata({"tenantry.events": "2"}))
        data[: at[0][0]] = segment_head(later)

    damaged(tmp_path, change)
    with LogReader(tmp_path, "late") as reader:
        backlog = reader.backlog()
    assert backlog.bytes > 0
    assert backlog.segments >= 1
    assert backlog.lag_s > 0


@pytest.mark.parametrize("lost", [1, 60, 200])
def test_what_a_death_tore_at_the_end_is_no_damage(tmp_path: Path, lost: int) -> None:
    path = damaged(tmp_path, lambda data, _: data.__delitem__(slice(len(data) - lost, None)))
    path.rename(path.with_suffix(".open"))
    assert read_damaged(tmp_path) == (labels(0, 1, 2, 3), 0, 0)


def test_the_end_of_an_open_segment_is_waited_for(
    tmp_path: Path, open_reader: Callable[..., LogReader]
) -> None:
    reader = open_reader(tmp_path, "sidecar")
    with open_log(tmp_path) as log:
        write(log, 0, 1)
        [file] = files(tmp_path)
        whole = file.path.read_bytes()
        file.path.write_bytes(whole[:-10])
        assert ids_of(list(reader.batches())) == labels(0)
        file.path.write_bytes(whole[:-10] + b"\xff" * 10)
        assert list(reader.batches()) == []
        file.path.write_bytes(whole)
        assert ids_of(list(reader.batches())) == labels(1)
        assert reader.damaged == 0


def test_a_cursor_beyond_the_end_reads_nothing_twice(
    tmp_path: Path, open_reader: Callable[..., LogReader]
) -> None:
    """After a power cut the end that was read may be gone."""
    with open_log(tmp_path) as log:
        write(log, 0, 1, 2)
    [file] = files(tmp_path)
    [_, _, last] = frames(file.path)
    reader = open_reader(tmp_path, "sidecar")
    assert len(ids_of(list(reader.batches()))) == 3
    reader.commit()
    os.truncate(file.path, last[0])
    assert list(open_reader(tmp_path, "sidecar").batches()) == []


def test_a_wrong_offset_is_found_out(tmp_path: Path, open_reader: Callable[..., LogReader]) -> None:
    with open_log(tmp_path) as log:
        write(log, *range(5))
        [writer] = writers(tmp_path)
        for offset in (0, 1, 17, 1 << 40):
            cursor = Cursor({writer: Place(1, 4, offset, 3)})
            reader = open_reader(tmp_path, "sidecar", cursor=cursor)
            assert ids_of(list(reader.batches())) == labels(3, 4)
            assert reader.damaged == 0


def test_predictions_of_a_request_stay_together(tmp_path: Path) -> None:
    with open_log(tmp_path) as log:
        log.predictions(block_of(count=600))
        log.predictions(block_of(count=600, first=600))
        assert log.flush(WAIT_S)
        batches = read_all(tmp_path)
    assert [batch.events for batch in batches] == [600, 600]
