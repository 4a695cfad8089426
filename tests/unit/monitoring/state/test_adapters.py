import pytest
from msgspec.structs import asdict

from monitoring import codec
from monitoring.report import Mark
from monitoring.state.adapters import CONTROLLER, AdapterNotes, mark_of

_OLD = {
    *("time_s", "revision", "live", "canary", "canary_percent", "shadow", "actor", "forced"),
}


def mark(time_s: float, revision: int, live: int | None = 1) -> Mark:
    return mark_of(round(time_s * 1e6), revision, None, {"live": live}, "admin", None)


def test_a_rollout_document_becomes_a_mark() -> None:
    after = {"live": 3, "canary": {"version": 4, "percent": 12.5}, "shadow": [5, 6]}
    assert mark_of(2_500_000, 7, None, after, "admin", "urgent") == Mark(
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
        found = mark_of(0, 1, None, after, "", None)
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
    notes.rolled(mark_of(2_000_000, 2, None, after, "admin", None), 9)
    assert [notes.standing(n, "d") for n in (1, 2, 3, 4)] == ["retired", "live", "canary", "shadow"]
    notes.quarantine(2, "e", 3_000_000, 2)
    assert notes.standing(2, "e") == "quarantined"
    assert notes.standing(2, "d") == "live"


def test_quarantined_digests_are_bounded_and_there_once() -> None:
    notes = AdapterNotes()
    for digest in ("a", "b", "a", "c", "d"):
        notes.quarantine(1, digest, 3_000_000, 3)
    assert notes.quarantined == ["b", "c", "d"]


CANARY = {"live": 3, "canary": {"version": 4, "percent": 10}, "shadow": []}


@pytest.mark.parametrize(
    ("before", "after", "taken_out"),
    [
        (CANARY, {"live": 3}, 4),
        (CANARY, {"live": 3, "shadow": [4]}, 4),
        (CANARY, {"live": 2}, 3),
        ({"live": 3}, {"live": 2}, 3),
        (CANARY, {"live": 2, "canary": {"version": 4, "percent": 10}}, 3),
        ({"live": 3, "shadow": [2]}, {"live": 2, "shadow": []}, 3),
        (CANARY, CANARY, None),
        (CANARY, {**CANARY, "shadow": [5]}, None),
        (None, {"live": 3}, None),
        ({"live": "x", "canary": 4}, {"live": 3}, None),
    ],
)
def test_an_automatic_rollout_tells_which_version_it_took_out(
    before: dict[str, object] | None, after: dict[str, object], taken_out: int | None
) -> None:
    made = mark_of(0, 2, before, after, CONTROLLER, "accuracy: worse")
    assert made.rolled_back == taken_out
    assert mark_of(0, 2, before, after, "admin", "accuracy: worse").rolled_back is None


def test_the_first_time_is_that_of_the_earliest_rollout_or_quarantine() -> None:
    notes = AdapterNotes()
    assert notes.first_us is None
    notes.rolled(mark(5.0, 1), 2)
    notes.quarantine(3, "c", 4_000_000, 2)
    for time_s in (6.0, 7.0, 8.0):
        notes.rolled(mark(time_s, 1), 2)
    assert notes.first_us == 4_000_000


def test_a_rollout_names_live_canary_and_shadows() -> None:
    notes = AdapterNotes()
    assert notes.names(9), "nobody knows"
    after = {"live": 2, "canary": {"version": 3, "percent": 5}, "shadow": [4]}
    notes.rolled(mark_of(2_000_000, 2, None, after, "admin", None), 9)
    assert [number for number in range(6) if notes.names(number)] == [2, 3, 4]


def test_quarantined_versions_are_bounded_and_keep_their_last_digest() -> None:
    notes = AdapterNotes()
    for version, digest in ((1, "a"), (2, "b"), (1, "a"), (3, "c"), (2, "d")):
        notes.quarantine(version, digest, 1, 2)
    assert notes.quarantined_versions == {3: "c", 2: "d"}


def test_notes_of_before_can_be_read() -> None:
    """They had marks without what was taken out, and digests without versions."""
    old = {
        "marks": [{key: value for key, value in asdict(mark(5.0, 1)).items() if key in _OLD}],
        "quarantined": ["a"],
    }
    notes = codec.decode(codec.encode(old), AdapterNotes)
    assert notes.marks == [mark(5.0, 1)]
    assert notes.first_us == 5_000_000
    assert notes.quarantined_versions == {}
    assert notes.standing(1, "a") == "quarantined"
    notes.rolled(mark(6.0, 2), 1)
    assert notes.first_us == 5_000_000
