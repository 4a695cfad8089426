"""Windows over the buckets of one version: by count, by time, and between two times."""

from collections.abc import Iterable
from typing import NamedTuple

from monitoring.errors import Incompatible
from monitoring.sketches.sketch import Sketch
from monitoring.state.calendar import SECOND_US, Calendar
from monitoring.state.head import Head
from monitoring.state.kinds import Kind
from monitoring.state.objects import Objects

_LEVELS = (Kind.FINE, Kind.HOUR, Kind.DAY)


class WindowRows(NamedTuple):
    """The rows of some buckets that lie side by side."""

    sketch: Sketch
    start_s: float  # of the oldest bucket
    end_s: float  # of the newest one


class _Bucket(NamedTuple):
    end_us: int
    start_us: int
    kind: Kind
    predictions: int


def newest_rows(
    objects: Objects, owner: int, head: Head, rows: int, until_us: int
) -> WindowRows | None:
    """Return the newest buckets until they hold so many rows; None where there is none.

    Buckets that begin at or after `until_us` don't count.
    """
    chosen, found = [], 0
    for bucket in _buckets(head, 0, until_us):
        chosen.append(bucket)
        found += bucket.predictions
        if found >= rows:
            break
    return _summed(objects, owner, chosen)


def between(
    objects: Objects, owner: int, head: Head, from_us: int, until_us: int
) -> WindowRows | None:
    """Return the buckets that begin at or after a time and before another; None: there is none."""
    return _summed(objects, owner, list(_buckets(head, from_us, until_us)))


def predictions_between(head: Head, from_us: int, until_us: int) -> int:
    """Return how many predictions the buckets hold that begin between two times."""
    return sum(bucket.predictions for bucket in _buckets(head, from_us, until_us))


def _buckets(head: Head, from_us: int, until_us: int) -> Iterable[_Bucket]:
    """Return the buckets that begin between two times, newest first."""
    calendar = Calendar(head.bucket_us, 1, 1, 1)
    found = [
        _Bucket(start + calendar.length_us(kind), start, kind, count)
        for kind in _LEVELS
        for start, count in head.buckets(kind).items()
        if from_us <= start < until_us
    ]
    return sorted(found, reverse=True)


def _summed(objects: Objects, owner: int, buckets: list[_Bucket]) -> WindowRows | None:
    """Return the sum of buckets, newest first, up to where the map of the features changes."""
    sketches: dict[_Bucket, Sketch] = {}
    for kind in _LEVELS:
        some = [bucket for bucket in buckets if bucket.kind == kind]
        loaded = objects.several(owner, kind, [bucket.start_us for bucket in some])
        sketches.update(zip(some, loaded, strict=True))
    whole: Sketch | None = None
    chosen: list[_Bucket] = []
    for bucket in buckets:
        sketch = sketches[bucket]
        if whole is None:
            whole = Sketch.empty(sketch.classes)
        try:
            whole = whole.merge(sketch)
        except Incompatible:
            break
        chosen.append(bucket)
    if whole is None:
        return None
    start_us = min(bucket.start_us for bucket in chosen)
    end_us = max(bucket.end_us for bucket in chosen)
    return WindowRows(whole, start_us / SECOND_US, end_us / SECOND_US)
