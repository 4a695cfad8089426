from collections.abc import Iterator
from pathlib import Path

import pytest

from monitoring.report import HistoryPoint
from monitoring.state.codecs import codecs_of
from monitoring.state.database import Database
from monitoring.state.head import OTHER, Head
from monitoring.state.history import add_point, points
from monitoring.state.objects import Objects
from tests.fakes.judging import FakeJudge
from tests.fakes.logs import DAY_S


@pytest.fixture
def objects(tmp_path: Path) -> Iterator[Objects]:
    database = Database(tmp_path)
    database.prepare()
    yield Objects(database, codecs_of(FakeJudge()), 1 << 20)
    database.close()


def point(time_s: float) -> HistoryPoint:
    return HistoryPoint(
        time_s=time_s,
        rows=1,
        effect=None,
        lower=None,
        upper=None,
        evidence_log10=None,
        pvalue=None,
        class_statistic=None,
        accuracy=None,
        calibration_error=None,
        alarm=False,
    )


def test_two_days_are_kept_point_by_point_and_the_rest_by_hour(objects: Objects) -> None:
    head = Head()
    times = [DAY_S + 1200.0 * number for number in range(4 * 72 + 10)]
    for time_s in times:
        add_point(objects, 1, head, point(time_s))
    kept = [one.time_s for one in points(objects, 1, head)]
    newest = [time_s for time_s in times if time_s >= DAY_S + 3 * 86_400.0]
    assert kept[-len(newest) :] == newest
    old = [time_s for time_s in kept if time_s < DAY_S + 3 * 86_400.0]
    assert kept == sorted(kept)
    assert old == [t for t in times if t % 3600 == 2400.0 and t < DAY_S + 3 * 86_400.0]


def test_groups_are_admitted_in_the_order_in_which_they_come() -> None:
    head = Head()
    for group in ("a", "b", "c", "a", OTHER):
        name = head.admit(group, 2)
        head.groups[name] = head.groups.get(name, 0) + 1
    assert head.groups == {"a": 2, "b": 1, OTHER: 2}
    assert Head().admit("a", 0) == OTHER
