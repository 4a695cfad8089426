"""Did everyone move, or one tenant? And what is left of a tenant that is erased meanwhile."""

from collections.abc import Collection
from contextlib import closing
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from monitoring.errors import UnknownWatched
from monitoring.report import FleetState
from monitoring.settings import MonitorSettings
from monitoring.sidecar import Sidecar
from monitoring.web.metrics import Metrics
from service.events.erasure import erase
from tests.fakes.following import contents_of
from tests.fakes.logs import DAY_S, written_log
from tests.fakes.patience import until
from tests.fakes.traffic import Tenant

NAMES = tuple(f"tenant-{number}" for number in range(8))
ROWS = 30
STEP_S = 1800
STEPS = 22
CHANGE = 6


def write_fleet(events: Path, moved: Collection[str], back: int = STEPS) -> None:
    """Write a log in which some tenants move at a step, and are as they were from another on."""
    tenants = [Tenant(name, seed=number) for number, name in enumerate(NAMES)]
    with written_log(events) as log:
        for tenant in tenants:
            tenant.publish(log, time_s=DAY_S, rows=200)
        for step in range(STEPS):
            for tenant in tenants:
                is_there = tenant.name in moved and CHANGE <= step < back
                foreign = 0.7 if is_there else 0.0
                sent = tenant.send(log, ROWS, time_s=time_of(step), foreign=foreign)
                if step in (2, 10):
                    sent.label(log, time_s=time_of(step) + 60)
            log.flush()


def time_of(step: int) -> float:
    return DAY_S + step * STEP_S + 5.0


def settings_of(state: Path) -> MonitorSettings:
    return MonitorSettings(state=state, bucket_s=STEP_S, poll_s=0.05, checkpoint_s=0.2)


def fleet_of(folder: Path, moved: Collection[str], back: int = STEPS) -> tuple[FleetState, int]:
    """Return how the fleet stands at the end, and how many fleet alarms there were."""
    write_fleet(folder / "events", moved, back)
    with closing(Sidecar(settings_of(folder))) as sidecar:
        sidecar.follower.catch_up()
        found = sidecar.reports.fleet().fleet
        assert found is not None
        return found, sidecar.measurements.measured().fleet_alarms


def test_when_everyone_moves_the_fleet_is_in_alarm_once(tmp_path: Path) -> None:
    fleet, alarms = fleet_of(tmp_path, NAMES)
    assert fleet.alarm
    assert alarms == 1
    assert (fleet.moved, fleet.watched) == (8, 8)
    assert "everyone moved (8 of 8 adapters in alarm)" in fleet.reading
    assert "; since 2025-03-31 " in fleet.reading


def test_when_one_moves_the_fleet_is_not_in_alarm(tmp_path: Path) -> None:
    fleet, alarms = fleet_of(tmp_path, NAMES[:1])
    assert not fleet.alarm
    assert alarms == 0
    assert fleet.moved == 1
    assert fleet.reading == "1 of 8 adapters moved, the others did not"


def test_the_alarm_of_the_fleet_ends_when_everyone_is_back(tmp_path: Path) -> None:
    fleet, alarms = fleet_of(tmp_path, NAMES, CHANGE + 10)
    assert alarms == 1
    assert not fleet.alarm
    assert "everyone" not in fleet.reading


def test_an_erased_tenant_is_gone_from_a_running_sidecar(tmp_path: Path) -> None:
    gone, stays = NAMES[0], NAMES[1]
    write_fleet(tmp_path / "events", NAMES[:1])
    with closing(Sidecar(settings_of(tmp_path))) as sidecar:
        sidecar.start()
        until(lambda: sidecar.log_state().backlog_bytes == 0)
        assert sidecar.reports.adapter(gone, "support").triggers
        before = sidecar.reports.adapter(stays, "support").versions[0]
        assert erase(tmp_path / "events", gone).events > 0
        until(lambda: not sidecar.reports.fleet(gone).adapters)
        with pytest.raises(UnknownWatched):
            sidecar.reports.adapter(gone, "support")
        after = sidecar.reports.adapter(stays, "support").versions[0]
        assert after.predictions == before.predictions
        assert after.calibration == before.calibration
        registry = CollectorRegistry()
        Metrics(registry, sidecar.measurements)
        text = generate_latest(registry).decode()
        assert stays in text
        assert gone not in text
        assert sidecar.problems() == ()
    contents = contents_of(tmp_path / "monitor")
    assert len(contents["labels"]) == 2 * ROWS * (len(NAMES) - 1)
    for table, rows in contents.items():
        told = [row for row in rows if gone in repr(row)]
        assert [row[0] for row in told] in ([], ["log/erased"]), f"{table} remembers"
    assert any(stays in repr(row) for row in contents["watched"])
