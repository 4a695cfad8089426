"""The sidecar over two days of a small fleet, in each of whose tenants something else happens."""

import json
import math
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from sqlalchemy import select

from monitoring.report import AdapterReport, Alarm, FleetReport, VersionReport, WindowReport
from monitoring.settings import MonitorSettings
from monitoring.sidecar import Sidecar
from monitoring.triggers.tables import TRIGGERS
from monitoring.web.metrics import Metrics
from tests.fakes.logs import DAY_S
from tests.fakes.traffic import LABELS
from tests.fakes.world import CANARY_ROWS, CHANGE, HOURS, ROWS, STEP_S, write_world

BUCKET_S = round(STEP_S)
STEPS = 2  # an hour
LABELLED = 9  # of the rows of a step
COOLDOWN_H = 12


@dataclass
class World:
    folder: Path
    sidecar: Sidecar
    fleet: FleetReport
    adapters: dict[str, AdapterReport] = field(default_factory=dict)

    def adapter(self, tenant: str) -> AdapterReport:
        if tenant not in self.adapters:
            self.adapters[tenant] = self.sidecar.reports.adapter(tenant, "support")
        return self.adapters[tenant]

    def version(self, tenant: str, version: int = 1, role: str = "live") -> VersionReport:
        versions = self.adapter(tenant).versions
        return next(one for one in versions if (one.version, one.role) == (version, role))

    def alarms(self, tenant: str, *kinds: str, **of: object) -> list[Alarm]:
        """Return a version's alarms, oldest first."""
        alarms = self.version(tenant, **of).alarms  # type: ignore[arg-type]
        return [alarm for alarm in reversed(alarms) if not kinds or alarm.kind in kinds]

    def series(self) -> dict[str, float]:
        registry = CollectorRegistry()
        Metrics(registry, self.sidecar.measurements)
        lines = generate_latest(registry).decode().splitlines()
        told = [line.rsplit(" ", 1) for line in lines if not line.startswith("#")]
        return {name: float(value) for name, value in told}


def settings_of(state: Path, **others: object) -> MonitorSettings:
    given = {
        "bucket_s": BUCKET_S,
        "label_window_s": 12 * 3600.0,
        "webhook_cooldown_s": COOLDOWN_H * 3600.0,
        "checkpoint_s": 1e6,
    }
    return MonitorSettings(state=state, **(given | others))  # type: ignore[arg-type]


def primary(version: VersionReport) -> WindowReport:
    found = version.windows[0]
    assert found.window.name == version.primary
    return found


def hour_of(time_s: float) -> float:
    return (time_s - DAY_S) / 3600


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("world")
    write_world(folder / "events")
    with closing(Sidecar(settings_of(folder))) as sidecar:
        sidecar.follower.catch_up()
        yield World(folder, sidecar, sidecar.reports.fleet())


# --- drift -------------------------------------------------------------------------------


def test_content_that_drifts_is_an_alarm_soon_after_the_change_and_none_before(
    world: World,
) -> None:
    [alarm] = world.alarms("drifts")
    assert alarm.kind == "drift"
    assert CHANGE <= hour_of(alarm.began_s) <= CHANGE + 2
    assert alarm.ended_s is None
    version = world.version("drifts")
    assert version.state == "alarm"
    assert version.why.startswith("inputs changed; the newest window is beyond tolerance")
    drift = primary(version).drift
    assert drift.effect.lower is not None
    assert drift.effect.lower > 1
    assert drift.reading == "beyond tolerance: other content"
    history = {round(hour_of(point.time_s), 2): point for point in version.history}
    before = [point.effect for hour, point in history.items() if 3 < hour <= CHANGE]
    assert before
    assert max(effect for effect in before if effect is not None) < drift.effect.lower
    assert not any(point.alarm for hour, point in history.items() if hour <= CHANGE)
    assert all(point.alarm for hour, point in history.items() if hour > CHANGE + 2)


def test_nobody_else_is_in_alarm(world: World) -> None:
    calm = ("calm", "borrows", "shy", "private", "grouped", "plain")
    assert {name: world.alarms(name) for name in calm} == {name: [] for name in calm}
    assert {line.tenant for line in world.fleet.adapters if line.state == "alarm"} == {
        *("drifts", "turns", "mixes", "owned", "outside")
    }


def test_another_class_mix_is_read_as_such(world: World) -> None:
    version = world.version("mixes")
    [alarm] = world.alarms("mixes")
    assert hour_of(alarm.began_s) > 30
    drift = primary(version).drift
    assert "another class mix" in drift.reading
    assert drift.effect.value is not None
    assert drift.content.value is not None
    assert drift.content.value < drift.effect.value / 2
    mix = primary(version).mix
    assert mix.pvalue is not None
    assert mix.pvalue < 1e-6
    now = {share.label: share.now for share in mix.classes}
    assert now[LABELS[0]] == pytest.approx(0.7, abs=0.15)


def test_an_alarm_ends_when_a_whole_window_is_healthy_again(world: World) -> None:
    [alarm] = world.alarms("heals")
    assert 6 <= hour_of(alarm.began_s) <= 8
    assert alarm.ended_s is not None
    # The primary window has 100 rows, which takes 4 buckets of 30.
    assert 10 + 2 <= hour_of(alarm.ended_s) <= 14
    assert world.version("heals").state == "ok"


def test_what_the_adapter_makes_of_its_inputs_is_told_from_the_inputs(world: World) -> None:
    owned, outside = world.version("owned"), world.version("outside")
    for version in (owned, outside):
        assert version.state == "alarm"
        effect = primary(version).drift.effect
        assert effect.lower is not None
        assert effect.lower > 1
    inside, moved = primary(owned).base_drift, primary(outside).base_drift
    assert inside is not None
    assert moved is not None
    assert inside.effect.value is not None
    assert inside.effect.value < 2
    assert inside.reading.startswith("within tolerance") or "perhaps" in inside.reading
    assert moved.effect.lower is not None
    assert moved.effect.lower > 1
    assert owned.why.endswith("what the adapter makes of its inputs changed")
    assert outside.why.endswith("the bare backbone sees other inputs too")
    assert primary(world.version("drifts")).base_drift is None, "its rows were not sampled"


def test_without_a_hold_out_a_version_is_compared_with_a_pool_and_never_in_alarm(
    world: World,
) -> None:
    version = world.version("borrows")
    assert version.reference.source == "pooled"
    assert version.state == "unknown"
    assert "pooled" in version.why
    assert primary(version).drift.effect.value is not None
    assert version.watch.unknown == "a borrowed reference raises no alarm"
    assert version.alarms == ()
    assert version.calibration.accuracy.value is not None, "labels need no reference"
    assert primary(version).accuracy.estimate.value is None
    shown = {point.label for point in version.projection if point.prediction_id is None}
    assert shown == set(), "what was borrowed is rows of other tenants"


def test_without_embeddings_drift_is_unknown_and_classes_are_told(world: World) -> None:
    version = world.version("private")
    assert (version.state, version.why) == (
        "unknown",
        "drift is unknown: no reference with embeddings",
    )
    drift = primary(version).drift
    assert drift.effect.unknown == "no reference with embeddings"
    assert drift.class_pvalue is not None
    assert drift.class_pvalue < 1e-6
    assert drift.class_worst == LABELS[0]
    assert primary(version).mix.pvalue is not None
    assert (version.projection, version.samples) == ((), ())
    assert version.watch.unknown is not None
    assert "no embeddings" in version.watch.unknown


# --- labels ------------------------------------------------------------------------------


def test_labels_that_turn_are_an_alarm_of_their_own_kind(world: World) -> None:
    alarms = world.alarms("turns")
    assert {alarm.kind for alarm in alarms} == {"accuracy", "calibration"}
    assert all(CHANGE + 1 < hour_of(alarm.began_s) < CHANGE + 12 for alarm in alarms)
    version = world.version("turns")
    assert version.state == "alarm"
    assert version.why.startswith("accuracy is 0.444 (")
    assert primary(version).drift.reading.startswith("within tolerance")
    error = version.calibration.error
    assert error.lower is not None
    assert error.lower > 0.2
    assert version.calibration.reference_accuracy == pytest.approx(0.84, abs=0.04)


def test_figures_of_healthy_labels_cover_the_truth(world: World) -> None:
    for name in ("calm", "drifts", "plain"):
        found = world.version(name).calibration
        accuracy = found.accuracy
        assert accuracy.lower is not None
        assert accuracy.upper is not None
        assert accuracy.lower < 0.84 < accuracy.upper, "the mean confidence of its traffic"
        assert found.error.value is not None
        assert found.error.value < 0.1
        assert found.coverage == pytest.approx(LABELLED / ROWS, abs=0.03)
        assert found.delay_s_median is not None
        assert 0 < found.delay_s_median < 3700
        assert not found.weighted


def test_too_few_labels_are_unknown_and_have_no_series(world: World) -> None:
    version = world.version("shy")
    assert version.calibration.labels == 0
    for figure in (
        version.calibration.error,
        version.calibration.accuracy,
        version.calibration.brier,
    ):
        assert figure.value is None
        assert figure.unknown == "too few labels: 0 of 50"
    series = world.series()
    of_shy = [name for name in series if 'tenant="shy"' in name]
    assert any(name.startswith("tenantry_drift_effect_ratio") for name in of_shy)
    for name in ("tenantry_calibration_error_ratio", "tenantry_brier_score"):
        assert not any(one.startswith(name) for one in of_shy)
        assert any(one.startswith(name) and 'tenant="calm"' in one for one in series)
    assert not any('method="labels"' in name for name in of_shy)
    assert any('method="estimate"' in name for name in of_shy)


def test_each_group_has_its_own_figures(world: World) -> None:
    version = world.version("grouped")
    groups = {group.group: group for group in version.groups}
    assert groups.keys() == {"mobile", "web"}
    for group in groups.values():
        assert group.predictions == HOURS * STEPS * ROWS
        assert group.calibration.labels == version.calibration.labels // 2
        assert group.calibration.accuracy.value is not None
        assert group.calibration.coverage == pytest.approx(LABELLED / ROWS, abs=0.03)


# --- versions ----------------------------------------------------------------------------


def test_windows_never_mix_versions_or_roles(world: World) -> None:
    hours = {"live 1": 24.0, "canary 2": 11.5, "shadow 3": 12.0, "live 2": 24.0}
    rows = {"live 1": ROWS, "canary 2": CANARY_ROWS, "shadow 3": ROWS, "live 2": ROWS}
    found = {
        f"{version.role} {version.version}": version for version in world.adapter("rolls").versions
    }
    assert {name: version.predictions for name, version in found.items()} == {
        name: hours[name] * STEPS * rows[name] for name in hours
    }
    assert [version.role for version in found.values()][:1] == ["live"]
    assert next(iter(found.values())).version == 2, "who answers comes first"
    ends = {name: primary(version).window.end_s for name, version in found.items()}
    assert hour_of(ends["live 1"] or 0) == CHANGE
    assert hour_of(ends["live 2"] or 0) == HOURS
    starts = {name: version.history[0].time_s for name, version in found.items()}
    assert hour_of(starts["canary 2"]) == 12.5
    assert hour_of(starts["live 2"]) == CHANGE + 0.5
    assert {name: version.standing for name, version in found.items()} == {
        "live 1": "retired",
        "canary 2": "live",
        "shadow 3": "retired",
        "live 2": "live",
    }
    assert all(version.reference.source == "holdout" for version in found.values())


def test_late_labels_of_a_retired_version_count_for_it(world: World) -> None:
    version = world.version("rolls")
    assert version.standing == "retired"
    last = version.history[-1]
    assert hour_of(last.time_s) == CHANGE + 10.5, "when its last labels came"
    assert last.rows > 0
    figures = world.sidecar.measurements.measured().watched
    [labels] = [one.labels for one in figures if one.tenant == "rolls" and one.role == "live"][:1]
    assert labels == (CHANGE * STEPS - 1) * LABELLED + ROWS
    live = world.version("rolls", 2)
    assert live.calibration.labels == 12 * STEPS * LABELLED, "of its own last twelve hours"


def test_a_bad_shadow_is_seen_by_the_labels_of_the_answers_and_triggers_nothing(
    world: World,
) -> None:
    shadow = world.version("rolls", 3, "shadow")
    alarms = world.alarms("rolls", version=3, role="shadow")
    assert {alarm.kind for alarm in alarms} == {"accuracy", "calibration"}
    assert all(alarm.ended_s is not None for alarm in alarms), "it was taken out"
    assert all(hour_of(alarm.ended_s or 0) <= CHANGE + 1 for alarm in alarms)
    assert shadow.state != "alarm"
    assert world.adapter("rolls").triggers == ()


def test_rollouts_are_marked_on_the_time_axis(world: World) -> None:
    marks = world.adapter("rolls").rollouts
    assert [(mark.live, mark.canary, mark.shadow) for mark in marks] == [
        (1, None, ()),
        (1, 2, (3,)),
        (2, None, ()),
    ]
    assert hour_of(marks[1].time_s) == pytest.approx(12, abs=0.01)


# --- triggers, and the whole -------------------------------------------------------------


def test_drift_that_stays_triggers_after_its_patience_and_again_after_the_cooldown(
    world: World,
) -> None:
    [alarm] = world.alarms("drifts")
    triggers = world.adapter("drifts").triggers
    first, second = sorted(trigger.raised_s for trigger in triggers)
    assert {trigger.reason for trigger in triggers} == {"drift"}
    assert 3600 <= first - alarm.began_s <= 3600 + 2 * BUCKET_S
    assert second - first == COOLDOWN_H * 3600
    assert {trigger.delivered for trigger in triggers} == {"no-receiver"}
    harm = world.adapter("turns").triggers
    assert {trigger.reason for trigger in harm} == {"accuracy", "calibration"}
    for quiet in ("calm", "borrows", "private", "rolls"):
        assert world.adapter(quiet).triggers == ()


def test_a_trigger_names_the_predictions_that_show_why(world: World) -> None:
    chosen = select(TRIGGERS).where(TRIGGERS.c.tenant.in_(["drifts", "turns"]))
    with world.sidecar.state.database.read() as connection:
        rows = connection.execute(chosen).fetchall()
    assert {(row.tenant, row.reason) for row in rows} == {
        *(("drifts", "drift"), ("turns", "accuracy"), ("turns", "calibration")),
    }
    for row in rows:
        tenant, reason = row.tenant, row.reason
        evidence = json.loads(row.body)["data"]["evidence"]
        names = evidence["prediction_ids"]
        assert names
        assert len(set(names)) == len(names)
        assert all(name.startswith(f"{tenant}-") for name in names)
        if reason == "drift":
            assert evidence["alarm_evidence_log10"] > 3
            assert evidence["labels"] is None
        else:
            assert len(names) == 20
            assert evidence["labels"]["coverage"] == pytest.approx(LABELLED / ROWS, abs=0.03)


def test_the_fleet_did_not_move_when_some_did(world: World) -> None:
    fleet = world.fleet.fleet
    assert fleet is not None
    assert not fleet.alarm
    assert fleet.watched == len(world.fleet.adapters)
    assert fleet.moved == 4
    assert fleet.reading.startswith(f"4 of {fleet.watched} adapters moved")


def test_the_worst_come_first(world: World) -> None:
    states = [line.state for line in world.fleet.adapters]
    order = ["alarm", "warning", "unknown", "ok"]
    assert states == sorted(states, key=order.index)
    assert all(line.why for line in world.fleet.adapters)


def test_metrics_tell_what_the_report_tells(world: World) -> None:
    series = world.series()
    labels = '{adapter="support",tenant="drifts",version="1"}'
    drift = primary(world.version("drifts")).drift
    assert series[f"tenantry_drift_effect_ratio{labels}"] == drift.effect.value
    assert series[f"tenantry_drift_alarm{labels}"] == 1
    assert series[f"tenantry_drift_alarms_total{labels}"] == 1
    assert series[f"tenantry_labels_total{labels}"] == HOURS * STEPS * LABELLED
    triggers = '{adapter="support",reason="drift",tenant="drifts",version="1"}'
    assert series[f"tenantry_retrain_triggers_total{triggers}"] == 2
    assert series["tenantry_fleet_moved"] == 4
    assert series["tenantry_fleet_drift_alarm"] == 0
    assert series["tenantry_log_lag_seconds"] == 0
    retired = '{adapter="support",tenant="rolls",version="3"}'
    assert series.get(f"tenantry_drift_alarm{retired}", 0) == 0


def test_no_figure_is_zero_for_want_of_data(world: World) -> None:
    for line in world.fleet.adapters:
        for figure in (line.effect, line.calibration_error, line.accuracy, line.estimated):
            assert (figure.value is None) == (figure.unknown is not None)
            assert figure.value is None or math.isfinite(figure.value)
