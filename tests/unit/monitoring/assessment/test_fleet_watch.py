from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from monitoring.assessment.fleet_watch import FleetWatch
from monitoring.detectors.budget import WEEK_US
from monitoring.watched import Watched
from tests.fakes.judged import BUCKET_S, POLICY, Judged, judged
from tests.fakes.logs import DAY_S
from tests.fakes.traffic import Tenant

NAMES = tuple(f"tenant-{number}" for number in range(6))
ROWS = 20


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Judged]:
    with judged(tmp_path) as found:
        yield found


def traffic(desk: Judged, buckets: int, first: int = 0) -> None:
    """Have six tenants send some rows in each bucket."""
    tenants = [Tenant(name, seed=number) for number, name in enumerate(NAMES)]
    for tenant in tenants if not first else ():
        tenant.publish(desk.log, time_s=DAY_S, rows=60)
    for bucket in range(first, first + buckets):
        for tenant in tenants:
            tenant.send(desk.log, ROWS, time_s=DAY_S + bucket * BUCKET_S + 5)
        desk.take()


def fleet(desk: Judged) -> FleetWatch:
    return FleetWatch(desk.policy)


def test_the_budget_is_shared_by_those_that_are_watched(desk: Judged) -> None:
    times = np.array([1, 2]) * WEEK_US
    alone, latest_us = fleet(desk).run_lengths(desk.desk, times, 0)
    assert latest_us == 2 * WEEK_US
    before = fleet(desk).label_level(desk.desk, 100)
    traffic(desk, 3)
    shared, _ = fleet(desk).run_lengths(desk.desk, times, 0)
    assert shared.tolist() == pytest.approx((len(NAMES) * alone).tolist())
    assert fleet(desk).label_level(desk.desk, 100) > before


def test_people_are_told_the_run_length_of_usual_traffic(desk: Judged) -> None:
    traffic(desk, 3)
    watched = Watched(NAMES[0], "support", 1, "live")
    usual = fleet(desk).usual_run_length(desk.desk, watched)
    # A day at the least: 60 rows in it are 420 a week, and 0.7 alarms are shared by six.
    assert usual == pytest.approx(420 * len(NAMES) / 0.7)


def test_intervals_are_wider_where_there_are_more_looks(desk: Judged) -> None:
    levels = [fleet(desk).label_level(desk.desk, labels) for labels in (0, 50, 400, 10_000)]
    assert levels == sorted(levels)
    assert levels[0] > 1
    assert levels[-1] == fleet(desk).label_level(desk.desk, 10**9), "at most once a bucket"
    generous = FleetWatch(replace(POLICY, alarms_per_week=1e9))
    assert generous.label_level(desk.desk, 50) == 1, "never narrower than what is shown"


def test_each_tenant_reports_once_a_tick_and_ticks_are_counted(desk: Judged) -> None:
    traffic(desk, 4)
    note = fleet(desk)._note(desk.desk)
    # Of the four buckets three are over, of which the last one's reports are still to be taken in.
    assert note.state.ticks == 2
    assert note.detectors == len(NAMES)
    assert sorted(note.state.held) == sorted(NAMES)
    assert note.state.total is not None
    assert note.state.total < 0.001
    told = fleet(desk).told(desk.desk)
    assert (told.alarm, told.moved, told.watched) == (False, 0, len(NAMES))
    assert told.reading == "no adapter moved"
    assert told.budget_per_week == POLICY.alarms_per_week


def test_what_is_kept_is_read_once_for_as_long_as_it_is_the_same(desk: Judged) -> None:
    traffic(desk, 3)
    watch = fleet(desk)
    first = watch._note(desk.desk)
    assert watch._note(desk.desk) is first
    traffic(desk, 1, first=3)
    second = watch._note(desk.desk)
    assert second is not first
    assert second.tick_us > first.tick_us


def test_versions_of_one_adapter_are_one_adapter(desk: Judged) -> None:
    first = Tenant("acme", seed=1)
    second = Tenant("acme", seed=1, version=2)
    desk.log.rollout(
        {"live": 1, "canary": {"version": 2, "percent": 50}}, time_s=DAY_S, version=first.version
    )
    for tenant, role in ((first, "live"), (second, "canary")):
        tenant.publish(desk.log, time_s=DAY_S, rows=60)
        tenant.send(desk.log, ROWS, time_s=DAY_S + 5, role=role)
    desk.settle()
    assert fleet(desk).told(desk.desk).watched == 1


def test_a_fleet_of_nobody_is_calm(desk: Judged) -> None:
    told = fleet(desk).told(desk.desk)
    assert (told.alarm, told.evidence_log10, told.moved, told.watched) == (False, None, 0, 0)
    assert fleet(desk).alarms_total(desk.desk) == 0
