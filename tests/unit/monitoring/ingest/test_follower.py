import shutil
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Event

import pytest
from sqlalchemy import Connection

from monitoring.ingest.fold import Fold
from monitoring.ingest.follower import READER, Follower, Pace
from monitoring.state.database import FILE, Database
from monitoring.state.limits import Limits
from monitoring.state.state import MonitorState
from monitoring.state.view import Desk, View
from monitoring.watched import Watched
from service.events.cursor import load_cursor
from service.events.erasure import erase
from service.events.reader import LogBatch
from tests.fakes.busy_log import write_busy_log
from tests.fakes.events import SetClock
from tests.fakes.following import LIMITS, contents_of, follow, keeps
from tests.fakes.judging import FakeJudge
from tests.fakes.logs import DAY_S, Version, embeddings_of, probabilities_of, written_log

ACME = Watched("acme", "support", 1, "live")
PACE = Pace(poll_s=0.01, checkpoint_s=1e9)
DEFAULTS = Limits()
WAIT_S = 20.0


@dataclass
class Rig:
    """A follower of a log that nobody writes yet."""

    events: Path
    folder: Path
    state: MonitorState
    judge: FakeJudge
    follower: Follower
    view: View


def rig_of(folder: Path, pace: Pace = PACE, limits: Limits = DEFAULTS) -> Rig:
    judge = FakeJudge()
    state = MonitorState.open(folder / "monitor", limits, judge)
    follower = Follower(folder / "events", state, Fold(state, judge, keeps), pace)
    return Rig(folder / "events", folder / "monitor", state, judge, follower, View(state))


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    made = rig_of(tmp_path)
    yield made
    made.follower.stop()
    made.state.close()


def write(events: Path, *tenants: str, rows: int = 5, time_s: float = DAY_S) -> None:
    with written_log(events) as log:
        for tenant in tenants:
            version = Version(tenant=tenant)
            log.reference(embeddings_of(50), probabilities_of(50), time_s=time_s, version=version)
            text = [f"text of {tenant} {row}" for row in range(rows)]
            ids = log.predictions(
                embeddings_of(rows),
                probabilities_of(rows),
                time_s=time_s,
                version=version,
                texts=text,
            )
            log.label(ids[0], 1, time_s=time_s + 1)


def until(told: Callable[[], bool]) -> None:
    end = time.monotonic() + WAIT_S
    while not told():
        assert time.monotonic() < end
        time.sleep(0.005)


def test_a_log_that_is_not_there_has_nothing_to_say(rig: Rig) -> None:
    rig.follower.catch_up()
    assert rig.follower.problems == ()
    state = rig.follower.log_state()
    assert (state.events, state.freshest_s, state.backlog_bytes) == (0, None, 0)


def test_catching_up_reads_all_and_tells_how_far_it_is(rig: Rig) -> None:
    write_busy_log(rig.events, rounds=12)
    backlog = rig.follower.log_state().backlog_bytes
    told: list[tuple[int, int]] = []
    rig.follower.catch_up(lambda done, total: told.append((done, total)))
    assert told[0] == (0, backlog)
    assert told[-1] == (backlog, backlog)
    assert [done for done, _ in told] == sorted(done for done, _ in told)
    state = rig.follower.log_state()
    assert (state.backlog_bytes, state.backlog_segments, state.lag_s) == (0, 0, 0.0)
    assert (state.damaged, state.missing, state.late) == (0, 0, 0)
    assert state.freshest_s is not None
    assert load_cursor(rig.events, READER) == rig.state.cursor


def test_the_thread_follows_what_is_written_and_stops_with_a_checkpoint(tmp_path: Path) -> None:
    rig = rig_of(tmp_path)
    rig.follower.start()
    write(rig.events, "acme")
    until(lambda: rig.view.watched() == [ACME] and rig.view.totals(ACME).labels == 1)
    alive = [rig.follower.is_alive]
    rig.follower.stop()
    assert [*alive, rig.follower.is_alive] == [True, False]
    rig.state.close()
    again = rig_of(tmp_path)
    assert again.view.totals(ACME).predictions == 5
    again.follower.catch_up()
    assert again.view.totals(ACME).predictions == 5, "nothing twice"
    again.follower.stop()
    again.state.close()


def test_readers_see_whole_frames_while_it_folds(tmp_path: Path) -> None:
    rig = rig_of(tmp_path)
    write_busy_log(rig.events, rounds=25)
    rig.follower.start()
    seen = 0
    while rig.follower.log_state().backlog_bytes:
        for watched in rig.view.watched():
            with rig.view.standing_still():
                totals = rig.view.totals(watched)
                total = rig.view.predictions_between(watched, 0, 1 << 62)
                assert total + totals.too_late == totals.predictions
                window = rig.view.window_rows(watched, 100)
                assert window is None or window.sketch.predictions <= total
                seen += 1
    assert seen
    rig.follower.stop()
    assert rig.follower.problems == ()
    rig.state.close()


def test_a_full_disk_costs_nothing_but_the_checkpoint(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(rig.events, "acme", "globex")
    with closing(sqlite3.connect(rig.folder / FILE)) as other:
        monkeypatch.setattr(rig.state, "database", Database(rig.folder, busy_s=0.01))
        other.execute("BEGIN IMMEDIATE")
        rig.follower.catch_up()
        [problem] = rig.follower.problems
        assert "another process holds it" in problem
        assert "make room" in problem
        assert rig.view.totals(ACME).predictions == 5, "figures go on in memory"
        other.rollback()
    rig.follower.catch_up()
    assert rig.follower.problems == ()
    follow(rig.events, rig.folder.parent / "other", limits=rig.state.limits)
    assert contents_of(rig.folder) == contents_of(rig.folder.parent / "other")


def test_a_disk_that_stays_full_stops_the_reading_before_memory_is_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig = rig_of(tmp_path, limits=replace(LIMITS, changed_bytes=1 << 17))
    write_busy_log(rig.events, rounds=15)
    with closing(sqlite3.connect(rig.folder / FILE)) as other:
        monkeypatch.setattr(rig.state, "database", Database(rig.folder, busy_s=0.01))
        other.execute("BEGIN IMMEDIATE")
        rig.follower.catch_up()
        assert 0 < rig.state.log.events < 1500
        assert rig.follower.log_state().backlog_bytes > 0
        other.rollback()
    rig.follower.catch_up()
    rig.follower.catch_up()
    assert rig.follower.log_state().backlog_bytes == 0
    follow(rig.events, tmp_path / "other", limits=rig.state.limits)
    rig.follower.stop()
    rig.state.close()
    found, expected = contents_of(rig.folder), contents_of(tmp_path / "other")
    for table in ("watched", "labels", "shadows", "adapters"):
        assert found[table] == expected[table]


def test_a_fold_that_fails_leaves_the_last_checkpoint(tmp_path: Path) -> None:
    rig = rig_of(tmp_path, replace(PACE, checkpoint_frames=1))
    write(rig.events, "acme")
    rig.follower.catch_up()

    class Failing(FakeJudge):
        def closed(self, desk: Desk, watched: Watched, end_us: int) -> None:
            super().closed(desk, watched, end_us)
            raise ZeroDivisionError

    failing = Follower(rig.events, rig.state, Fold(rig.state, Failing()), PACE)
    write(rig.events, "globex", time_s=DAY_S + 7000)
    with pytest.raises(ZeroDivisionError):
        failing.run()
    assert "ZeroDivisionError" in failing.problems[0]
    failing.stop()
    rig.follower.stop()
    again = Follower(rig.events, rig.state, Fold(rig.state, rig.judge, keeps), PACE)
    rig.state.rewind()
    again.catch_up()
    again.stop()
    follow(rig.events, tmp_path / "other", limits=rig.state.limits)
    rig.state.close()
    assert contents_of(rig.folder)["objects"] == contents_of(tmp_path / "other")["objects"]


def test_an_error_of_the_disk_is_tried_again_from_the_last_checkpoint(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(rig.events, "acme", "globex")
    take = Fold.take
    failed: list[LogBatch] = []

    def failing(fold: Fold, batch: LogBatch) -> None:
        take(fold, batch)
        if not failed and batch.frame == 4:
            failed.append(batch)
            raise OSError(5, "Input/output error")

    monkeypatch.setattr(Fold, "take", failing)
    rig.follower.catch_up()
    assert "it is tried again" in rig.follower.problems[0]
    rig.follower.catch_up()
    assert rig.follower.problems == ()
    follow(rig.events, rig.folder.parent / "other", limits=rig.state.limits)
    assert contents_of(rig.folder) == contents_of(rig.folder.parent / "other")


def test_a_look_that_fails_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = SetClock()
    state = MonitorState.open(tmp_path / "monitor", DEFAULTS, FakeJudge())
    fold = Fold(state, FakeJudge(), keeps)
    follower = Follower(tmp_path / "events", state, fold, PACE, clock=clock.clock())
    began_s = clock.wall_s
    assert follower.looked_s == began_s
    write(tmp_path / "events", "acme")
    with monkeypatch.context() as patch:

        def failing(_fold: Fold, _batch: LogBatch) -> None:
            raise OSError(5, "Input/output error")

        patch.setattr(Fold, "take", failing)
        clock.pass_s(60)
        follower.catch_up()
    assert (follower.looked_s, len(follower.problems)) == (began_s, 1)
    follower.catch_up()
    assert (follower.looked_s, len(follower.problems)) == (began_s + 60, 0)
    clock.pass_s(60)
    follower.catch_up()
    assert follower.looked_s == began_s + 120, "nothing new is a look too"
    assert follower.log_state().lag_s == 0
    follower.stop()
    state.close()


def test_what_the_log_was_erased_of_goes_at_once(rig: Rig) -> None:
    write(rig.events, "acme", "globex")
    forgotten: list[str] = []
    rig.state._forget = [lambda _, tenant: forgotten.append(tenant)]
    rig.follower.catch_up()
    assert b"text of acme" in stored(rig.folder)
    erase(rig.events, "acme")
    rig.follower.catch_up()
    assert [watched.tenant for watched in rig.view.watched()] == ["globex"]
    assert forgotten == ["acme"]
    assert b"acme.support" not in stored(rig.folder)
    assert b"text of acme" not in stored(rig.folder)
    assert b"text of globex" in stored(rig.folder)
    for table in ("watched", "references", "adapters"):
        assert all("acme" not in row for row in contents_of(rig.folder)[table])


def test_an_erasure_is_final_though_the_disk_did_not_take_it_at_once(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(rig.events, "acme", "globex")
    rig.follower.catch_up()
    erase(rig.events, "acme")
    with closing(sqlite3.connect(rig.folder / FILE)) as other:
        monkeypatch.setattr(rig.state, "database", Database(rig.folder, busy_s=0.01))
        other.execute("BEGIN IMMEDIATE")
        rig.follower.catch_up()
        assert b"text of acme" in stored(rig.folder)
        other.rollback()
    rig.follower.catch_up()
    assert b"text of acme" not in stored(rig.folder)
    assert b"text of globex" in stored(rig.folder)


def test_an_erasure_is_final_though_a_process_died_in_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig = rig_of(tmp_path)
    monkeypatch.setattr(rig.state, "database", Database(rig.folder, busy_s=0.01))
    write(rig.events, "acme", "globex")
    rig.follower.catch_up()
    erase(rig.events, "acme")
    with rig.state.database.read() as connection:  # so that the write-ahead log stays
        connection.exec_driver_sql("SELECT * FROM about").all()
        rig.follower.catch_up()
    shutil.copytree(rig.folder, tmp_path / "died" / "monitor")
    shutil.copytree(rig.events, tmp_path / "died" / "events")
    rig.follower.stop()
    rig.state.close()
    assert b"text of acme" in stored(tmp_path / "died" / "monitor")
    again = rig_of(tmp_path / "died")
    again.follower.catch_up()
    assert b"text of acme" not in stored(tmp_path / "died" / "monitor")
    again.follower.stop()
    again.state.close()


def test_the_judge_hears_of_an_erasure_when_the_versions_are_gone(rig: Rig) -> None:
    write(rig.events, "acme", "globex")
    rig.follower.catch_up()
    erase(rig.events, "acme")
    rig.follower.catch_up()
    assert [told for told in rig.judge.told if told[0] == "forget"] == [("forget", "acme", 0)]


def test_a_tenant_that_comes_back_after_its_erasure_is_watched(rig: Rig) -> None:
    write(rig.events, "acme")
    rig.follower.catch_up()
    erase(rig.events, "acme")
    write(rig.events, "acme", rows=3, time_s=DAY_S + 60)
    rig.follower.catch_up()
    assert rig.view.totals(ACME).predictions == 3
    rig.follower.catch_up()
    assert rig.view.totals(ACME).predictions == 3
    erase(rig.events, "acme")
    rig.follower.catch_up()
    assert rig.view.watched() == []


def test_an_erasure_while_the_sidecar_was_away_is_followed_first(tmp_path: Path) -> None:
    rig = rig_of(tmp_path)
    write(rig.events, "acme", "globex")
    rig.follower.catch_up()
    rig.follower.stop()
    rig.state.close()
    erase(tmp_path / "events", "acme")
    again = rig_of(tmp_path)
    assert again.view.watched("acme") == [ACME]
    again.follower.catch_up()
    assert again.view.watched("acme") == []
    again.follower.stop()
    again.state.close()


def test_a_damaged_record_of_an_erasure_is_a_problem(rig: Rig) -> None:
    write(rig.events, "acme")
    erase(rig.events, "globex")
    [record] = (rig.events / "erased").iterdir()
    record.write_bytes(b"{")
    rig.follower.catch_up()
    assert "erase again" in rig.follower.problems[0]
    assert rig.view.watched() == [ACME], "figures go on"
    erase(rig.events, "globex")
    rig.follower.catch_up()
    assert rig.follower.problems == ()


def test_what_is_deferred_is_written_with_the_figures_and_soon(tmp_path: Path) -> None:
    rig = rig_of(tmp_path)
    done = Event()
    seen: list[int] = []

    def write_too(connection: Connection) -> None:
        seen.append(int(connection.exec_driver_sql("SELECT count(*) FROM watched").scalar_one()))
        done.set()

    class Deferring(FakeJudge):
        def alarmed(self, desk: Desk, watched: Watched, time_us: int, prediction_id: str) -> None:
            super().alarmed(desk, watched, time_us, prediction_id)
            desk.defer(write_too)

    judge = Deferring()
    follower = Follower(rig.events, rig.state, Fold(rig.state, judge), PACE)
    follower.start()
    with written_log(rig.events) as log:
        rows = (embeddings_of(50, seed=1), probabilities_of(50))
        log.reference(*rows, time_s=DAY_S)
        log.predictions(embeddings_of(90, mean=1.5), probabilities_of(90), time_s=DAY_S)
    assert done.wait(WAIT_S)
    follower.stop()
    assert set(seen) == {1}, "in one transaction with what it follows from"
    assert not rig.state.has_deferred
    rig.follower.stop()
    rig.state.close()


def stored(folder: Path) -> bytes:
    """Return every byte that the state has on the disk."""
    return b"".join(path.read_bytes() for path in folder.iterdir())
