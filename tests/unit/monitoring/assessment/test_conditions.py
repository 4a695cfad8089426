from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from monitoring.assessment.comparison import Comparison, comparison_of
from monitoring.assessment.conditions import condition_of, rules_of
from monitoring.assessment.memo import Memo
from monitoring.assessment.policy import Policy
from monitoring.report import Alarm, Figure
from monitoring.triggers.rules import Condition
from monitoring.triggers.trigger import time_of
from monitoring.watched import Watched
from tests.fakes.judged import POLICY, Judged, judged
from tests.fakes.logs import DAY_S
from tests.fakes.traffic import Tenant

ACME = Watched("acme", "support", 1, "live")
END_US = round(DAY_S * 1e6) + 600_000_000
BAD = Figure(value=0.3, lower=0.2, upper=0.4, count=70)
MEMO = Memo(
    time_us=END_US,
    labels_us=END_US - 1,
    accuracy=BAD,
    calibration_error=BAD,
    audited=4,
    label_coverage=0.5,
    effect=Figure(value=3.0, lower=2.0, upper=4.0, count=50),
    beyond_since_us=END_US - 5,
)


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Judged]:
    with judged(tmp_path) as found:
        tenant = Tenant("acme", seed=3)
        tenant.publish(found.log, time_s=DAY_S, rows=60)
        tenant.send(found.log, 50, time_s=DAY_S + 1)
        found.settle()
        yield found


def alarm(kind: Any) -> Alarm:
    return Alarm(kind=kind, began_s=DAY_S, ended_s=None, reason="", evidence=4.5)


def condition(
    desk: Judged, *kinds: str, comparison: Comparison | None = None, empty: bool = False
) -> Condition:
    window = None if empty else desk.desk.window_rows(ACME, 50)
    alarms = tuple(alarm(kind) for kind in kinds)
    compared = comparison or comparison_of(desk.desk, ACME)
    return condition_of(desk.desk, ACME, MEMO, alarms, window, compared, POLICY)


def test_drift_is_told_of_the_primary_window(desk: Judged) -> None:
    found = condition(desk, "drift")
    assert found.drift is not None
    assert found.drift.window.name == "last-50"
    assert found.drift.window.rows == 50
    assert found.drift.effect.lower == 2.0
    assert found.drift.since_us == END_US - 5
    assert found.drift.alarm_since_us == round(DAY_S * 1e6)
    assert found.drift.alarm_evidence_log10 == 4.5
    assert (found.watched, found.digest, found.standing) == (
        ACME,
        "sha256:acme.support.1",
        "live",
    )
    assert (found.reference_source, found.reference_rows) == ("holdout", 60)


def test_without_an_alarm_only_the_effect_is_told(desk: Judged) -> None:
    drift = condition(desk).drift
    assert drift is not None
    assert drift.alarm_since_us is drift.alarm_evidence_log10 is None


def test_drift_against_anything_but_its_own_reference_is_none(desk: Judged) -> None:
    own = comparison_of(desk.desk, ACME)
    for other in (
        Comparison("pooled", own.reference, None),
        Comparison("holdout", None, "it has 2 classes"),
        Comparison("none", None, None),
    ):
        assert condition(desk, "drift", comparison=other).drift is None
    assert condition(desk, "drift", empty=True).drift is None


def test_label_figures_are_told_where_their_own_alarm_is_on(desk: Judged) -> None:
    assert condition(desk, "drift").labels is None
    accuracy = condition(desk, "accuracy").labels
    assert accuracy is not None
    assert accuracy.accuracy.lower == 0.2
    assert not accuracy.calibration_error.is_defined
    calibration = condition(desk, "calibration").labels
    assert calibration is not None
    assert not calibration.accuracy.is_defined
    assert calibration.calibration_error.lower == 0.2
    assert calibration.labels.count == 70
    assert calibration.labels.audited == 4
    assert calibration.labels.coverage == 0.5
    assert calibration.window.end == time_of(END_US - 1)
    assert calibration.reference_accuracy.is_defined


def test_rules_take_microseconds() -> None:
    rules = rules_of(Policy(drift_patience_s=1.5, webhook_cooldown_s=60.0, accuracy_drop_max=0.2))
    assert (rules.drift_patience_us, rules.cooldown_us) == (1_500_000, 60_000_000)
    assert rules.accuracy_drop_max == 0.2
