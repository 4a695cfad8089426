"""Alarms: when they begin, and when they end. Pure functions over a version's list, latest first.

At most one of a kind is on at a time.
"""

from typing import Literal, get_args

from msgspec.structs import replace

from monitoring.report import Alarm, Standing
from monitoring.watched import Role

Kind = Literal["drift", "calibration", "accuracy", "fleet"]
KINDS: tuple[Kind, ...] = get_args(Kind)
Alarms = tuple[Alarm, ...]


def active(alarms: Alarms, kind: Kind) -> Alarm | None:
    """Return the alarm of a kind that is on; None: none is."""
    return next((one for one in alarms if one.kind == kind and one.ended_s is None), None)


def any_active(alarms: Alarms) -> bool:
    """Say whether an alarm is on."""
    return any(one.ended_s is None for one in alarms)


def begun(alarms: Alarms, alarm: Alarm) -> Alarms:
    """Return the alarms with one that begins; one of its kind that is on goes on as it is."""
    return alarms if active(alarms, alarm.kind) else (alarm, *alarms)


def ended(alarms: Alarms, kind: Kind, time_s: float) -> Alarms:
    """Return the alarms with that of a kind ended, where one is on."""
    on = active(alarms, kind)
    return tuple(replace(one, ended_s=time_s) if one is on else one for one in alarms)


def all_ended(alarms: Alarms, time_s: float) -> Alarms:
    """Return the alarms with all ended that are on."""
    return tuple(
        replace(one, ended_s=max(time_s, one.began_s)) if one.ended_s is None else one
        for one in alarms
    )


def can_last(role: Role, standing: Standing) -> bool:
    """Say whether alarms of a version in a role can still be on.

    No row comes any more where it has another role now, was retired, or is quarantined; but those
    that name a version in their path may come whatever its role.
    """
    return standing not in ("retired", "quarantined") and role in (standing, "pinned")
