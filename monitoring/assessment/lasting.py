"""The alarms of a version as they are now: they end when no more rows can come."""

from monitoring.assessment import alarms as life
from monitoring.state.view import View
from monitoring.watched import Watched


def lasting(view: View, watched: Watched, now_s: float) -> life.Alarms:
    """Return a version's alarms; those that cannot last ended with the last rollout, if with any.

    No bucket of a version that gets no rows ends, so nobody may have written that down.
    """
    alarms = view.alarms(watched)
    if not life.any_active(alarms) or life.can_last(watched.role, view.standing(watched)):
        return alarms
    marks = view.rollouts(watched.tenant, watched.adapter)
    return life.all_ended(alarms, min(marks[-1].time_s, now_s) if marks else now_s)
