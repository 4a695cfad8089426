"""How a version stood over time: every point of the last two days, then one an hour."""

from collections.abc import Iterable

from monitoring.report import HistoryPoint
from monitoring.state.calendar import DAY_US, HOUR_US, SECOND_US, start_of
from monitoring.state.head import Head
from monitoring.state.kinds import Kind
from monitoring.state.objects import Objects


def add_point(objects: Objects, owner: int, head: Head, point: HistoryPoint) -> None:
    """Add a point behind the others; `head` is going to be written."""
    day = start_of(round(point.time_s * SECOND_US), DAY_US)
    if day in head.history:
        objects.edit(owner, Kind.HISTORY, day).append(point)
        return
    older = [start for start in head.history if start <= day - 2 * DAY_US]
    for start in older[-2:]:  # those before were thinned when they became old
        thin = _hourly(objects.get(owner, Kind.HISTORY, start))
        objects.put(owner, Kind.HISTORY, thin, start)
    objects.add(owner, Kind.HISTORY, [point], day)
    head.history = sorted([*head.history, day])


def points(objects: Objects, owner: int, head: Head) -> tuple[HistoryPoint, ...]:
    """Return all points, oldest first."""
    days = objects.several(owner, Kind.HISTORY, head.history)
    return tuple(point for day in days for point in day)


def _hourly(day: Iterable[HistoryPoint]) -> list[HistoryPoint]:
    """Return the last point of each hour."""
    last = {start_of(round(point.time_s * SECOND_US), HOUR_US): point for point in day}
    return list(last.values())
