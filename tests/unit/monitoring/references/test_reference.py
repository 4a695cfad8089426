from dataclasses import fields, replace

import numpy as np
import pytest

from monitoring import codec
from monitoring.references.reference import Measuring, Reference, make_reference
from monitoring.references.rows import ReferenceRows
from monitoring.state.ports import Origin
from tests.unit.monitoring.detectors.made_windows import CLASSES, HIDDEN, draw, reference_of

HOLDOUT = Origin("holdout", "acme", "support", 1, "sha256:a", "sha256:b", 0)
POOLED = Origin("pooled", "", "", 0, "", "sha256:b", 0)
ROWS = reference_of(draw(120, 1))
DETECTORS = ("class_shift", "label_shift", "calibration", "accuracy", "inputs", "watch")


def make(rows: ReferenceRows = ROWS, origin: Origin = HOLDOUT, seed: int = 0) -> Reference:
    return make_reference(rows, origin, seed=seed, tolerance=0.1)


@pytest.fixture(scope="module")
def reference() -> Reference:
    return make()


def absent(found: Reference, *names: str) -> bool:
    return all(getattr(found, name) is None for name in names)


def test_every_detector_has_its_baseline(reference: Reference) -> None:
    for field in fields(reference):
        assert getattr(reference, field.name) is not None, field.name
    assert (reference.source, reference.rows, reference.hidden) == ("holdout", 120, HIDDEN)
    assert reference.labels == ROWS.labels
    assert reference.labelled == 120
    assert reference.right == int((ROWS.class_index == ROWS.label_index).sum())
    assert reference.class_counts.sum() == reference.confidence.sum() == 120
    assert len(reference.class_counts) == CLASSES


def test_the_same_rows_and_settings_give_the_same_bytes(reference: Reference) -> None:
    assert codec.encode(make()) == codec.encode(reference)
    assert codec.encode(make(seed=1)) != codec.encode(reference)


def test_it_is_kept_whole_and_comes_into_use(reference: Reference) -> None:
    data = codec.encode(reference)
    measure = Measuring.of(data)
    assert codec.encode(measure.reference) == data
    assert measure.map is not None
    assert measure.base_map is not None
    assert reference.window is not None
    assert reference.base_window is not None
    assert measure.map.id == reference.window.map_id
    assert measure.base_map.id == reference.base_window.map_id
    state = measure.watch()
    assert state is not None
    assert ROWS.embeddings is not None
    assert measure.update(state, ROWS.embeddings, np.full(120, 1e6)) == []
    assert state.rows == 120


def test_a_borrowed_one_compares_embeddings_alone() -> None:
    found = make(origin=POOLED)
    assert found.source == "pooled"
    assert found.window is not None
    assert found.window.contents is None
    assert found.base_window is not None
    assert absent(found, *DETECTORS)
    assert Measuring(found).watch() is None
    assert (found.labelled, found.labels) == (0, ("",))
    assert found.plane is not None
    assert len(found.plane.points) == len(found.plane.classes) == 0


def test_without_embeddings_there_are_classes_and_labels_alone() -> None:
    found = make(reference_of(draw(120, 1), embedded=False))
    assert found.hidden == 0
    assert found.bandwidths == found.base_bandwidths == ()
    assert absent(found, "window", "base_window", "watch", "plane")
    assert found.class_shift is not None
    assert found.accuracy is not None
    measure = Measuring(found)
    assert (measure.map, measure.base_map, measure.watch()) == (None, None, None)


def test_with_the_bare_backbone_s_embeddings_alone_the_inputs_are_compared() -> None:
    found = make(replace(ROWS, embeddings=None))
    assert found.hidden == HIDDEN
    assert found.window is None
    assert found.base_window is not None


@pytest.mark.parametrize("count", [1, 5, 49])
def test_a_few_rows_carry_what_they_can(count: int) -> None:
    found = make(reference_of(draw(count, 1)))
    assert absent(found, "window", "watch", "class_shift")
    assert found.inputs is not None
    assert codec.decode(codec.encode(found), Reference).rows == count


def test_rows_without_labels_tell_nothing_of_being_right() -> None:
    found = make(replace(ROWS, label_index=np.full(120, -1)))
    assert (found.labelled, found.right) == (0, 0)
    assert absent(found, "calibration", "accuracy")
    assert found.label_shift is not None
    assert found.label_shift.refused is not None


def test_rows_that_are_all_alike_have_no_map() -> None:
    assert ROWS.embeddings is not None
    alike = np.repeat(ROWS.embeddings[:1], 120, axis=0)
    found = make(replace(ROWS, embeddings=alike, base_embeddings=alike))
    assert absent(found, "window", "base_window")
    assert found.accuracy is not None


def test_embeddings_that_are_no_numbers_are_refused() -> None:
    assert ROWS.embeddings is not None
    odd = ROWS.embeddings.copy()
    odd[0, 0] = np.nan
    with pytest.raises(ValueError, match="not finite"):
        make(replace(ROWS, embeddings=odd))
