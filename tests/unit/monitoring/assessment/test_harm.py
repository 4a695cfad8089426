from typing import Any

import pytest

from monitoring.assessment.alarms import Alarms
from monitoring.assessment.harm import estimate_of, judged, reasons
from monitoring.assessment.memo import Memo
from monitoring.assessment.policy import Policy
from monitoring.detectors.figures import unknown
from monitoring.report import Figure
from service.measures import UNDEFINED, Estimate

POLICY = Policy(calibration_error_max=0.1, accuracy_drop_max=0.05)
SURE = Estimate(0.9, 0.9, 0.9)  # of a hold-out without end
WORSE = Figure(value=0.7, lower=0.6, upper=0.8, count=100)
FINE = Figure(value=0.88, lower=0.8, upper=0.95, count=100)


def look(
    alarms: Alarms = (), reference: Estimate = SURE, wider: float = 1.0, **figures: Any
) -> Alarms:
    return judged(alarms, Memo(**figures), reference, POLICY, wider, 3_000_000)


def kinds(alarms: Alarms) -> list[tuple[str, bool]]:
    return [(alarm.kind, alarm.ended_s is None) for alarm in alarms]


def test_accuracy_beyond_its_objective_with_its_whole_interval_is_an_alarm() -> None:
    [alarm] = look(accuracy=WORSE)
    assert (alarm.kind, alarm.began_s, alarm.ended_s) == ("accuracy", 3.0, None)
    assert alarm.reason == (
        "accuracy is 0.700 (0.600 to 0.800), the hold-out's was 0.900:"
        " a drop of 0.200 (0.100 to 0.300) where 0.05 is tolerated, by 100 labels"
    )


def test_an_interval_that_is_widened_for_many_looks_may_reach_the_objective() -> None:
    assert kinds(look(accuracy=WORSE, wider=1.4)) == [("accuracy", True)]
    assert look(accuracy=WORSE, wider=1.6) == ()


def test_the_hold_out_is_a_sample_too() -> None:
    assert look(accuracy=WORSE, reference=Estimate(0.9, 0.7, 0.97)) == ()


def test_confidence_that_is_off_is_an_alarm_of_its_own() -> None:
    off = Figure(value=0.2, lower=0.15, upper=0.25, count=80)
    [alarm] = look(calibration_error=off, accuracy=FINE)
    assert alarm.kind == "calibration"
    assert alarm.reason.startswith("confidence is off by 0.200 (0.150 to 0.250), 0.1 is tolerated")


def test_an_alarm_goes_on_until_its_figure_is_within_the_objective() -> None:
    on = look(accuracy=WORSE)
    unsure = Figure(value=0.8, lower=0.7, upper=0.9, count=100)
    assert look(on, accuracy=unsure) == on, "beyond, though not with the whole interval"
    [over] = look(on, accuracy=FINE)
    assert over.ended_s == 3.0
    assert over.reason == on[0].reason


def test_what_is_not_known_is_no_alarm() -> None:
    assert look(accuracy=unknown("too few labels")) == ()
    on = look(accuracy=WORSE)
    assert kinds(look(on, accuracy=unknown("too few labels"))) == [("accuracy", False)]
    assert look(accuracy=WORSE, reference=UNDEFINED) == (), "nothing to compare with"


def test_reasons_tell_the_figures_of_now() -> None:
    now = Figure(value=0.5, lower=0.4, upper=0.6, count=300)
    assert reasons(Memo(accuracy=now), SURE, POLICY)["accuracy"].startswith("accuracy is 0.500 (")


@pytest.mark.parametrize("missing", ["value", "lower", "upper"])
def test_a_figure_without_all_its_parts_is_no_estimate(missing: str) -> None:
    parts: dict[str, Any] = {"value": 0.5, "lower": 0.4, "upper": 0.6} | {missing: None}
    assert not estimate_of(Figure(**parts)).is_defined
