"""How a version stands, in one word and one sentence for whoever is on call."""

from collections.abc import Mapping

from monitoring.assessment.alarms import Alarms, active, any_active
from monitoring.assessment.comparison import Comparison
from monitoring.assessment.harm import HARM, Harm
from monitoring.report import Figure, Standing, State


def verdict(
    alarms: Alarms,
    harm: Mapping[Harm, str],
    effect: Figure,
    comparison: Comparison,
    reading: str,
    whose: str | None = None,
) -> tuple[State, str]:
    """Return state and sentence; what hurts users goes before what only moved.

    `harm` is what label figures say, `reading` how far the newest window is, `whose` whether
    inputs or adapter moved. An alarm is one that is on. Drift beyond its tolerance without an
    alarm is a warning, since the watch alone keeps the budget of false alarms.
    """
    told = reading if whose is None else f"{reading}; {whose}"
    for kind in HARM:
        if active(alarms, kind) is not None:
            return "alarm", harm[kind]
    if active(alarms, "drift") is not None:
        return "alarm", f"inputs changed; the newest window is {told}"
    if comparison.source == "none":
        return "unknown", "there is no reference to compare with: publish with a hold-out"
    if comparison.failure is not None:
        return "unknown", f"the reference cannot be used: {comparison.failure}"
    if effect.unknown is not None:
        return "unknown", f"drift is unknown: {effect.unknown}"
    if comparison.source == "pooled":
        return "unknown", (
            "no reference of its own: compared with the pooled one of its backbone, which raises"
            f" no alarm; {reading}"
        )
    if effect.lower is not None and effect.lower > 1:
        return "warning", f"inputs are {told}"
    return "ok", reading


def as_of_now(state: State, why: str, alarms: Alarms, standing: Standing) -> tuple[State, str]:
    """Return a verdict as it is when it is asked for: the alarms may have ended since."""
    if state != "alarm" or any_active(alarms):
        return state, why
    return "unknown", f"{standing} by now, and in alarm until then: {why}"
