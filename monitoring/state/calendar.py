"""Time buckets: which one an event belongs into, and which are rolled up.

The newest `fine` buckets are of `bucket_us`, then come hours, then days; how far each reaches
follows from the watermark alone. All buckets are aligned to 1970, so a coarse one holds whole fine
ones. Every event is in exactly one bucket, and stays in one that covers its time.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from monitoring.rows import IntArray
from monitoring.state.kinds import Kind

SECOND_US = 1_000_000
HOUR_US = 3600 * SECOND_US
DAY_US = 24 * HOUR_US


@dataclass(frozen=True, slots=True)
class Calendar:
    """Lengths and numbers of buckets."""

    bucket_us: int
    fine: int
    hours: int
    days: int

    def length_us(self, kind: Kind) -> int:
        """Return how long a bucket of a kind is."""
        return {Kind.FINE: self.bucket_us, Kind.HOUR: HOUR_US, Kind.DAY: DAY_US}[kind]

    def fine_from_us(self, watermark_us: int) -> int:
        """Return where the finest buckets begin."""
        return start_of(watermark_us, self.bucket_us) - (self.fine - 1) * self.bucket_us

    def hours_from_us(self, watermark_us: int) -> int:
        """Return where hours begin."""
        return start_of(self.fine_from_us(watermark_us), HOUR_US) - (self.hours - 1) * HOUR_US

    def days_from_us(self, watermark_us: int) -> int:
        """Return where days begin: what is older is not kept."""
        return start_of(watermark_us, DAY_US) - self.days * DAY_US

    def place(self, time_us: int, watermark_us: int) -> tuple[Kind, int] | None:
        """Return the kind and start of the bucket that covers a time; None: it is too old."""
        if time_us >= self.fine_from_us(watermark_us):
            return Kind.FINE, start_of(time_us, self.bucket_us)
        if time_us >= self.hours_from_us(watermark_us):
            return Kind.HOUR, start_of(time_us, HOUR_US)
        if time_us >= self.days_from_us(watermark_us):
            return Kind.DAY, start_of(time_us, DAY_US)
        return None

    def parted(
        self, times_us: IntArray, watermark_us: int
    ) -> list[tuple[Kind, int, npt.NDArray[np.int64] | None]]:
        """Return the buckets of some events, oldest first, with the rows of each.

        Rows are None where there is one bucket for all; those that are too old are in none.
        """
        low, high = int(times_us.min()), int(times_us.max())
        first = self.place(low, watermark_us)
        if first is not None and first == self.place(high, watermark_us):
            return [(*first, None)]
        places = [self.place(time_us, watermark_us) for time_us in times_us.tolist()]
        rows: dict[tuple[Kind, int], list[int]] = {}
        for row, place in enumerate(places):
            if place is not None:
                rows.setdefault(place, []).append(row)
        parts = sorted(rows.items(), key=lambda item: (item[0][1], item[0][0]))
        return [(kind, start, np.array(found, np.int64)) for (kind, start), found in parts]


def start_of(time_us: int, length_us: int) -> int:
    """Return where the bucket of a time begins."""
    return time_us - time_us % length_us
