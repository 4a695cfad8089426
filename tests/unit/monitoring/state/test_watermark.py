from monitoring.state.calendar import DAY_US, HOUR_US, SECOND_US, start_of
from monitoring.state.watermark import SETTLED_US, TURN_FRAMES, Watermark

NOW_US = 20_000 * DAY_US + 5 * HOUR_US
YEAR_US = 365 * DAY_US


def test_it_is_the_newest_time_and_does_not_go_back() -> None:
    watermark = Watermark()
    for time_us in (NOW_US, NOW_US + 5, NOW_US - 5):
        assert not watermark.see(time_us, NOW_US)
    assert watermark.us == NOW_US + 5


def test_old_events_that_are_written_now_leave_it_alone() -> None:
    watermark = Watermark()
    watermark.see(NOW_US, NOW_US)
    for _ in range(10 * TURN_FRAMES):
        assert not watermark.see(NOW_US - 3 * DAY_US, NOW_US)
    assert watermark.us == NOW_US


def test_it_is_turned_back_when_the_clock_was_wrong() -> None:
    watermark = Watermark()
    watermark.see(NOW_US + YEAR_US, NOW_US + YEAR_US)
    turned = [watermark.see(NOW_US + i, NOW_US + i) for i in range(2 * TURN_FRAMES)]
    assert turned == [i == TURN_FRAMES - 1 for i in range(2 * TURN_FRAMES)]
    assert watermark.us == NOW_US + 2 * TURN_FRAMES - 1


def test_two_clocks_that_differ_do_not_turn_it_to_and_fro() -> None:
    watermark = Watermark()
    for number in range(10 * TURN_FRAMES):
        ahead = YEAR_US if number % 3 == 0 else 0
        assert not watermark.see(NOW_US + ahead + number, NOW_US + ahead + number)
    assert watermark.us > NOW_US + YEAR_US


def test_a_jump_for_a_moment_makes_nothing_be_deleted() -> None:
    watermark = Watermark()
    watermark.see(NOW_US, NOW_US)
    watermark.swept()
    watermark.see(NOW_US + YEAR_US, NOW_US + YEAR_US)
    for number in range(TURN_FRAMES):
        assert not watermark.is_sweep_due
        watermark.see(NOW_US + number, NOW_US + number)
    assert not watermark.is_sweep_due
    assert watermark.us == NOW_US + TURN_FRAMES - 1


def test_a_jump_makes_nothing_be_deleted_that_was_due_before_it() -> None:
    watermark = Watermark()
    watermark.see(NOW_US, NOW_US)
    watermark.see(NOW_US + YEAR_US, NOW_US + YEAR_US)
    assert not watermark.is_sweep_due
    watermark.see(NOW_US + YEAR_US + SETTLED_US, NOW_US + YEAR_US + SETTLED_US)
    assert watermark.is_sweep_due


def test_what_is_old_is_deleted_once_an_hour() -> None:
    watermark = Watermark()
    swept = []
    for second in range(0, 3 * 3600, 60):
        watermark.see(NOW_US + second * SECOND_US, NOW_US + second * SECOND_US)
        if watermark.is_sweep_due:
            watermark.swept()
            swept.append(second)
    assert [second // 3600 for second in swept] == [0, 1, 2]
    assert all(second % 3600 >= SETTLED_US // SECOND_US for second in swept)
    assert watermark.swept_us == start_of(NOW_US + 2 * HOUR_US, HOUR_US)
