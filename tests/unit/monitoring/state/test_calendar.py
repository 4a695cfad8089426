import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitoring.state.calendar import DAY_US, HOUR_US, SECOND_US, Calendar, start_of
from monitoring.state.kinds import Kind

CALENDAR = Calendar(300 * SECOND_US, 24, 48, 35)
NOW_US = 20_000 * DAY_US + 7 * HOUR_US + 123 * SECOND_US
TIMES = st.integers(NOW_US - 40 * DAY_US, NOW_US + DAY_US)


def covers(kind: Kind, start: int, time_us: int) -> bool:
    return start <= time_us < start + CALENDAR.length_us(kind)


@given(TIMES)
def test_an_event_is_in_a_bucket_that_covers_its_time(time_us: int) -> None:
    place = CALENDAR.place(time_us, NOW_US)
    if place is None:
        assert time_us < NOW_US - 35 * DAY_US
        return
    kind, start = place
    assert covers(kind, start, time_us)
    assert start % CALENDAR.length_us(kind) == 0


@given(TIMES, st.integers(0, 3 * DAY_US))
def test_a_bucket_only_becomes_coarser_as_time_goes_on(time_us: int, later_us: int) -> None:
    order = (Kind.FINE, Kind.HOUR, Kind.DAY, None)
    before, after = (CALENDAR.place(time_us, NOW_US + us) for us in (0, later_us))
    kinds = [None if place is None else place[0] for place in (before, after)]
    assert order.index(kinds[0]) <= order.index(kinds[1])


@given(TIMES, st.integers(0, 3 * DAY_US))
def test_a_coarse_bucket_covers_the_fine_one_that_is_added_to_it(
    time_us: int, later_us: int
) -> None:
    before, after = (CALENDAR.place(time_us, NOW_US + us) for us in (0, later_us))
    if before is None or after is None:
        return
    moved = CALENDAR.place(before[1], NOW_US + later_us)
    if before[0] != after[0]:
        assert moved == after
    end = before[1] + CALENDAR.length_us(before[0])
    assert after[1] <= before[1] < end <= after[1] + CALENDAR.length_us(after[0])


def test_the_newest_buckets_are_as_many_as_were_asked_for() -> None:
    first = CALENDAR.fine_from_us(NOW_US)
    assert (start_of(NOW_US, CALENDAR.bucket_us) - first) // CALENDAR.bucket_us + 1 == 24
    hours = CALENDAR.hours_from_us(NOW_US)
    assert (start_of(first, HOUR_US) - hours) // HOUR_US + 1 == 48


@given(st.lists(TIMES, min_size=1, max_size=30))
def test_rows_are_parted_as_if_one_by_one(times_us: list[int]) -> None:
    parts = CALENDAR.parted(np.array(times_us, np.int64), NOW_US)
    seen: dict[int, tuple[Kind, int]] = {}
    for kind, start, rows in parts:
        for row in range(len(times_us)) if rows is None else rows.tolist():
            assert row not in seen
            seen[row] = kind, start
    for row, time_us in enumerate(times_us):
        assert seen.get(row) == CALENDAR.place(time_us, NOW_US)
    assert parts == sorted(parts, key=lambda part: (part[1], part[0]))


@pytest.mark.parametrize("bucket_s", [1, 60, 3600])
def test_buckets_of_any_length_fill_an_hour(bucket_s: int) -> None:
    calendar = Calendar(bucket_s * SECOND_US, 4, 2, 1)
    place = calendar.place(NOW_US, NOW_US)
    assert place == (Kind.FINE, start_of(NOW_US, bucket_s * SECOND_US))
