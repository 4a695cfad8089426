from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from monitoring.assessment import labels
from monitoring.assessment.policy import Policy
from monitoring.watched import Watched
from service.measures import wilson
from tests.fakes.judged import BUCKET_S, POLICY, Judged, judged
from tests.fakes.logs import DAY_S
from tests.fakes.traffic import Tenant
from tests.unit.monitoring.detectors.made_labels import labelled_of

ACME = Watched("acme", "support", 1, "live")
HOUR_US = 3_600_000_000
DAY_US = 24 * HOUR_US
ROWS = 40


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Judged]:
    with judged(tmp_path) as found:
        yield found


@pytest.fixture
def tenant() -> Tenant:
    return Tenant("acme", seed=3)


def coverage(desk: Judged) -> float | None:
    return desk.told(ACME).calibration.coverage


def test_coverage_is_labels_over_predictions_of_the_same_time(desk: Judged, tenant: Tenant) -> None:
    for step in range(4):
        sent = tenant.send(desk.log, ROWS, time_s=DAY_S + step * BUCKET_S)
        sent.label(desk.log, time_s=DAY_S + step * BUCKET_S + 60, share=0.5)
    desk.settle()
    assert coverage(desk) == 0.5


def test_coverage_is_of_all_predictions_where_a_share_is_logged(
    desk: Judged, tenant: Tenant
) -> None:
    sent = tenant.send(desk.log, ROWS, time_s=DAY_S, sample=0.25)
    sent.label(desk.log, time_s=DAY_S + 60, share=0.5)
    desk.settle()
    assert coverage(desk) == 0.125, "20 labels of 160 predictions"
    assert desk.memo(ACME).label_coverage == 0.125


def test_coverage_does_not_count_labels_of_a_bucket_that_is_partly_too_old(
    desk: Judged, tenant: Tenant
) -> None:
    """Of the oldest bucket neither predictions nor labels count, as far as it is not in whole."""
    for minute in (5, 55):  # two of an hour's buckets, which are one by the time they are old
        sent = tenant.send(desk.log, ROWS, time_s=DAY_S + minute * 60)
        desk.log.flush()
        sent.label(desk.log, time_s=DAY_S + 86_400.0 - 60, share=0.25)
    later = tenant.send(desk.log, ROWS, time_s=DAY_S + 86_400.0 + 1800)
    later.label(desk.log, time_s=DAY_S + 86_400.0 + 1860, share=0.75)
    desk.settle()
    told = desk.told(ACME).calibration
    assert told.labels == 50, "all of them came in the last day"
    assert told.coverage == 0.75


def test_each_group_has_its_own_coverage(desk: Judged, tenant: Tenant) -> None:
    for group, share in (("mobile", 0.75), ("web", 0.5)):
        sent = tenant.send(desk.log, ROWS, time_s=DAY_S, group=group)
        desk.log.flush()
        sent.label(desk.log, time_s=DAY_S + 60, share=share)
    tenant.send(desk.log, ROWS, time_s=DAY_S + 120)
    desk.settle()
    found = {group.group: group for group in desk.told(ACME).groups}
    assert {name: group.calibration.coverage for name, group in found.items()} == {
        "mobile": 0.75,
        "web": 0.5,
    }
    assert {name: group.calibration.labels for name, group in found.items()} == {
        "mobile": 30,
        "web": 20,
    }
    assert coverage(desk) == pytest.approx(50 / 120)
    assert sum(group.predictions for group in found.values()) == 2 * ROWS


def test_without_groups_there_is_none(desk: Judged, tenant: Tenant) -> None:
    tenant.send(desk.log, ROWS, time_s=DAY_S)
    desk.settle()
    assert labels.by_group(desk.desk, ACME, None, POLICY, desk.state.watermark.us + 1) == {}


def test_only_labels_of_predictions_in_a_window_are_within_it() -> None:
    when = np.array([1, 2, 3, 4]) * 1_000_000
    some = labelled_of(np.full(4, 0.9), np.array([True, False, True, True]), predicted_us=when)
    kept = labels.within(some, 2.0, 4.0)
    assert kept.predicted_us.tolist() == [2_000_000, 3_000_000]
    assert kept.right.tolist() == [False, True]
    assert len(labels.within(some, 9.0, 10.0)) == 0


def test_figures_are_stale_after_an_hour_or_when_time_turned_back() -> None:
    assert not labels.is_stale(DAY_US, DAY_US)
    assert not labels.is_stale(DAY_US, DAY_US + HOUR_US - 1)
    assert labels.is_stale(DAY_US, DAY_US + HOUR_US)
    assert labels.is_stale(DAY_US, DAY_US - 1)


def test_the_hold_out_s_accuracy_has_the_interval_of_its_size(desk: Judged, tenant: Tenant) -> None:
    assert not labels.reference_accuracy(None).is_defined
    tenant.publish(desk.log, time_s=DAY_S, rows=80)
    tenant.send(desk.log, ROWS, time_s=DAY_S)
    desk.take()
    found = desk.desk.reference(ACME)
    assert found is not None
    reference = desk.desk.measure(found.id).reference  # type: ignore[union-attr]
    assert labels.reference_accuracy(reference) == wilson(reference.right, 80)
    unlabelled = replace(reference, right=0, labelled=0)
    assert not labels.reference_accuracy(unlabelled).is_defined


@pytest.mark.parametrize(
    ("window_s", "length_us"),
    [(3000.0, 600_000_000), (20 * 3600.0, HOUR_US), (7 * 86_400.0, DAY_US)],
)
def test_predictions_are_counted_from_a_whole_bucket_on(window_s: float, length_us: int) -> None:
    policy = Policy(bucket_s=600, fine_buckets=12, hours_kept=48, label_window_s=window_s)
    for since_us in (DAY_US * 9, DAY_US * 9 + 1, DAY_US * 9 + length_us - 1):
        found = labels._whole_buckets(policy, since_us)
        assert found % length_us == 0
        assert 0 <= found - since_us < length_us
