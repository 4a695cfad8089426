import logging
import threading
from concurrent.futures import Future, wait
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from service.events.folder import segments, writers
from service.events.log import EventLog
from service.events.ports import LogUnwritable
from service.events.records import DurableEvent
from tests.fakes.events import (
    QUIET,
    CountedLogMetrics,
    FailingDisk,
    SetClock,
    block_of,
    ids_of,
    label_of,
    open_log,
    quarantine_of,
    read_all,
    reference_of,
    rollout_of,
    rows_of,
)

WAIT_S = 20.0


def done(log: EventLog, *events: DurableEvent) -> None:
    log.append(events).result(WAIT_S)


def names(folder: Path) -> list[str]:
    return [file.path.name for writer in writers(folder) for file in segments(folder, writer)]


def test_predictions_are_in_the_log_after_a_flush_and_were_counted(tmp_path: Path) -> None:
    metrics = CountedLogMetrics()
    with open_log(tmp_path, metrics=metrics) as log:
        for number in range(700):
            log.predictions(block_of(first=number))
        assert log.flush(WAIT_S)
        batches = read_all(tmp_path)
        assert ids_of(batches) == [f"acme-{number}" for number in range(700)]
        assert len(batches) == 2, "a frame takes 512"
        assert metrics.written == {"prediction": 700}
    assert metrics.dropped == {}


def test_without_a_flush_they_are_written_within_the_time_that_is_set(tmp_path: Path) -> None:
    metrics = CountedLogMetrics()
    with open_log(tmp_path, replace(QUIET, flush_s=0.02), metrics=metrics) as log:
        log.predictions(block_of())
        gone = threading.Event()
        while not metrics.written:
            assert not gone.wait(0.005)
    assert ids_of(read_all(tmp_path)) == ["acme-0"]


def test_many_that_wait_are_written_at_once(tmp_path: Path) -> None:
    metrics = CountedLogMetrics()
    with open_log(tmp_path, replace(QUIET, waiting_max=20), metrics=metrics) as log:
        log.predictions(block_of(count=10))
        gone = threading.Event()
        while metrics.written != {"prediction": 10}:
            assert not gone.wait(0.005)


def test_durable_events_are_on_the_disk_when_their_future_is_done(tmp_path: Path) -> None:
    metrics, disk = CountedLogMetrics(), FailingDisk()
    with open_log(tmp_path, metrics=metrics, disk=disk) as log:
        done(log, label_of(1), reference_of(3), rollout_of(2), quarantine_of())
        assert disk.calls["sync"] == 2, "of the segment's head, and of the frames"
        kinds = [row["kind"] for row in rows_of(read_all(tmp_path))]
        assert kinds == ["label", "reference", "reference", "reference", "rollout", "quarantine"]
    assert metrics.written == {"label": 1, "reference": 3, "rollout": 1, "quarantine": 1}


def test_each_write_is_timed_and_those_that_fail_too(tmp_path: Path) -> None:
    metrics, disk = CountedLogMetrics(), FailingDisk()
    with open_log(tmp_path, metrics=metrics, disk=disk) as log:
        done(log, label_of(1))
        assert len(metrics.writes) == 1
        log.predictions(block_of())
        assert log.flush(WAIT_S)
        assert len(metrics.writes) == 2
        disk.failing = {"sync"}
        log.predictions(block_of())
        assert not log.flush(WAIT_S)
        assert len(metrics.writes) == 3
    assert all(seconds >= 0 for seconds in metrics.writes)


def test_those_that_wait_together_share_a_sync(tmp_path: Path) -> None:
    disk = FailingDisk()
    metrics = CountedLogMetrics()
    metrics.gate.clear()
    with open_log(tmp_path, metrics=metrics, disk=disk) as log:
        first = log.append([label_of(0)])
        while disk.calls["sync"] != 2:
            pass
        others = [log.append([label_of(number)]) for number in range(1, 50)]
        metrics.gate.set()
        wait([first, *others], WAIT_S)
        assert all(other.exception() is None for other in others)
        assert disk.calls["sync"] == 3
    assert ids_of(read_all(tmp_path)) == [f"label-{number}" for number in range(50)]


def test_an_empty_append_is_done_at_once(tmp_path: Path) -> None:
    with open_log(tmp_path) as log:
        assert log.append([]).done()
    assert writers(tmp_path) == [], "nothing was written, so nothing was made"


def test_a_cancelled_append_is_not_written(tmp_path: Path) -> None:
    metrics = CountedLogMetrics()
    metrics.gate.clear()
    with open_log(tmp_path, metrics=metrics) as log:
        first = log.append([label_of(0)])
        while not first.running():
            pass
        assert log.append([label_of(1)]).cancel()
        metrics.gate.set()
        done(log, label_of(2))
    assert ids_of(read_all(tmp_path)) == ["label-0", "label-2"]


def test_beyond_the_bound_predictions_are_dropped_and_counted(tmp_path: Path) -> None:
    metrics = CountedLogMetrics()
    held = threading.Event()

    def slow(text: str) -> str:
        held.wait(WAIT_S)
        return text

    limits = replace(QUIET, waiting_max=8)
    with open_log(tmp_path, limits, metrics=metrics, redact=slow) as log:
        log.predictions(block_of(count=4, texts=["x"] * 4))  # being written, and still counted
        log.predictions(block_of(count=4, first=4))
        log.predictions(block_of(count=1, first=8))
        assert metrics.dropped == {"memory": 1}
        held.set()
        assert log.flush(WAIT_S)
        log.predictions(block_of(count=1, first=9))
    assert ids_of(read_all(tmp_path)) == [f"acme-{number}" for number in (*range(8), 9)]


def test_their_memory_is_bounded_too(tmp_path: Path) -> None:
    metrics = CountedLogMetrics()
    limits = replace(QUIET, waiting_bytes_max=block_of().bytes * 2)
    with open_log(tmp_path, limits, metrics=metrics) as log:
        for number in range(3):
            log.predictions(block_of(first=number))
        assert metrics.dropped == {"memory": 1}
        assert log.flush(WAIT_S)
        log.predictions(block_of(first=3))
    assert metrics.dropped == {"memory": 1}


def test_durable_events_beyond_the_bound_are_refused(tmp_path: Path) -> None:
    with open_log(tmp_path, replace(QUIET, waiting_max=2)) as log:
        with pytest.raises(LogUnwritable, match="too many events wait"):
            done(log, label_of(0), label_of(1), label_of(2))
        done(log, label_of(0), label_of(1))


def test_a_block_of_the_wrong_shape_costs_no_other_its_events(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    metrics = CountedLogMetrics()
    with open_log(tmp_path, metrics=metrics) as log:
        log.predictions(block_of(first=0))
        log.predictions(block_of(first=1, tokens=[]))
        log.predictions(block_of(first=2, class_index=np.array([99])))
        log.predictions(block_of(first=3))
        assert log.flush(WAIT_S)
    assert ids_of(read_all(tmp_path)) == ["acme-0", "acme-3"]
    assert [row["sequence"] for row in rows_of(read_all(tmp_path))] == [0, 1]
    assert metrics.dropped == {"invalid": 2}
    assert "a block of acme.support cannot be written: InvalidBlock" in caplog.text


def test_an_event_that_is_none_fails_alone(tmp_path: Path) -> None:
    with open_log(tmp_path) as log:
        bad = log.append([label_of(version="three")])
        done(log, label_of(1))
        with pytest.raises(ValueError, match="events that cannot be written"):
            bad.result(WAIT_S)
    assert ids_of(read_all(tmp_path)) == ["label-1"]


def test_texts_are_redacted_before_they_are_written(tmp_path: Path) -> None:
    with open_log(tmp_path, redact=lambda text: text.replace("secret", "[x]")) as log:
        log.predictions(block_of(count=2, texts=["a secret", "none"]))
    assert [row["text"] for row in rows_of(read_all(tmp_path))] == ["a [x]", "none"]


def test_a_label_does_not_wait_until_many_texts_are_redacted(tmp_path: Path) -> None:
    begun, go_on = threading.Event(), threading.Event()
    labelled: list[Future[None]] = []
    kept_before_the_last: list[bool] = []

    def slow(text: str) -> str:
        if text == "first":
            begun.set()
            assert go_on.wait(WAIT_S)
        elif text == "last":
            kept_before_the_last.append(labelled[0].done())
        return text

    with open_log(tmp_path, redact=slow) as log:
        log.predictions(block_of(first=0, count=512, texts=["first"] + ["a"] * 511))
        log.predictions(block_of(first=512, count=512, texts=["a"] * 511 + ["last"]))
        flushing = threading.Thread(target=log.flush, args=(WAIT_S,))
        flushing.start()
        assert begun.wait(WAIT_S)
        labelled.append(log.append([label_of()]))
        go_on.set()
        flushing.join()
        assert kept_before_the_last == [True]
        written = rows_of(read_all(tmp_path))
    assert [row["sequence"] for row in written] == list(range(len(written)))
    assert sorted(row["kind"] for row in written) == ["label"] + ["prediction"] * 1024


def test_a_text_whose_redaction_fails_is_not_written_and_not_repeated(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(text: str) -> str:
        raise ValueError(text)

    caplog.set_level(logging.DEBUG)
    with open_log(tmp_path, redact=broken) as log:
        log.predictions(block_of(texts=["my secret"]))
        assert log.flush(WAIT_S)
    assert [row["text"] for row in rows_of(read_all(tmp_path))] == [None]
    assert "ValueError" in caplog.text
    assert "secret" not in caplog.text
    data = b"".join(path.read_bytes() for path in tmp_path.rglob("*.log"))
    assert b"secret" not in data


# --- segments ----------------------------------------------------------------------------


def test_a_segment_is_sealed_by_size(tmp_path: Path) -> None:
    with open_log(tmp_path, replace(QUIET, segment_bytes=1 << 16)) as log:
        for number in range(30):
            done(log, label_of(number))
        assert names(tmp_path)[0] == "00000001.log"
        assert names(tmp_path)[-1].endswith(".open")
    assert all(name.endswith(".log") for name in names(tmp_path)), "closing seals"
    assert ids_of(read_all(tmp_path)) == [f"label-{number}" for number in range(30)]


def test_a_segment_is_sealed_by_age_on_the_monotonic_clock(tmp_path: Path) -> None:
    time = SetClock()
    limits = replace(QUIET, segment_s=60.0)
    with open_log(tmp_path, limits, clock=time.clock()) as log:
        done(log, label_of(0))
        time.wall_s -= 1e6  # the wall clock jumps back; the age does not
        time.monotonic_s += 61.0
        assert log.flush(WAIT_S)
        assert names(tmp_path) == ["00000001.log"]
        done(log, label_of(1))
        time.wall_s += 1e7
        assert log.flush(WAIT_S)
        assert names(tmp_path) == ["00000001.log", "00000002.open"]


def test_sequence_and_order_go_on_when_the_clock_jumps_back(tmp_path: Path) -> None:
    time = SetClock()
    with open_log(tmp_path, clock=time.clock()) as log:
        for number in range(5):
            done(log, label_of(number, time_s=time.wall_s))
            time.wall_s -= 3600.0
    rows = rows_of(read_all(tmp_path))
    assert [row["sequence"] for row in rows] == [0, 1, 2, 3, 4]
    assert [row["prediction_id"] for row in rows] == [f"label-{number}" for number in range(5)]
    assert rows[4]["time"] < rows[0]["time"], "the time is the clock's"


def test_what_comes_after_closing_is_refused_or_dropped(tmp_path: Path) -> None:
    metrics = CountedLogMetrics()
    with open_log(tmp_path, metrics=metrics) as log:
        log.predictions(block_of())
    log.predictions(block_of())
    assert metrics.written == {"prediction": 1}
    assert metrics.dropped == {"memory": 1}
    assert not log.flush(WAIT_S)
    with pytest.raises(LogUnwritable, match="closed"):
        done(log, label_of())


def test_a_folder_that_cannot_be_made_is_said_at_once(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(LogUnwritable, match="folder cannot be made"):
        EventLog.open(tmp_path / "file" / "events", QUIET, redact=str, metrics=CountedLogMetrics())


# --- a disk that does not take it --------------------------------------------------------


def test_a_full_disk_refuses_labels_drops_predictions_and_recovers_by_itself(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    metrics, disk = CountedLogMetrics(), FailingDisk()
    with open_log(tmp_path, metrics=metrics, disk=disk) as log:
        done(log, label_of(0))
        log.predictions(block_of(first=0))
        assert log.flush(WAIT_S)
        disk.room = 100  # the next frame is torn
        with pytest.raises(LogUnwritable, match="No space left on device"):
            done(log, label_of(1))
        assert metrics.states == [False, True]
        log.predictions(block_of(first=1, count=3))
        assert not log.flush(WAIT_S)
        assert metrics.dropped == {"disk": 3}
        disk.room = None
        done(log, label_of(2))
        assert metrics.states == [False, True, False]
        log.predictions(block_of(first=9))
        assert log.flush(WAIT_S)
        rows = rows_of(read_all(tmp_path))
    assert [row["prediction_id"] for row in rows] == ["label-0", "acme-0", "label-2", "acme-9"]
    assert [row["sequence"] for row in rows] == [0, 1, 2, 3]
    assert caplog.text.count("cannot be written") == 1, "said once"


def test_a_disk_that_is_full_from_the_start_is_no_reason_not_to_start(tmp_path: Path) -> None:
    disk = FailingDisk()
    disk.room = 0
    with open_log(tmp_path, disk=disk) as log:
        for _ in range(3):
            with pytest.raises(LogUnwritable):
                done(log, label_of(0))
        disk.room = None
        done(log, label_of(1))
    assert ids_of(read_all(tmp_path)) == ["label-1"]
    assert len(names(tmp_path)) == 1, "what could not be begun left nothing"
    assert len(list(tmp_path.iterdir())) == 2, "one writer's folder, and the janitor's lock"


def test_short_writes_are_continued(tmp_path: Path) -> None:
    disk = FailingDisk()
    disk.piece = 999
    with open_log(tmp_path, disk=disk) as log:
        log.predictions(block_of(count=50))
        assert log.flush(WAIT_S)
        assert disk.calls["write"] > 5
    assert len(ids_of(read_all(tmp_path))) == 50


@pytest.mark.parametrize("also", [set(), {"truncate"}, {"rename"}], ids=str)
def test_after_a_failed_sync_a_new_segment_begins(tmp_path: Path, also: set[str]) -> None:
    disk = FailingDisk()
    with open_log(tmp_path, disk=disk) as log:
        done(log, label_of(0))
        disk.failing = {"sync", *also}
        with pytest.raises(LogUnwritable):
            done(log, label_of(1))
        disk.failing = set()
        done(log, label_of(2))
        found = rows_of(read_all(tmp_path))
        assert len(names(tmp_path)) == 2
    # What was refused may be there where it could not be cut off; nobody was promised either.
    expected = ["label-0", "label-1", "label-2"] if also == {"truncate"} else ["label-0", "label-2"]
    assert [row["prediction_id"] for row in found] == expected
    numbers = [row["sequence"] for row in found]
    assert numbers == sorted(set(numbers)), "no number stands for two events"


def test_a_tear_that_cannot_be_cut_off_is_never_followed_by_good_frames(tmp_path: Path) -> None:
    disk = FailingDisk()
    with open_log(tmp_path, disk=disk) as log:
        done(log, label_of(0))
        disk.room, disk.failing = 100, {"truncate"}
        with pytest.raises(LogUnwritable):
            done(log, label_of(1))
        disk.room, disk.failing = None, set()
        done(log, label_of(2))
        assert ids_of(read_all(tmp_path)) == ["label-0", "label-2"]
        assert len(names(tmp_path)) == 2


def test_a_large_append_that_finds_no_room_does_not_take_small_ones_along(tmp_path: Path) -> None:
    disk = FailingDisk()
    metrics = CountedLogMetrics()
    metrics.gate.clear()
    with open_log(tmp_path, metrics=metrics, disk=disk) as log:
        first = log.append([label_of(0)])
        while not first.running():
            pass
        large, small = log.append([reference_of(4000)]), log.append([label_of(1)])

        def full_for_large(handle: int, data: object, offset: int) -> int:
            if offset > 100_000:
                raise OSError(28, "No space left on device")
            return FailingDisk.write(disk, handle, data, offset)

        disk.write = full_for_large  # type: ignore[method-assign]
        metrics.gate.set()
        small.result(WAIT_S)
        assert isinstance(large.exception(WAIT_S), LogUnwritable)
    assert ids_of(read_all(tmp_path)) == ["label-0", "label-1"]


Told = tuple[list[object], float, float, int, bool]


def test_a_write_is_told_to_the_traced_requests_that_have_rows_in_it(tmp_path: Path) -> None:
    told: list[Told] = []
    with open_log(
        tmp_path, on_traced=lambda traces, *rest: told.append((list(traces), *rest))
    ) as log:
        for number, trace in enumerate((None, "one", "two", "one")):
            log.predictions(replace(block_of(first=number), trace=trace))
        log.predictions(block_of(count=3, first=10))
        assert log.flush(WAIT_S)
        assert log.flush(WAIT_S)
        log.predictions(block_of(first=20))
        assert log.flush(WAIT_S)
    [(traces, began_s, ended_s, rows, taken)] = told
    assert (traces, rows, taken) == (["one", "two"], 7, True)
    assert began_s <= ended_s


def test_a_write_that_the_disk_refuses_is_told_as_such(tmp_path: Path) -> None:
    told: list[Told] = []
    disk = FailingDisk()
    with open_log(
        tmp_path, disk=disk, on_traced=lambda traces, *rest: told.append((list(traces), *rest))
    ) as log:
        disk.failing.add("write")
        log.predictions(replace(block_of(), trace="one"))
        assert not log.flush(WAIT_S)
    assert [(traces, taken) for traces, _, _, _, taken in told] == [(["one"], False)]
