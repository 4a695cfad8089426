from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fakes.judged import BUCKET_S, LOG, Judged, judged
from tests.fakes.logs import DAY_S
from tests.fakes.traffic import Tenant

ROWS = 60


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Judged]:
    with judged(tmp_path) as found:
        yield found


def test_nothing_is_measured_before_anything_happened(desk: Judged) -> None:
    found = desk.measurements.measured()
    assert (found.watched, found.fleet_alarms) == ((), 0)
    assert found.log is LOG
    assert found.looked_s == DAY_S


def test_figures_are_those_of_the_report(desk: Judged) -> None:
    tenant = Tenant("acme", seed=3)
    tenant.publish(desk.log, time_s=DAY_S, rows=200)
    for bucket in range(3):
        sent = tenant.send(desk.log, ROWS, time_s=DAY_S + bucket * BUCKET_S + 5, foreign=0.9)
        desk.log.flush()
        sent.label(desk.log, time_s=DAY_S + bucket * BUCKET_S + 60, share=0.5)
    desk.settle()
    [figures] = desk.measurements.measured().watched
    [line] = desk.reports.fleet().adapters
    [told] = desk.reports.adapter("acme", "support").versions
    assert figures.drift_effect == line.effect.value == told.windows[0].drift.effect.value
    assert figures.drift_statistic == told.windows[0].drift.statistic
    assert figures.drift_pvalue == told.windows[0].drift.pvalue
    assert figures.drift_evidence_log10 == told.watch.evidence_log10
    assert figures.drift_alarm is True
    assert figures.accuracy == line.accuracy == told.calibration.accuracy
    assert figures.brier == told.calibration.brier
    assert figures.labels == line.labels == 90
    assert figures.label_coverage == told.calibration.coverage == 0.5
    assert figures.label_delay_s == told.calibration.delay_s_median
    assert (figures.first_s, figures.last_s) == (DAY_S + 5, told.last_s)
    assert figures.reference.rows == 200
    assert figures.drift_alarms == 1


def test_a_version_with_labels_alone_was_first_seen_at_no_time(desk: Judged) -> None:
    tenant = Tenant("acme", seed=3)
    sent = tenant.send(desk.log, 1, time_s=DAY_S + 5)
    desk.log.flush()
    desk.log.labels([(sent.ids[0], 0)], time_s=DAY_S + 9, version=4, digest="sha256:four")
    desk.settle()
    figures = {one.version: one for one in desk.measurements.measured().watched}
    assert figures[4].last_s is None
    assert figures[4].labels == 1
    assert figures[4].drift_effect is None
