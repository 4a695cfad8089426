import msgspec
import pytest

from monitoring.triggers import outbox
from monitoring.triggers.event import RetrainRequested
from monitoring.triggers.outbox import forget, prune, reports, store
from monitoring.triggers.trigger import key_of
from tests.fakes.triggers import HOUR_US, NOW_US, POLICY, FakeDatabase, raised

DAY_US = POLICY.cooldown_us


@pytest.fixture
def database() -> FakeDatabase:
    return FakeDatabase()


def test_a_trigger_is_stored_once_however_often_it_is_raised(database: FakeDatabase) -> None:
    assert database.store(raised())
    assert not database.store(raised())
    with database.read() as connection:
        [report] = reports(connection)
    assert report.id == key_of(raised(), DAY_US)
    assert (report.delivered, report.attempts, report.raised_s) == ("waiting", 0, NOW_US / 1e6)
    assert report.detail == raised().summary


def test_what_is_not_committed_was_never_raised(database: FakeDatabase) -> None:
    with database.engine.connect() as connection:
        assert store(connection, raised(), DAY_US, "waiting")
        connection.rollback()
    with database.read() as connection:
        assert reports(connection) == ()
    assert database.store(raised())


def test_what_is_stored_is_the_event_as_it_is_sent(database: FakeDatabase) -> None:
    database.store(raised(), "dry-run")
    with database.read() as connection:
        body = connection.exec_driver_sql("SELECT body FROM retrain_triggers").scalar_one()
    event = msgspec.json.decode(body, type=RetrainRequested)
    assert event.data == raised()
    assert event.id == key_of(raised(), DAY_US)
    assert (event.specversion, event.subject) == ("1.0", "acme.router")
    assert event.time == "2025-03-31T10:00:00Z"


def test_reports_are_of_whom_they_are_asked_for_latest_first(database: FakeDatabase) -> None:
    for number in range(4):
        database.store(raised("acme", NOW_US + number * DAY_US))
        database.store(raised("globex", NOW_US + number * DAY_US + HOUR_US))
    with database.read() as connection:
        assert len(reports(connection)) == 8
        mine = reports(connection, tenant="acme", adapter="router", limit=3)
        assert reports(connection, tenant="acme", adapter="other") == ()
    assert [report.tenant for report in mine] == ["acme"] * 3
    assert [report.raised_s for report in mine] == [
        (NOW_US + number * DAY_US) / 1e6 for number in (3, 2, 1)
    ]


def test_pruning_keeps_what_waits_and_the_latest_of_the_rest(database: FakeDatabase) -> None:
    database.store(raised("waits", NOW_US - 9 * DAY_US))
    for number in range(6):
        database.store(raised(f"tenant-{number}", NOW_US + number * DAY_US), "no-receiver")
    with database.write() as connection:
        prune(connection, kept=2)
        assert [report.tenant for report in reports(connection)] == [
            "tenant-5",
            "tenant-4",
            "waits",
        ]


def test_what_is_settled_is_bounded(
    database: FakeDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "KEPT", 3)
    for number in range(9):
        database.store(raised(f"tenant-{number}", NOW_US + number * DAY_US), "no-receiver")
    with database.read() as connection:
        found = reports(connection)
    assert [report.tenant for report in found] == ["tenant-8", "tenant-7", "tenant-6"]


def test_a_tenant_can_be_forgotten(database: FakeDatabase) -> None:
    database.store(raised("acme"))
    database.store(raised("globex"))
    with database.write() as connection:
        forget(connection, "acme")
        assert [report.tenant for report in reports(connection)] == ["globex"]
