import pytest

from monitoring.assessment.alarms import Kind
from monitoring.assessment.comparison import Comparison
from monitoring.assessment.harm import Harm
from monitoring.assessment.verdict import as_of_now, verdict
from monitoring.detectors.figures import unknown
from monitoring.report import Alarm, Figure, ReferenceSource

NEAR = Figure(value=0.3, lower=0.1, upper=0.6, count=100)
FAR = Figure(value=3.0, lower=1.5, upper=5.0, count=100)
HARM: dict[Harm, str] = {"accuracy": "less is right", "calibration": "confidence is off"}


def on(*kinds: Kind) -> tuple[Alarm, ...]:
    return tuple(
        Alarm(kind=kind, began_s=1.0, ended_s=None, reason=f"began as {kind}", evidence=None)
        for kind in kinds
    )


def compared(source: ReferenceSource = "holdout", failure: str | None = None) -> Comparison:
    return Comparison(source, None, failure)


def test_what_hurts_users_goes_before_what_moved() -> None:
    near = (HARM, NEAR, compared(), "within tolerance")
    assert verdict(on("drift", "calibration"), *near) == ("alarm", "confidence is off")
    assert verdict(on("drift", "calibration", "accuracy"), *near) == ("alarm", "less is right")
    assert verdict(on("drift"), *near)[0] == "alarm"


def test_a_drift_alarm_says_how_it_stands_now_and_whose_it_is() -> None:
    _, why = verdict(on("drift"), HARM, FAR, compared(), "beyond tolerance", "the inputs moved")
    assert why == "inputs changed; the newest window is beyond tolerance; the inputs moved"


def test_harm_is_an_alarm_whatever_is_known_of_drift() -> None:
    for comparison in (compared("none"), compared("pooled"), compared("holdout", "broken")):
        state, why = verdict(on("accuracy"), HARM, unknown("no reference"), comparison, "")
        assert (state, why) == ("alarm", "less is right")


@pytest.mark.parametrize(
    ("comparison", "effect", "words"),
    [
        (compared("none"), unknown("no reference"), "publish with a hold-out"),
        (compared("holdout", "it has 2 classes"), NEAR, "cannot be used: it has 2 classes"),
        (compared(), unknown("too few rows: 3 of 50"), "too few rows: 3 of 50"),
        (compared("pooled"), FAR, "raises no alarm; beyond tolerance"),
    ],
)
def test_what_cannot_be_told_is_unknown_and_says_why(
    comparison: Comparison, effect: Figure, words: str
) -> None:
    state, why = verdict((), HARM, effect, comparison, "beyond tolerance")
    assert state == "unknown"
    assert words in why


def test_drift_without_an_alarm_is_a_warning_only_with_its_whole_interval() -> None:
    assert verdict((), HARM, FAR, compared(), "far") == ("warning", "inputs are far")
    perhaps = Figure(value=1.5, lower=0.9, upper=3.0, count=60)
    assert verdict((), HARM, perhaps, compared(), "perhaps") == ("ok", "perhaps")
    assert verdict((), HARM, NEAR, compared(), "near") == ("ok", "near")


def test_an_alarm_that_ended_since_is_told_as_one_that_was() -> None:
    assert as_of_now("alarm", "bad", on("drift"), "live") == ("alarm", "bad")
    assert as_of_now("ok", "fine", (), "retired") == ("ok", "fine")
    state, why = as_of_now("alarm", "bad", (), "retired")
    assert state == "unknown"
    assert why == "retired by now, and in alarm until then: bad"
