import pytest

from monitoring.assessment import alarms as life
from monitoring.assessment.alarms import Alarms, Kind
from monitoring.report import Alarm, Standing
from monitoring.watched import ROLES, Role


def alarm(kind: Kind = "drift", began_s: float = 10.0, ended_s: float | None = None) -> Alarm:
    return Alarm(kind=kind, began_s=began_s, ended_s=ended_s, reason="why", evidence=None)


def test_an_alarm_begins_in_front_of_older_ones() -> None:
    old = (alarm(ended_s=20.0),)
    assert life.begun(old, alarm(began_s=30.0)) == (alarm(began_s=30.0), *old)


def test_one_that_is_on_goes_on_as_it_is() -> None:
    on: Alarms = (alarm(), alarm("accuracy"))
    assert life.begun(on, alarm(began_s=30.0)) is on
    assert len(life.begun(on, alarm("calibration", 30.0))) == 3


def test_an_alarm_ends_alone() -> None:
    on: Alarms = (alarm(), alarm("accuracy"), alarm(began_s=1.0, ended_s=2.0))
    ended = life.ended(on, "drift", 40.0)
    assert ended == (alarm(ended_s=40.0), *on[1:])
    assert life.active(ended, "drift") is None
    assert life.active(ended, "accuracy") == alarm("accuracy")
    assert life.ended(ended, "drift", 50.0) == ended, "it is over already"


def test_all_end_together_and_none_before_it_began() -> None:
    on: Alarms = (alarm(), alarm("accuracy", 60.0), alarm("calibration", 1.0, 2.0))
    ended = life.all_ended(on, 40.0)
    assert [one.ended_s for one in ended] == [40.0, 60.0, 2.0]
    assert life.any_active(on)
    assert not life.any_active(ended)


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("standing", ["retired", "quarantined"])
def test_who_does_not_answer_is_in_no_alarm(role: Role, standing: Standing) -> None:
    assert not life.can_last(role, standing)


def test_alarms_last_in_the_role_that_a_version_has_now() -> None:
    assert life.can_last("live", "live")
    assert life.can_last("canary", "canary")
    assert not life.can_last("canary", "live"), "it answers all by now, and is watched as that"
    assert life.can_last("pinned", "shadow"), "who asks for it by number gets an answer"
