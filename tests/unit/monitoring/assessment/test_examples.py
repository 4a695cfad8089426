from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from monitoring.assessment import examples
from monitoring.assessment.comparison import Comparison, comparison_of
from monitoring.assessment.projection import name_of, projected
from monitoring.watched import Watched
from tests.fakes.judged import BUCKET_S, POLICY, Judged, judged
from tests.fakes.logs import DAY_S
from tests.fakes.traffic import LABELS, Tenant

ACME = Watched("acme", "support", 1, "live")
NONE = Comparison("none", None, None)


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Judged]:
    with judged(tmp_path) as found:
        tenant = Tenant("acme", seed=3)
        tenant.publish(found.log, time_s=DAY_S, rows=100)
        # As many as an hour keeps, so that all are: which ones of more are, is a matter of chance.
        calm = tenant.send(found.log, 26, time_s=DAY_S + 1, ids=[f"calm-{n}" for n in range(26)])
        found.log.flush()
        tenant.send(found.log, 6, time_s=DAY_S + 2, foreign=1.0, ids=[f"far-{n}" for n in range(6)])
        found.log.flush()
        calm.label(found.log, time_s=DAY_S + BUCKET_S, right=0.9)
        found.settle()
        yield found


def test_the_furthest_rows_come_first(desk: Judged) -> None:
    window = desk.desk.window_rows(ACME, 50)
    rows = examples.sampled(desk.desk, ACME, window)
    found = examples.farthest(rows, comparison_of(desk.desk, ACME), 40)
    assert len(found) == len(rows) == 32
    distances = [one.distance for one in found]
    assert distances == sorted(distances, reverse=True)
    places = [n for n, one in enumerate(found) if one.row.prediction_id.startswith("far")]
    assert len(places) == 6
    assert sum(places) / 6 < 8, "strangers stand in front"
    told = desk.told(ACME).samples
    assert [sample.prediction_id for sample in told] == [
        one.row.prediction_id for one in found[:20]
    ]
    assert [sample.distance for sample in told] == distances[:20]
    assert all(sample.label in LABELS for sample in told)


def test_rows_outside_of_the_window_are_not_shown(desk: Judged) -> None:
    window = desk.desk.window_rows(ACME, 50)
    assert window is not None
    later = window._replace(start_s=window.end_s, end_s=window.end_s + 60)
    assert examples.sampled(desk.desk, ACME, later) == []
    assert examples.sampled(desk.desk, ACME, None) == []


def test_without_something_to_compare_with_nothing_is_far(desk: Judged) -> None:
    rows = examples.sampled(desk.desk, ACME, desk.desk.window_rows(ACME, 50))
    whole = comparison_of(desk.desk, ACME)
    assert whole.reference is not None
    assert examples.farthest(rows, NONE, 5) == []
    assert examples.farthest([], whole, 5) == []
    short = [replace(row, embedding=np.ones(3, np.float16)) for row in rows]
    assert examples.farthest(short, whole, 5) == []
    assert examples.farthest(rows, replace(whole, map=None), 5) == []


def test_evidence_of_drift_is_the_furthest_rows_and_of_harm_wrong_ones_first(
    desk: Judged,
) -> None:
    window = desk.desk.window_rows(ACME, 50)
    look = (desk.desk, ACME, comparison_of(desk.desk, ACME), window, POLICY)
    end_us = desk.state.watermark.us + 1
    drift = examples.evidence(*look, "drift", end_us, 3)
    assert drift == tuple(sample.prediction_id for sample in desk.told(ACME).samples[:3])
    assert any(name.startswith("far") for name in drift)
    harm = examples.evidence(*look, "accuracy", end_us, 6)
    assert harm[:3] == ("calm-2", "calm-1", "calm-0"), "those that were wrong"
    assert harm[3:] == ("calm-25", "calm-24", "calm-23"), "then the newest"


def test_a_window_lies_on_the_plane_of_its_reference(desk: Judged) -> None:
    comparison = comparison_of(desk.desk, ACME)
    rows = examples.sampled(desk.desk, ACME, desk.desk.window_rows(ACME, 50))
    points = projected(rows, comparison, LABELS, 10)
    known = [point for point in points if point.prediction_id is None]
    assert comparison.reference is not None
    assert comparison.reference.plane is not None
    assert len(known) == 100
    assert {point.label for point in known} == set(LABELS)
    recent = [point.prediction_id for point in points if point.prediction_id is not None]
    newest = sorted(rows, key=lambda row: row.time_us)[-10:]
    assert recent == [row.prediction_id for row in newest]
    assert projected(rows, NONE, LABELS, 10) == ()
    assert len(projected([], comparison, LABELS, 10)) == 100


def test_a_class_without_a_name_is_called_by_its_number(desk: Judged) -> None:
    [row, *_] = examples.sampled(desk.desk, ACME, desk.desk.window_rows(ACME, 50))
    assert name_of((), row) == str(row.class_index)
    assert name_of(LABELS, row) == LABELS[row.class_index]
