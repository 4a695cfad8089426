from dataclasses import replace

import pytest

from monitoring.assessment.comparison import Comparison, reference_info
from monitoring.references.reference import Reference, make_reference
from monitoring.state.ports import Origin
from monitoring.state.references import Found
from tests.unit.monitoring.detectors.made_windows import draw, reference_of

ORIGIN = Origin("holdout", "acme", "support", 1, "sha256:a", "sha256:b", 0)


@pytest.fixture(scope="module")
def reference() -> Reference:
    return make_reference(reference_of(draw(200, 1)), ORIGIN, seed=0, tolerance=0.1)


def test_a_sound_reference_needs_no_note(reference: Reference) -> None:
    found = Comparison("holdout", reference, None)
    assert (found.rows, found.note) == (200, None)


def test_the_note_says_what_a_reference_cannot_carry(reference: Reference) -> None:
    assert Comparison("none", None, None).note is None
    assert Comparison("holdout", None, "it is broken").note == "it is broken"
    borrowed = Comparison("pooled", reference, None).note
    assert borrowed is not None
    assert "raises no alarm" in borrowed
    bare = Comparison("holdout", replace(reference, window=None), None).note
    assert bare is not None
    assert "no embeddings" in bare
    small = make_reference(reference_of(draw(199, 1)), ORIGIN, seed=0, tolerance=0.1)
    assert Comparison("holdout", small, None).note == (
        "too small for p values, which need 200 rows"
    )


def test_what_is_found_is_told_in_seconds() -> None:
    found = Found(7, "holdout", 80, 1_500_000, "sha256:b", None)
    told = reference_info(found, "so it is")
    assert (told.source, told.rows, told.made_s, told.note) == ("holdout", 80, 1.5, "so it is")
    nothing = reference_info(None, None)
    assert (nothing.source, nothing.rows, nothing.made_s) == ("none", 0, None)
    assert nothing.note == "publish with a hold-out"
