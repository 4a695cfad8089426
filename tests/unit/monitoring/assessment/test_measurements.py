from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from monitoring.web.reports import Measured, RolledBack
from service.events.reader import LogReader
from tests.fakes.judged import BUCKET_S, LOG, POLICY, Judged, judged
from tests.fakes.logs import DAY_S, WrittenLog
from tests.fakes.traffic import LABELS, Tenant

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


def test_how_a_version_answers_is_that_of_the_newest_window(desk: Judged) -> None:
    tenant = Tenant("acme", seed=3)
    tenant.publish(desk.log, time_s=DAY_S, rows=200)
    tenant.send(desk.log, ROWS, time_s=DAY_S + 5, mix=(0.5, 0.5, 0.0, 0.0))
    desk.settle()
    [figures] = desk.measurements.measured().watched
    [told] = desk.reports.adapter("acme", "support").versions
    assert figures.predictions == ROWS
    assert figures.class_shares == {
        one.label: one.now for one in told.windows[0].mix.classes if one.now
    }
    assert figures.class_shares.keys() == set(LABELS[:2]), "the others have no name yet"
    assert [figures.confidence[share] for share in ("0.1", "0.5", "0.9")] == pytest.approx(
        [0.73, 0.84, 0.95], abs=0.04
    )
    lengths = {one.name: one.now for one in told.windows[0].inputs}
    assert figures.tokens["0.5"] == lengths["tokens_p50"]
    assert figures.accuracy_objective == pytest.approx(
        (told.calibration.reference_accuracy or 0.0) - POLICY.accuracy_drop_max
    )


def test_nothing_is_told_of_a_window_before_a_bucket_is_over(desk: Judged) -> None:
    Tenant("acme", seed=3).send(desk.log, ROWS, time_s=DAY_S + 5)
    desk.take()
    [figures] = desk.measurements.measured().watched
    assert figures.predictions == ROWS
    assert (figures.class_shares, figures.confidence, figures.tokens) == ({}, {}, {})
    assert figures.accuracy_objective is None
    assert figures.triggered_s == {}


def test_a_version_without_a_hold_out_has_no_objective(desk: Judged) -> None:
    Tenant("acme", seed=3).send(desk.log, ROWS, time_s=DAY_S + 5)
    desk.settle()
    [figures] = desk.measurements.measured().watched
    assert figures.accuracy_objective is None
    assert figures.class_shares


def test_objectives_follow_the_settings(tmp_path: Path) -> None:
    with judged(tmp_path, replace(POLICY, calibration_error_max=0.2)) as desk:
        assert desk.measurements.measured().calibration_objective == 0.2


def test_a_trigger_has_the_time_at_which_it_was_raised(desk: Judged) -> None:
    tenant = Tenant("acme", seed=3)
    tenant.publish(desk.log, time_s=DAY_S, rows=200)
    for bucket in range(3):
        sent = tenant.send(desk.log, ROWS, time_s=DAY_S + bucket * BUCKET_S + 5)
        desk.log.flush()
        sent.label(desk.log, time_s=DAY_S + bucket * BUCKET_S + 60, right=0.2)
    desk.settle()
    [figures] = desk.measurements.measured().watched
    assert figures.triggers["accuracy"] == 1
    assert figures.triggered_s["accuracy"] == DAY_S + BUCKET_S


# --- rollouts ----------------------------------------------------------------------------

LIVE = {"live": 1}
CANARY = {"live": 1, "canary": {"version": 2, "percent": 25}, "shadow": [3]}


def write_rollouts(log: WrittenLog, *, from_s: float = DAY_S) -> None:
    """Log a live version, its canary, and the end of the canary by itself."""
    tenant, canary = Tenant("acme", seed=3), Tenant("acme", seed=3, version=2)
    log.rollout(LIVE, time_s=from_s)
    tenant.send(log, ROWS, time_s=from_s + 5)
    log.rollout(CANARY, before=LIVE, time_s=from_s + 10)
    canary.send(log, ROWS, time_s=from_s + 15, role="canary")
    log.flush()
    why = "failures: 9 of 60 failed, of the live version's 0"
    log.rollout(LIVE, before=CANARY, time_s=from_s + 20, actor="controller", reason=why)


def test_a_rollout_says_who_answers(desk: Judged) -> None:
    desk.log.rollout(LIVE, time_s=DAY_S)
    desk.log.rollout(CANARY, before=LIVE, time_s=DAY_S + 10)
    desk.take()
    found = desk.measurements.measured()
    assert found.watched == (), "nobody asked yet"
    [rollout] = found.rollouts
    assert (rollout.tenant, rollout.adapter, rollout.first_s) == ("acme", "support", DAY_S)
    assert rollout.shares == {(1, "live"): 0.75, (2, "canary"): 0.25, (3, "shadow"): 0.0}
    assert rollout.rolled_s == {"operator": DAY_S + 10}
    assert (rollout.rolled_back, rollout.out_of_service) == ((), ())


def test_an_automatic_rollback_says_what_was_taken_out_and_why(desk: Judged) -> None:
    write_rollouts(desk.log)
    desk.take()
    [rollout] = desk.measurements.measured().rollouts
    assert rollout.shares == {(1, "live"): 1.0}
    assert rollout.rolled_s == {"operator": DAY_S + 10, "automatic": DAY_S + 20}
    assert rollout.rolled_back == (RolledBack(version=2, reason="failures", time_s=DAY_S + 20),)
    [*_, mark] = desk.reports.adapter("acme", "support").rollouts
    assert mark.rolled_back == 2


def test_a_version_is_out_of_service_while_the_rollout_names_it(desk: Judged) -> None:
    write_rollouts(desk.log)
    desk.log.quarantine(time_s=DAY_S + 30, version=Tenant("acme", seed=3).version)
    desk.log.quarantine(time_s=DAY_S + 31, version=Tenant("acme", seed=3, version=2).version)
    desk.take()
    found = desk.measurements.measured()
    assert {one.version: one.out_of_service for one in found.watched} == {1: True, 2: False}
    assert found.rollouts[0].out_of_service == (1,)
    desk.log.rollout({"live": 4}, before=LIVE, time_s=DAY_S + 40)
    desk.take()
    found = desk.measurements.measured()
    assert not any(one.out_of_service for one in found.watched)
    assert found.rollouts[0].out_of_service == ()


def test_a_version_that_never_answered_can_be_out_of_service(desk: Judged) -> None:
    desk.log.quarantine(time_s=DAY_S + 30, version=Tenant("acme", seed=3).version)
    desk.take()
    found = desk.measurements.measured()
    assert found.watched == ()
    assert found.rollouts[0].out_of_service == (1,)
    assert found.rollouts[0].shares == {}


def test_what_is_told_of_an_erased_tenant_is_gone(desk: Judged) -> None:
    write_rollouts(desk.log)
    desk.take()
    desk.state.erase("acme", "e1")
    found = desk.measurements.measured()
    assert (found.watched, found.rollouts) == ((), ())


def test_a_restart_and_a_replay_change_nothing_that_is_told(tmp_path: Path) -> None:
    with judged(tmp_path) as desk:
        tenant = Tenant("acme", seed=3)
        tenant.publish(desk.log, time_s=DAY_S - 9, rows=200)
        write_rollouts(desk.log)
        other = Tenant("globex", seed=4)
        desk.log.quarantine(time_s=DAY_S + 30, version=other.version)
        sent = tenant.send(desk.log, ROWS, time_s=DAY_S + BUCKET_S + 5)
        desk.log.flush()
        sent.label(desk.log, time_s=DAY_S + BUCKET_S + 60, right=0.2)
        write_rollouts(desk.log, from_s=DAY_S + 3 * BUCKET_S)
        other.send(desk.log, 5, time_s=DAY_S + 5 * BUCKET_S)
        desk.take()
        expected = desk.measurements.measured()
    states = [tmp_path / name for name in ("whole", "halves")]
    for state, stops in zip(states, ((None,), (4, None)), strict=True):
        (state / "events").mkdir(parents=True)
        told = [read_on(tmp_path / "events", state, stop) for stop in stops]
        assert told[-1] == expected
    assert expected.rollouts[0].rolled_back
    assert any(one.triggered_s for one in expected.watched)
    assert any(one.out_of_service for one in expected.watched)
    assert any(one.class_shares for one in expected.watched)


def read_on(events: Path, folder: Path, stop: int | None) -> Measured:
    """Fold so many frames from where a state is, as a new process; return what it tells then."""
    with judged(folder) as desk:
        with LogReader(events, "again", cursor=desk.state.cursor) as reader:
            for number, batch in enumerate(reader.batches(), 1):
                desk.fold.take(batch)
                if number == stop:
                    break
            desk.state.checkpoint(reader.cursor())
        return desk.measurements.measured()
