"""Kinds of objects that owners have, and how each becomes bytes."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any


class Kind(IntEnum):
    """What an object is. The numbers are in databases: they don't change their meaning."""

    HEAD = 0  # of a version in a role: totals, and what else there is of it
    FINE = 1  # sketch of one of the finest buckets
    HOUR = 2  # sketch of an hour
    DAY = 3  # sketch of a day
    SAMPLE = 4  # rows of an hour
    WATCH = 5  # state of the continuous watch
    HISTORY = 6  # points of a day
    ALARMS = 7
    RECENT = 8  # the newest rows, with embeddings
    MEMO = 9  # the judge's own notes
    ADAPTER = 10  # rollouts and quarantines
    REFERENCE = 11  # what detectors made of a reference's rows
    REFERENCE_ROWS = 12
    PARTIAL = 13  # a reference that has not come as a whole yet
    POOL = 14  # rows of all references on a backbone


def twice(_: Any, size: int) -> int:
    """Return about how much memory an object takes: more than its bytes at rest."""
    return 2 * size + 512


@dataclass(frozen=True, slots=True)
class Codec:
    """From an object to bytes and back; exact."""

    to_bytes: Callable[[Any], bytes]
    from_bytes: Callable[[bytes], Any]
    weight: Callable[[Any, int], int] = twice  # memory, of the object and its bytes at rest


Codecs = Mapping[Kind, Codec]
