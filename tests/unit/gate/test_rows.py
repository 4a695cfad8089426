from service.engine import digest
from service.gate.rows import drawn
from service.uploads.holdout import HoldoutRow

ROWS = [HoldoutRow(f"text {number}", "refund") for number in range(100)]
FILE = digest.of_bytes(b"a file")


def test_a_small_hold_out_is_measured_whole() -> None:
    assert drawn(ROWS, 100, FILE) == ROWS
    assert drawn(ROWS[:5], 100, FILE) == ROWS[:5]


def test_of_a_large_one_the_same_rows_are_drawn_each_time_in_their_order() -> None:
    first = drawn(ROWS, 30, FILE)
    assert len(first) == len(set(first)) == 30
    assert first == sorted(first, key=ROWS.index)
    assert first == drawn(ROWS, 30, FILE)


def test_another_file_has_another_draw() -> None:
    assert drawn(ROWS, 30, FILE) != drawn(ROWS, 30, digest.of_bytes(b"another"))
    assert drawn(ROWS, 30, FILE) != ROWS[:30]
