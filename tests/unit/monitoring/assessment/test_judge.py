"""The judge over a state and a log, where something is odd."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from monitoring.assessment.judge import Judge
from monitoring.detectors.budget import WEEK_US
from monitoring.watched import Watched
from service.events.text_figures import TextFigures
from tests.fakes.judged import BUCKET_S, POLICY, Judged, judged
from tests.fakes.logs import DAY_S, Version, embeddings_of, probabilities_of
from tests.fakes.traffic import Sent, Tenant

ACME = Watched("acme", "support", 1, "live")
ROWS = 60


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Judged]:
    with judged(tmp_path) as found:
        yield found


@pytest.fixture
def tenant() -> Tenant:
    return Tenant("acme", seed=3)


def at(bucket: int) -> float:
    """Return a time in a bucket."""
    return DAY_S + bucket * BUCKET_S + 5.0


def send(desk: Judged, tenant: Tenant, *buckets: int, **others: Any) -> list[Sent]:
    found = []
    for bucket in buckets:
        found.append(tenant.send(desk.log, ROWS, time_s=at(bucket), **others))
        desk.log.flush()
    return found


# --- references that do not fit ----------------------------------------------------------


def test_a_reference_of_other_classes_cannot_be_used_and_stops_nobody(
    desk: Judged, tenant: Tenant
) -> None:
    rows = (embeddings_of(80, hidden=32), probabilities_of(80, classes=2))
    desk.log.reference(*rows, time_s=DAY_S, version=tenant.version)
    send(desk, tenant, 0, 1)
    desk.settle()
    told = desk.told(ACME)
    assert told.state == "unknown"
    assert told.why == (
        "the reference cannot be used: it has 2 classes, and the version answers with 4"
    )
    assert told.reference.note == "it has 2 classes, and the version answers with 4"
    assert told.windows[0].drift.effect.value is None
    assert told.windows[0].mix.classes == ()


def test_embeddings_of_another_size_than_the_reference_s_are_left_out(
    desk: Judged, tenant: Tenant
) -> None:
    Tenant("acme", seed=3, hidden=16).publish(desk.log, time_s=DAY_S, rows=80)
    send(desk, tenant, 0, 1)
    desk.settle()
    told = desk.told(ACME)
    assert told.windows[0].drift.effect.unknown == "no embeddings in the window"
    assert told.windows[0].drift.class_pvalue is not None
    assert all(point.prediction_id is None for point in told.projection)
    assert told.samples == ()


def test_a_reference_whose_rows_are_all_alike_tells_nothing_of_drift(
    desk: Judged, tenant: Tenant
) -> None:
    alike = np.repeat(embeddings_of(1, hidden=32), 80, axis=0)
    drawn = tenant.draw(80)
    desk.log.reference(
        alike, drawn.probabilities, time_s=DAY_S, truth=drawn.truth, version=tenant.version
    )
    send(desk, tenant, 0, 1)
    desk.settle()
    told = desk.told(ACME)
    assert told.windows[0].drift.effect.value is None
    assert told.windows[0].accuracy.estimate.value is not None


def test_a_small_reference_says_that_it_is_small(desk: Judged, tenant: Tenant) -> None:
    tenant.publish(desk.log, time_s=DAY_S, rows=100)
    send(desk, tenant, 0)
    desk.settle()
    told = desk.told(ACME)
    assert told.reference.note == "too small for p values, which need 200 rows"
    drift = told.windows[0].drift
    assert drift.effect.value is not None
    assert drift.pvalue is None
    assert drift.pvalue_unknown is not None
    assert drift.pvalue_unknown.startswith("reference too small")


def test_rows_that_came_before_their_reference_have_no_distance(
    desk: Judged, tenant: Tenant
) -> None:
    send(desk, tenant, 0)
    tenant.publish(desk.log, time_s=at(0), rows=80)
    desk.settle()
    told = desk.told(ACME)
    assert told.windows[0].drift.effect.unknown == "no embeddings in the window"
    assert told.windows[0].drift.class_pvalue is not None
    send(desk, tenant, 4, 5)
    desk.settle()
    assert desk.told(ACME).windows[0].drift.effect.value is not None


def test_under_another_seed_old_rows_have_no_distance_and_classes_are_told(
    tmp_path: Path, tenant: Tenant
) -> None:
    with judged(tmp_path) as desk:
        tenant.publish(desk.log, time_s=DAY_S, rows=80)
        send(desk, tenant, 0, 1)
        desk.settle()
        assert desk.told(ACME).windows[0].drift.effect.value is not None
        desk.state.checkpoint(desk.state.cursor)
    with judged(tmp_path, replace(POLICY, seed=9)) as desk:
        drift = desk.told(ACME).windows[0].drift
        other = "the window's embeddings were measured for another reference"
        assert drift.effect.unknown == drift.pvalue_unknown == other
        assert drift.reading == f"unknown: {other}"
        assert drift.class_pvalue is not None


def test_the_key_of_references_follows_the_settings_that_they_depend_on() -> None:
    def key(**changes: Any) -> str:
        return Judge(replace(POLICY, **changes), "waiting", lambda: None).key

    assert key() == key(labels_min=30, window_rows=60)
    assert len({key(), key(seed=1), key(drift_tolerance=0.2)}) == 3


# --- what is not there -------------------------------------------------------------------


def test_a_version_that_has_labels_alone_says_that_it_has_no_predictions(
    desk: Judged, tenant: Tenant
) -> None:
    sent = tenant.send(desk.log, ROWS, time_s=at(0), sample=1.0)
    desk.log.flush()
    desk.log.labels(
        list(zip(sent.ids, sent.truth.tolist(), strict=True)),
        time_s=at(1),
        version=9,
        digest="sha256:other",
    )
    desk.settle()
    other = replace(ACME, version=9)
    memo = desk.memo(other)
    assert memo.effect.unknown == memo.estimated.unknown == "no predictions in the log"
    assert memo.accuracy.value is not None
    assert desk.told(other).windows == ()
    assert desk.told(other).calibration.coverage is None


def test_before_a_bucket_has_ended_nothing_is_told(desk: Judged, tenant: Tenant) -> None:
    tenant.publish(desk.log, time_s=DAY_S, rows=80)
    send(desk, tenant, 0)
    desk.take()
    told = desk.told(ACME)
    assert told.watch.rows == ROWS
    assert told.watch.unknown == "no time bucket has ended yet"
    assert told.watch.threshold_log10 is None
    assert (told.state, told.history) == ("unknown", ())
    assert desk.reports.fleet().adapters[0].effect.unknown == "no time bucket has ended yet"
    assert told.windows[0].drift.effect.value is not None, "but its window is there"


def test_label_figures_are_computed_when_a_label_came_and_once_an_hour(
    desk: Judged, tenant: Tenant
) -> None:
    [sent] = send(desk, tenant, 0)
    sent.label(desk.log, time_s=at(1))
    looked = []
    for bucket in range(2, 12):
        send(desk, tenant, bucket)
        desk.take()
        looked.append(round((desk.memo(ACME).labels_us / 1e6 - DAY_S) / BUCKET_S))
    # At the end of the bucket in which they came, and again an hour later.
    assert looked == [2] * 6 + [8] * 4


def test_estimated_accuracy_is_helped_by_the_labels_of_the_window_alone(
    desk: Judged, tenant: Tenant
) -> None:
    tenant.publish(desk.log, time_s=DAY_S, rows=200)
    [sent] = send(desk, tenant, 0)
    sent.label(desk.log, time_s=at(0) + 1, right=0.2)
    desk.settle()
    helped = desk.memo(ACME).estimated
    assert helped.value is not None
    assert helped.value < 0.5, "its own labels say so"
    send(desk, tenant, 4, 5)
    desk.settle()
    alone = desk.memo(ACME).estimated
    assert alone.value is not None
    assert alone.value > 0.7


# --- alarms ------------------------------------------------------------------------------


def drifted(desk: Judged, tenant: Tenant, **others: Any) -> None:
    """Have a version in alarm."""
    tenant.publish(desk.log, time_s=DAY_S, rows=200)
    send(desk, tenant, 0, 1)
    send(desk, tenant, 2, 3, foreign=0.9, **others)
    desk.settle()


def test_an_alarm_says_how_strong_its_evidence_was(desk: Judged, tenant: Tenant) -> None:
    drifted(desk, tenant)
    [alarm] = desk.told(ACME).alarms
    told = desk.told(ACME).watch
    assert alarm.evidence is not None
    assert told.threshold_log10 is not None
    assert alarm.evidence == pytest.approx(told.threshold_log10, abs=0.5)
    assert 2 * BUCKET_S <= alarm.began_s - DAY_S < 3 * BUCKET_S
    assert desk.memo(ACME).drift_alarms == 1, "though the watch alarmed again and again"
    assert desk.memo(ACME).alarmed_us > alarm.began_s * 1e6


def test_the_alarms_of_a_version_end_with_the_rollout_that_retires_it(
    desk: Judged, tenant: Tenant
) -> None:
    drifted(desk, tenant)
    assert desk.reports.fleet().fleet is not None
    assert desk.reports.fleet().fleet.moved == 1  # type: ignore[union-attr]
    desk.log.rollout({"live": 2}, time_s=at(6), version=tenant.version)
    Tenant("acme", seed=3, version=2).send(desk.log, ROWS, time_s=at(7))
    desk.take()
    told = desk.told(ACME)
    assert told.standing == "retired"
    assert [alarm.ended_s for alarm in told.alarms] == [at(6)]
    assert told.state == "unknown"
    assert told.why.startswith("retired by now, and in alarm until then: inputs changed")
    figures = {one.version: one for one in desk.measurements.measured().watched}
    assert figures[1].drift_alarm is False
    assert figures[1].drift_alarms == 1
    fleet = desk.reports.fleet().fleet
    assert fleet is not None
    assert (fleet.moved, fleet.watched) == (0, 1)


def test_a_retired_version_that_gets_rows_is_not_in_alarm(desk: Judged, tenant: Tenant) -> None:
    drifted(desk, tenant)
    desk.log.rollout({"live": 2}, time_s=at(6), version=tenant.version)
    send(desk, tenant, 7, foreign=0.9)
    desk.settle()
    assert [alarm.ended_s for alarm in desk.desk.alarms(ACME)] == [at(6)]
    assert desk.memo(ACME).drift_alarms == 1


def test_what_is_asked_for_by_number_without_a_rollout_is_not_in_alarm(
    desk: Judged, tenant: Tenant
) -> None:
    tenant.publish(desk.log, time_s=DAY_S, rows=200)
    send(desk, tenant, 0, 1, 2, foreign=0.9, role="pinned")
    desk.settle()
    pinned = replace(ACME, role="pinned")
    assert desk.told(pinned).alarms == ()
    assert desk.memo(pinned).state == "warning"


def test_a_drift_alarm_ends_when_a_whole_window_has_no_embeddings(
    desk: Judged, tenant: Tenant
) -> None:
    drifted(desk, tenant)
    send(desk, tenant, 5, 6, embedded=False)
    desk.settle()
    [alarm] = desk.desk.alarms(ACME)
    assert alarm.ended_s is not None
    assert desk.memo(ACME).effect.unknown == "no embeddings in the window"
    assert desk.memo(ACME).beyond_since_us is None


# --- triggers ----------------------------------------------------------------------------


def test_a_cooldown_holds_for_all_versions_of_an_adapter(desk: Judged, tenant: Tenant) -> None:
    policy = replace(desk.policy, drift_patience_s=0.0)
    desk.fold._judge._policy = policy  # type: ignore[attr-defined]
    drifted(desk, tenant)
    assert len(desk.woken) == 1
    second = Tenant("acme", seed=3, version=2)
    second.publish(desk.log, time_s=at(4), rows=200)
    desk.log.rollout({"live": 2}, time_s=at(4), version=tenant.version)
    send(desk, second, 5, 6, 7, foreign=0.9)
    desk.settle()
    assert desk.memo(replace(ACME, version=2)).state == "alarm"
    assert len(desk.woken) == 1
    assert desk.memo(replace(ACME, version=2)).raised == {}


def test_a_version_in_alarm_triggers_nothing_before_its_patience(
    desk: Judged, tenant: Tenant
) -> None:
    drifted(desk, tenant)
    assert desk.memo(ACME).state == "alarm"
    assert desk.memo(ACME).raised == {}
    send(desk, tenant, 6, 7, 8, foreign=0.9)
    desk.settle()
    assert desk.memo(ACME).raised == {"drift": 1}


# --- counts ------------------------------------------------------------------------------


def test_bad_inputs_add_up_over_buckets(desk: Judged, tenant: Tenant) -> None:
    for bucket in (0, 1, 3):
        send(
            desk,
            tenant,
            bucket,
            truncated=[True] * 3 + [False] * (ROWS - 3),
            figures=TextFigures(
                characters=[0] * 2 + [9] * (ROWS - 2),
                bytes=[9] * ROWS,
                replaced=[0] * (ROWS - 1) + [4],
                fingerprints=list(range(1, ROWS + 1)),
            ),
        )
    desk.settle()
    assert desk.memo(ACME).bad_inputs == {
        "truncated": 9,
        "empty": 6,
        "replaced": 3,
        "undecodable": 0,
    }


def test_labels_are_counted_once_for_each_prediction(desk: Judged, tenant: Tenant) -> None:
    [sent] = send(desk, tenant, 0)
    for time_s in (at(1), at(2)):
        sent.label(desk.log, time_s=time_s, share=0.5)
    desk.settle()
    [figures] = desk.measurements.measured().watched
    assert figures.labels == ROWS // 2


def test_a_clock_that_was_wrong_for_a_while_does_not_stop_the_fleet(
    desk: Judged, tenant: Tenant
) -> None:
    tenant.publish(desk.log, time_s=DAY_S, rows=80)
    send(desk, tenant, 0)
    desk.settle()
    ahead = DAY_S + WEEK_US / 1e6
    desk.fold._judge._fleet.closed(desk.desk, round(ahead * 1e6))  # type: ignore[attr-defined]
    desk.fold._judge._fleet.closed(desk.desk, round(at(1) * 1e6))  # type: ignore[attr-defined]
    note = desk.fold._judge._fleet._note(desk.desk)  # type: ignore[attr-defined]
    assert note.tick_us == round(at(1) * 1e6)


def test_versions_of_a_tenant_with_other_weights_have_other_references(desk: Judged) -> None:
    first = Tenant("acme", seed=3)
    first.publish(desk.log, time_s=DAY_S, rows=80)
    send(desk, first, 0)
    again = Tenant("acme", seed=3)
    again.version = Version(
        tenant="acme", version=1, labels=first.version.labels, digest="sha256:else"
    )
    send(desk, again, 1)
    desk.settle()
    told = desk.told(ACME)
    assert told.digest == "sha256:else"
    assert told.predictions == ROWS
    assert told.reference.source == "pooled"


def test_coverage_falls_as_predictions_come_that_nobody_labels(
    desk: Judged, tenant: Tenant
) -> None:
    [sent] = send(desk, tenant, 0)
    desk.log.labels(list(zip(sent.ids, sent.truth.tolist(), strict=True)), time_s=at(0) + 60)
    send(desk, tenant, 2, 3, 4)
    desk.settle()
    assert desk.memo(ACME).label_coverage == pytest.approx(0.25)
    assert desk.told(ACME).calibration.coverage == pytest.approx(0.25)
