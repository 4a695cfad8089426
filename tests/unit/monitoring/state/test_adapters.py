from monitoring.report import Mark
from monitoring.state.adapters import AdapterNotes, mark_of


def mark(time_s: float, revision: int, live: int | None = 1) -> Mark:
    return mark_of(round(time_s * 1e6), revision, {"live": live}, "admin", None)


def test_a_rollout_document_becomes_a_mark() -> None:
    after = {"live": 3, "canary": {"version": 4, "percent": 12.5}, "shadow": [5, 6]}
    assert mark_of(2_500_000, 7, after, "admin", "urgent") == Mark(
        time_s=2.5,
        revision=7,
        live=3,
        canary=4,
        canary_percent=12.5,
        shadow=(5, 6),
        actor="admin",
        forced="urgent",
    )


def test_a_document_of_another_form_has_nothing() -> None:
    for after in (
        {},
        {"live": "x", "canary": 3, "shadow": {"a": 1}},
        {"canary": {"version": True}},
    ):
        found = mark_of(0, 1, after, "", None)
        assert (found.live, found.canary, found.canary_percent, found.shadow) == (
            None,
            None,
            None,
            (),
        )


def test_marks_are_in_the_order_of_time_and_bounded() -> None:
    notes = AdapterNotes()
    for time_s in (3.0, 1.0, 2.0, 2.0, 5.0, 4.0):
        notes.rolled(mark(time_s, 1), 3)
    assert [m.time_s for m in notes.marks] == [3.0, 4.0, 5.0]


def test_a_version_stands_as_the_last_rollout_says() -> None:
    notes = AdapterNotes()
    assert notes.standing(1, "d") is None
    notes.rolled(mark(1.0, 1, 1), 9)
    assert (notes.standing(1, "d"), notes.standing(2, "e")) == ("live", "retired")
    after = {"live": 2, "canary": {"version": 3, "percent": 5}, "shadow": [4]}
    notes.rolled(mark_of(2_000_000, 2, after, "admin", None), 9)
    assert [notes.standing(n, "d") for n in (1, 2, 3, 4)] == ["retired", "live", "canary", "shadow"]
    notes.quarantine("e", 2)
    assert notes.standing(2, "e") == "quarantined"
    assert notes.standing(2, "d") == "live"


def test_quarantined_digests_are_bounded_and_there_once() -> None:
    notes = AdapterNotes()
    for digest in ("a", "b", "a", "c", "d"):
        notes.quarantine(digest, 3)
    assert notes.quarantined == ["b", "c", "d"]
