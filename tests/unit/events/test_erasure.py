import os
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from service.events.disk import Disk
from service.events.erasure import Erased, erase, erasures
from service.events.folder import ERASURES, JANITOR_LOCK, SEAL, segments, writers
from service.events.log import EventLog
from service.events.order import Writership
from service.events.reader import LogReader
from tests.fakes.events import (
    QUIET,
    CountedLogMetrics,
    FailingDisk,
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
QUICK = replace(QUIET, flush_s=0.01)  # beats as often, so that it sees what it is asked


def mixed(log: EventLog) -> None:
    """Write three frames: one of both tenants, one of acme alone, one of globex alone."""
    log.append([label_of(0), label_of(1, "globex"), rollout_of(), quarantine_of()]).result(WAIT_S)
    log.append([reference_of(3)]).result(WAIT_S)
    log.append([label_of(2, "globex")]).result(WAIT_S)


def tenants(folder: Path) -> list[str]:
    return [str(row["tenant"]) for row in rows_of(read_all(folder))]


def test_a_tenants_events_of_every_kind_go_and_the_others_stay(tmp_path: Path) -> None:
    with open_log(tmp_path) as log:
        mixed(log)
    assert erase(tmp_path, "acme") == Erased(6, 1, 0, ())
    assert ids_of(read_all(tmp_path)) == ["label-1", "label-2"]
    [file] = segments(tmp_path, writers(tmp_path)[0])
    assert b"acme" not in file.path.read_bytes()


def test_sequence_numbers_and_frames_stay_where_they_were(tmp_path: Path) -> None:
    with open_log(tmp_path) as log:
        mixed(log)
    before = read_all(tmp_path)
    erase(tmp_path, "acme")
    after = read_all(tmp_path)
    places = [(b.segment, b.frame, b.first, b.events, b.written_s) for b in before]
    assert [(b.segment, b.frame, b.first, b.events, b.written_s) for b in after] == places
    assert [row["sequence"] for row in rows_of(after)] == [1, 7]
    assert [batch.records.num_rows for batch in after] == [1, 0, 1]


def test_a_segment_without_the_tenant_is_left_alone(tmp_path: Path) -> None:
    with open_log(tmp_path) as log:
        mixed(log)
    [file] = segments(tmp_path, writers(tmp_path)[0])
    before = file.path.stat()
    assert erase(tmp_path, "initech") == Erased(0, 0, 0, ())
    assert file.path.stat() == before


def test_a_segments_age_stays(tmp_path: Path) -> None:
    with open_log(tmp_path) as log:
        mixed(log)
    [file] = segments(tmp_path, writers(tmp_path)[0])
    os.utime(file.path, (1000, 2000))
    erase(tmp_path, "acme")
    assert file.path.stat().st_mtime == 2000


def test_erasing_twice_finds_nothing_more(tmp_path: Path) -> None:
    with open_log(tmp_path) as log:
        mixed(log)
    erase(tmp_path, "acme")
    assert erase(tmp_path, "acme").events == 0
    assert erase(tmp_path, "globex").events == 2
    assert rows_of(read_all(tmp_path)) == []
    with LogReader(tmp_path, "sidecar") as reader:
        list(reader.batches())
        assert reader.missing == 0, "erased is not missing"


def test_a_log_that_is_not_there_is_erased_already(tmp_path: Path) -> None:
    assert erase(tmp_path / "events", "acme") == Erased(0, 0, 0, ())


@pytest.mark.parametrize("read", range(4))
def test_a_reader_goes_on_where_it_was(tmp_path: Path, read: int) -> None:
    with open_log(tmp_path) as log:
        mixed(log)
    with LogReader(tmp_path, "open") as opened, LogReader(tmp_path, "closed") as closed:
        for reader in (opened, closed):
            batches = reader.batches()
            for _ in range(read):
                next(batches)
        closed.commit()
        erase(tmp_path, "acme")
        expected = ["label-1", "label-2"][min(read, 1) : 2 if read < 3 else 1]
        with LogReader(tmp_path, "closed") as again:
            for reader in (opened, again):
                assert ids_of(list(reader.batches())) == expected
                assert (reader.missing, reader.damaged) == (0, 0)
                assert reader.backlog().lag_s == 0.0


def test_a_living_writer_writes_what_waits_and_seals_first(tmp_path: Path) -> None:
    with open_log(tmp_path, QUICK) as log:
        mixed(log)
        log.predictions(block_of("acme", 5))
        log.predictions(block_of("globex", 5, first=50))
        assert log.erase("acme").unsealed == ()
        log.append([label_of(9, "globex")]).result(WAIT_S)
        assert set(tenants(tmp_path)) == {"globex"}
        assert len(tenants(tmp_path)) == 2 + 5 + 1
        assert not (tmp_path / writers(tmp_path)[0] / SEAL).exists()


def test_several_writers_go_on_while_it_erases(tmp_path: Path) -> None:
    stop = threading.Event()

    def write(log: EventLog) -> None:
        number = 0
        while not stop.is_set():
            log.append([label_of(number, "globex")]).result(WAIT_S)
            log.predictions(block_of("globex", 3, first=number))
            number += 1

    metrics = CountedLogMetrics()
    with (
        open_log(tmp_path, QUICK, metrics=metrics) as one,
        open_log(tmp_path, QUICK, metrics=metrics) as two,
    ):
        mixed(one)
        mixed(two)
        threads = [threading.Thread(target=write, args=(log,)) for log in (one, two)]
        for thread in threads:
            thread.start()
        erased = erase(tmp_path, "acme")
        stop.set()
        for thread in threads:
            thread.join()
    assert erased.events == 12
    assert erased.unsealed == ()
    assert set(tenants(tmp_path)) == {"globex"}
    written = sum(metrics.written.values())
    assert len(tenants(tmp_path)) == written - 12
    assert metrics.dropped == {}


def test_a_writer_that_does_not_answer_is_named(tmp_path: Path) -> None:
    with open_log(tmp_path) as log:
        mixed(log)
    silent = Writership.begin(tmp_path, 0.0)
    erased = erase(tmp_path, "acme", wait_s=0.05)
    assert erased.unsealed == (silent.name,)
    assert erased.events == 6, "what is sealed is erased all the same"
    silent.end()
    assert erase(tmp_path, "acme", wait_s=0.05).unsealed == ()


def test_the_open_segments_of_the_dead_are_erased_too(tmp_path: Path) -> None:
    with open_log(tmp_path) as log:
        mixed(log)
    [file] = segments(tmp_path, writers(tmp_path)[0])
    file.path.rename(file.path.with_suffix(".open"))
    assert erase(tmp_path, "acme").events == 6
    assert tenants(tmp_path) == ["globex", "globex"]


def test_damage_goes_with_it_for_it_may_hold_the_tenants_events(tmp_path: Path) -> None:
    with open_log(tmp_path) as log:
        mixed(log)
    [file] = segments(tmp_path, writers(tmp_path)[0])
    data = bytearray(file.path.read_bytes())
    data[-100] ^= 1
    file.path.write_bytes(data)
    assert erase(tmp_path, "initech") == Erased(0, 1, 1, ())
    assert erase(tmp_path, "initech") == Erased(0, 0, 0, ())
    assert ids_of(read_all(tmp_path))[:2] == ["label-0", "label-1"]
    assert file.path.stat().st_size < len(data) - 500


@pytest.mark.parametrize("call", ["create", "write", "sync", "rename"])
def test_a_disk_that_fails_leaves_the_segment_as_it_was(tmp_path: Path, call: str) -> None:
    with open_log(tmp_path) as log:
        mixed(log)
    [file] = segments(tmp_path, writers(tmp_path)[0])
    before = file.path.read_bytes()
    disk = FailingDisk()
    disk.failing = {call}
    as_disk: Disk = disk
    with pytest.raises(OSError, match="No space left"):
        erase(tmp_path, "acme", disk=as_disk)
    assert file.path.read_bytes() == before
    assert list(file.path.parent.glob(".*")) == []


def test_readers_learn_of_each_erasure(tmp_path: Path) -> None:
    assert erasures(tmp_path) == {}
    with open_log(tmp_path) as log:
        mixed(log)
    erase(tmp_path, "acme")
    first = erasures(tmp_path)
    assert list(first) == ["acme"]
    erase(tmp_path, "globex")
    erase(tmp_path, "acme")
    assert sorted(erasures(tmp_path)) == ["acme", "globex"]
    assert erasures(tmp_path)["acme"] != first["acme"], "each is another one"
    with open_log(tmp_path) as log:
        mixed(log)
    assert len(read_all(tmp_path)) == 6, "records are no part of the log"


@pytest.mark.parametrize("call", ["create", "write", "sync", "rename"])
def test_no_erasure_is_told_of_before_it_is_done(tmp_path: Path, call: str) -> None:
    with open_log(tmp_path) as log:
        mixed(log)
    disk = FailingDisk()
    disk.failing = {call}
    with pytest.raises(OSError, match="No space left"):
        erase(tmp_path, "acme", disk=disk)
    assert erasures(tmp_path) == {}
    with pytest.raises(OSError, match="No space left"):
        erase(tmp_path, "initech", disk=disk)  # of which there is nothing to rewrite
    assert erasures(tmp_path) == {}
    erase(tmp_path, "acme")
    assert list(erasures(tmp_path)) == ["acme"]
    assert len(list((tmp_path / ERASURES).iterdir())) == 1, "drafts do not stay"


def test_a_damaged_record_is_told_of(tmp_path: Path) -> None:
    with open_log(tmp_path) as log:
        mixed(log)
    erase(tmp_path, "acme")
    [record] = (tmp_path / ERASURES).iterdir()
    for data in (b"", b"[]", b'{"tenant": "acme"}'):
        record.write_bytes(data)
        with pytest.raises(ValueError, match="no record of an erasure"):
            erasures(tmp_path)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_what_root_rewrites_stays_the_services_own(tmp_path: Path) -> None:
    with open_log(tmp_path) as log:
        mixed(log)
    (tmp_path / JANITOR_LOCK).unlink(missing_ok=True)
    [file] = segments(tmp_path, writers(tmp_path)[0])
    os.chown(tmp_path, 1234, 1235)
    os.chown(file.path, 1234, 1235)
    erase(tmp_path, "acme")
    [record] = (tmp_path / ERASURES).iterdir()
    folder = (tmp_path / ERASURES).stat()
    assert (folder.st_uid, folder.st_gid) == (1234, 1235)
    for path in (file.path, record, tmp_path / JANITOR_LOCK):
        assert (path.stat().st_uid, path.stat().st_gid) == (1234, 1235)
        assert path.stat().st_mode & 0o777 == 0o600
