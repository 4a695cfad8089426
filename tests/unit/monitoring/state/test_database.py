import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import Column, Integer, MetaData, Table, insert, select, text
from sqlalchemy.exc import IntegrityError

from monitoring.errors import ForeignState, StateInUse
from monitoring.state.database import FILE, Database, StateUnwritable
from monitoring.state.kinds import Kind
from monitoring.state.limits import Limits
from monitoring.state.lock import FolderLock
from monitoring.state.recent import no_rows
from monitoring.state.state import MonitorState
from monitoring.state.tables import NOTES
from monitoring.state.view import View
from monitoring.watched import Watched
from service.events.cursor import Cursor
from tests.fakes.judging import FakeJudge


def database(folder: Path) -> Database:
    made = Database(folder)
    made.prepare()
    return made


def test_a_transaction_that_fails_leaves_nothing(tmp_path: Path) -> None:
    made = database(tmp_path)
    row = {"name": "a", "data": b"1"}
    with pytest.raises(IntegrityError), made.write() as connection:
        connection.execute(insert(NOTES), [row, row])
    with made.read() as connection:
        assert connection.execute(select(NOTES)).all() == []
    made.close()


def test_every_commit_is_on_the_disk(tmp_path: Path) -> None:
    made = database(tmp_path)
    with made.read() as connection:
        assert connection.execute(text("PRAGMA journal_mode")).scalar() == "wal"
        assert connection.execute(text("PRAGMA synchronous")).scalar() == 2
        assert connection.execute(text("PRAGMA secure_delete")).scalar() == 1
    made.close()


def test_a_later_schema_is_refused_and_left_alone(tmp_path: Path) -> None:
    database(tmp_path).close()
    with closing(sqlite3.connect(tmp_path / FILE)) as connection, connection:
        connection.execute("UPDATE about SET value = '2'")
    later = Database(tmp_path)
    for ask in (later.prepare, later.check):
        with pytest.raises(ForeignState, match="has schema 2"):
            ask()
    later.close()


@pytest.mark.parametrize("ask", ["prepare", "check"])
def test_another_database_is_refused(tmp_path: Path, ask: str) -> None:
    with closing(sqlite3.connect(tmp_path / FILE)) as connection, connection:
        connection.execute("CREATE TABLE recipes (name TEXT)")
    foreign = Database(tmp_path)
    with pytest.raises(ForeignState, match="no state of the sidecar"):
        getattr(foreign, ask)()
    foreign.close()


def test_what_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(b"not a database at all" * 400)
    foreign = Database(tmp_path)
    with pytest.raises(ForeignState):
        foreign.prepare()
    foreign.close()


def test_looking_at_what_is_not_there_makes_nothing(tmp_path: Path) -> None:
    with pytest.raises(ForeignState, match="no sidecar has begun"):
        MonitorState.look(tmp_path, Limits(), FakeJudge())
    assert list(tmp_path.iterdir()) == []


def test_tables_of_other_parts_are_made_too_also_later(tmp_path: Path) -> None:
    database(tmp_path).close()
    others = MetaData()
    table = Table("others", others, Column("id", Integer, primary_key=True))
    again = Database(tmp_path)
    again.prepare(others)
    with again.write() as connection:
        connection.execute(insert(table).values(id=1))
    again.close()


def test_a_database_that_is_held_says_so(tmp_path: Path) -> None:
    made = Database(tmp_path, busy_s=0.01)
    made.prepare()
    with closing(sqlite3.connect(tmp_path / FILE)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StateUnwritable, match="another process holds it"), made.write():
            pass
    made.close()


def test_a_folder_is_held_by_one(tmp_path: Path) -> None:
    first = FolderLock(tmp_path / "monitor")
    with pytest.raises(StateInUse, match="another sidecar"):
        FolderLock(tmp_path / "monitor")
    first.release()
    FolderLock(tmp_path / "monitor").release()


def test_a_state_is_written_by_one_and_read_by_any(tmp_path: Path) -> None:
    state = MonitorState.open(tmp_path, Limits(), FakeJudge())
    with pytest.raises(StateInUse):
        MonitorState.open(tmp_path, Limits(), FakeJudge())
    looking = MonitorState.look(tmp_path, Limits(), FakeJudge())
    looking.close()
    state.close()
    MonitorState.open(tmp_path, Limits(), FakeJudge()).close()


def test_a_state_that_cannot_be_opened_is_not_held(tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(b"not a database at all" * 400)
    with pytest.raises(ForeignState):
        MonitorState.open(tmp_path, Limits(), FakeJudge())
    (tmp_path / FILE).unlink()
    MonitorState.open(tmp_path, Limits(), FakeJudge()).close()


def test_whoever_looks_sees_one_moment_whatever_is_written_meanwhile(tmp_path: Path) -> None:
    writing, watched = (
        MonitorState.open(tmp_path, Limits(), FakeJudge()),
        Watched("a", "b", 1, "live"),
    )
    owner, _ = writing.versions.enter(watched, "sha256:1", "")
    writing.objects.put(owner.id, Kind.MEMO, b"before")
    writing.checkpoint(Cursor())
    looking = MonitorState.look(tmp_path, Limits(), FakeJudge())
    writing.objects.put(owner.id, Kind.MEMO, b"after")
    writing.objects.put(owner.id, Kind.RECENT, no_rows(2, 4))
    writing.checkpoint(Cursor())
    assert View(looking).memo(watched) == b"before"
    assert View(looking).recent(watched) is None
    looking.close()
    again = MonitorState.look(tmp_path, Limits(), FakeJudge())
    assert View(again).memo(watched) == b"after"
    again.close()
    writing.close()


def test_errors_do_not_repeat_what_was_to_be_written(tmp_path: Path) -> None:
    made = database(tmp_path)
    row = {"name": "a", "data": b"a text of somebody"}
    with pytest.raises(IntegrityError) as caught, made.write() as connection:
        connection.execute(insert(NOTES), [row, row])
    assert "somebody" not in str(caught.value)
    made.close()
