import pytest

from monitoring.assessment.drift import assessed, told, whose
from monitoring.references.reference import Reference, make_reference
from monitoring.sketches.sketch import Sketch
from monitoring.state.ports import Origin
from service.measures import UNDEFINED, Estimate
from tests.unit.monitoring.detectors.made_windows import draw, map_of, reference_of, window_of

ORIGIN = Origin("holdout", "acme", "support", 1, "sha256:a", "sha256:b", 0)
DRAWN = draw(200, 1)
NAMES = ("a", "b", "c", "d")


@pytest.fixture(scope="module")
def reference() -> Reference:
    return make_reference(reference_of(DRAWN), ORIGIN, seed=0, tolerance=0.1)


def window(count: int, seed: int = 2, **others: float) -> Sketch:
    drawn = draw(count, seed, **others)  # type: ignore[arg-type]
    return window_of(drawn, map_of(DRAWN.embeddings), map_of(DRAWN.base_embeddings))


def test_a_window_is_told_with_all_its_figures(reference: Reference) -> None:
    drift = told(assessed(reference, window(50, foreign=0.8), 0.1), NAMES)
    assert drift.effect.value is not None
    assert drift.effect.value > 1
    assert drift.tolerance is not None
    assert drift.statistic == pytest.approx(drift.effect.value * drift.tolerance)
    assert drift.effect.count == 50
    assert drift.pvalue == pytest.approx(1 / 500)
    assert drift.class_worst in NAMES
    assert drift.content.value is not None


def test_base_embeddings_have_a_distance_of_their_own_and_no_classes(
    reference: Reference,
) -> None:
    some = window(200, foreign=0.8)
    base = told(assessed(reference, some, 0.1, base=True), NAMES)
    assert base.effect.value is not None
    assert base.effect.count == 100, "every second row was sampled"
    assert base.class_pvalue is None
    assert base.class_worst is None
    assert base.reweighted.unknown == "the bare backbone's features are not kept by class"


def test_without_a_reference_everything_is_null(reference: Reference) -> None:
    for found in (assessed(None, window(60), 0.1), assessed(reference, Sketch.empty(4), 0.1)):
        drift = told(found, NAMES)
        assert drift.statistic is drift.tolerance is drift.class_statistic is None
        assert drift.effect.value is drift.pvalue is None
        assert drift.effect.unknown
        assert drift.pvalue_unknown
        assert drift.reading.startswith("unknown: ")


def test_features_of_another_map_have_no_distance_but_classes_are_compared(
    reference: Reference,
) -> None:
    other = window_of(draw(60, 4), map_of(DRAWN.embeddings, seed=5))
    found = assessed(reference, other, 0.1)
    assert found.distance.effect_unknown is not None
    assert "another reference" in found.distance.effect_unknown
    assert found.distance.rows == 60
    assert found.classes.pvalue is not None


def test_a_class_that_has_no_name_is_not_named(reference: Reference) -> None:
    assert told(assessed(reference, window(60), 0.1), ()).class_worst is None


FAR = Estimate(16.0, 12.0, 20.0)


@pytest.mark.parametrize(
    ("adapters", "inputs", "words"),
    [
        (FAR, Estimate(9.0, 6.0, 12.0), "sees other inputs too"),
        (FAR, Estimate(0.2, 0.0, 2.9), "what the adapter makes of its inputs changed"),
        (FAR, Estimate(1.0, 0.5, 3.5), None),  # perhaps some of it
        (FAR, UNDEFINED, None),
        (UNDEFINED, Estimate(0.2, 0.0, 0.5), None),
        (Estimate(2.0, 0.9, 3.0), Estimate(0.1, 0.0, 0.2), None),  # nothing moved for sure
    ],
)
def test_it_is_told_whether_inputs_or_adapter_moved_where_it_is_known(
    adapters: Estimate, inputs: Estimate, words: str | None
) -> None:
    found = whose(adapters, inputs)
    assert (found is None) == (words is None)
    assert found is None or (words or "") in found
