import math
from dataclasses import replace

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitoring.triggers.rules import Condition, beyond_since, drop_of, judge
from monitoring.triggers.trigger import (
    PREDICTION_IDS_MAX,
    Reason,
    Span,
    Trigger,
    key_of,
    microseconds_of,
    time_of,
)
from monitoring.watched import Role, Watched
from service.measures import UNDEFINED, Estimate, wilson
from tests.fakes.triggers import HOUR_US, IDS, NOW_US, POLICY, condition, drift, labels

BAD_CALIBRATION = labels(calibration_error=Estimate(0.2, 0.11, 0.29))
BAD_ACCURACY = labels(accuracy=Estimate(0.7, 0.65, 0.75))


def reasons(found: Condition, last_us: dict[Reason, int] | None = None) -> list[Reason]:
    return [trigger.reason for trigger in judge(found, POLICY, last_us or {})]


def at(trigger: Trigger, time_us: int) -> Trigger:
    return msgspec.structs.replace(trigger, raised=time_of(time_us))


def test_a_healthy_version_raises_nothing() -> None:
    assert reasons(condition()) == []


def test_what_is_not_known_proves_nothing() -> None:
    nothing = labels(calibration_error=UNDEFINED, accuracy=UNDEFINED, reference_accuracy=UNDEFINED)
    unknown = drift(effect=UNDEFINED, since_us=None)
    assert reasons(condition(drift=unknown, labels=nothing)) == []
    assert reasons(condition(drift=None, labels=None)) == []
    assert reasons(condition(labels=labels(reference_accuracy=UNDEFINED))) == []


def test_calibration_beyond_its_objective_with_the_whole_interval_is_harm() -> None:
    assert reasons(condition(labels=BAD_CALIBRATION)) == ["calibration"]
    wide = labels(calibration_error=Estimate(0.3, 0.1, 0.5))
    assert reasons(condition(labels=wide)) == []


def test_accuracy_is_harm_only_beyond_what_both_samples_leave_open() -> None:
    assert reasons(condition(labels=BAD_ACCURACY)) == ["accuracy"]
    of_few = replace(BAD_ACCURACY, reference_accuracy=Estimate(0.91, 0.7, 0.99))
    assert reasons(condition(labels=of_few)) == []
    tolerated = labels(accuracy=Estimate(0.87, 0.868, 0.872))
    assert reasons(condition(labels=tolerated)) == []


def test_drift_must_stay_for_the_stated_time() -> None:
    assert reasons(condition(drift=drift())) == ["drift"]
    assert reasons(condition(drift=drift(since_us=NOW_US - HOUR_US + 1))) == []
    assert reasons(condition(drift=drift(since_us=NOW_US - HOUR_US))) == ["drift"]


def test_an_alarm_that_stays_is_enough_and_the_longer_of_both_counts() -> None:
    alarm = drift(effect=UNDEFINED, since_us=None, alarm_since_us=NOW_US - 2 * HOUR_US)
    [trigger] = judge(condition(drift=alarm), POLICY, {})
    assert (trigger.evidence.value, trigger.evidence.since) == (None, None)
    assert trigger.evidence.alarm_since == time_of(NOW_US - 2 * HOUR_US)
    assert trigger.summary == "the continuous watch has been in alarm for 2 hours"
    fresh = drift(since_us=NOW_US, alarm_since_us=NOW_US - HOUR_US)
    assert reasons(condition(drift=fresh)) == ["drift"]


def test_time_without_rows_shows_no_drift() -> None:
    silent = Span(name="1h", start=time_of(0), end=time_of(NOW_US - 90 * 60_000_000), rows=5)
    assert reasons(condition(drift=drift(window=silent))) == []


@pytest.mark.parametrize("role", ["canary", "shadow", "pinned"])
def test_only_traffic_of_the_live_role_is_judged(role: Role) -> None:
    bad = condition(drift=drift(), labels=BAD_CALIBRATION)
    assert len(reasons(bad)) == 2
    assert reasons(replace(bad, watched=Watched("acme", "router", 3, role))) == []


@pytest.mark.parametrize("standing", ["canary", "shadow", "retired", "quarantined"])
def test_only_the_version_that_answers_is_judged(standing: str) -> None:
    bad = replace(condition(drift=drift()), standing=standing)  # type: ignore[arg-type]
    assert reasons(bad) == []


def test_an_adapter_cools_down_per_reason_and_over_its_versions() -> None:
    bad = condition(drift=drift(), labels=BAD_CALIBRATION)
    day = POLICY.cooldown_us
    assert reasons(bad, {"drift": NOW_US - day + 1}) == ["calibration"]
    assert reasons(bad, {"drift": NOW_US - day, "calibration": NOW_US - 5}) == ["drift"]
    assert reasons(bad, {"drift": NOW_US + 5, "calibration": NOW_US}) == [], "as in a replay"


def test_the_evidence_names_window_interval_tolerance_and_some_of_the_rows() -> None:
    [of_drift] = judge(condition(drift=drift()), POLICY, {})
    evidence = of_drift.evidence
    assert (evidence.statistic, evidence.tolerance) == ("drift_effect_ratio", 1.0)
    assert (evidence.value, evidence.lower, evidence.upper) == (1.6, 1.2, 2.0)
    assert evidence.since == time_of(NOW_US - 2 * HOUR_US)
    assert evidence.window.rows == 512
    assert evidence.prediction_ids == IDS[:PREDICTION_IDS_MAX]
    assert evidence.labels is None


def test_the_evidence_of_harm_names_the_labels_and_the_reference() -> None:
    [of_labels] = judge(condition(labels=BAD_ACCURACY), POLICY, {})
    evidence = of_labels.evidence
    assert evidence.labels is not None
    assert (evidence.labels.count, evidence.labels.audited) == (400, 50)
    assert evidence.value == pytest.approx(0.21)
    assert evidence.lower is not None
    assert evidence.tolerance < evidence.lower < 0.21
    assert (evidence.reference.rows, evidence.reference.accuracy) == (1000, 0.91)
    assert of_labels.summary.startswith("accuracy 0.7 is below the reference's by 0.21 (")


def test_drift_that_stays_counts_from_its_begin_and_a_gap_ends_it() -> None:
    beyond, within = Estimate(1.5, 1.1, 1.9), Estimate(1.5, 0.9, 2.1)
    since = beyond_since(None, beyond, 10)
    assert since == 10
    assert beyond_since(since, beyond, 20) == 10
    assert beyond_since(since, within, 20) is None
    assert beyond_since(since, UNDEFINED, 20) is None
    assert beyond_since(None, Estimate(1.0, 1.0, 1.0), 20) is None


@given(st.integers(1, 400), st.integers(1, 400), st.data())
def test_a_drop_lies_in_its_interval_and_is_wider_than_each_share_alone(
    n: int, m: int, data: st.DataObject
) -> None:
    before = wilson(data.draw(st.integers(0, n)), n)
    now = wilson(data.draw(st.integers(0, m)), m)
    drop = drop_of(before, now)
    assert drop.lower <= drop.value <= drop.upper
    assert drop.value - drop.lower >= max(before.value - before.lower, now.upper - now.value) - 1e-9
    assert math.isnan(drop_of(UNDEFINED, now).value)


@given(st.integers(0, 10 * HOUR_US), st.integers(0, 4 * HOUR_US), st.integers(1, 4 * HOUR_US))
def test_triggers_that_a_cooldown_lies_between_have_different_keys(
    begin_us: int, more_us: int, cooldown_us: int
) -> None:
    [trigger] = judge(condition(drift=drift()), POLICY, {})
    first = at(trigger, NOW_US + begin_us)
    second = at(trigger, NOW_US + begin_us + cooldown_us + more_us)
    assert key_of(first, cooldown_us) != key_of(second, cooldown_us)
    assert key_of(first, cooldown_us) == key_of(first, cooldown_us)


@given(st.integers(0, 2**52))
def test_times_are_kept_to_the_microsecond(time_us: int) -> None:
    assert microseconds_of(time_of(time_us)) == time_us


def test_keys_tell_versions_and_reasons_apart_and_hold_for_a_period() -> None:
    bad = condition(drift=drift(), labels=BAD_CALIBRATION)
    both = judge(bad, POLICY, {})
    later = judge(
        replace(bad, time_us=NOW_US + HOUR_US, watched=Watched("acme", "router", 4, "live")),
        POLICY,
        {},
    )
    keys = {key_of(trigger, POLICY.cooldown_us) for trigger in (*both, *later)}
    assert len(keys) == 4
    again = at(both[0], NOW_US + HOUR_US)
    assert key_of(again, POLICY.cooldown_us) in keys
    assert key_of(again, 0) != key_of(both[0], 0)
