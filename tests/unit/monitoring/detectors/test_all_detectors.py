"""Checks that every detector must pass, over windows of all awkward kinds."""

import math
from collections.abc import Iterator
from dataclasses import fields, is_dataclass, replace
from typing import Any

import msgspec
import numpy as np
import pytest

from monitoring import codec
from tests.unit.monitoring.detectors.catalogue import (
    DETECTORS,
    Detector,
    Publish,
    Window,
    published,
    window_from,
)
from tests.unit.monitoring.detectors.made_windows import (
    Drawn,
    draw,
    map_of,
    part_of,
    sketch_of,
)
from tests.unit.monitoring.sketches.made_rows import parts_of

ROWS = 400
REFERENCE = draw(ROWS, 0)
MAP = map_of(REFERENCE.embeddings)
BASE_MAP = map_of(REFERENCE.base_embeddings)
GIVEN = published(REFERENCE, MAP, BASE_MAP)
BASELINES = {detector.name: detector.baseline(GIVEN) for detector in DETECTORS}

every_detector = pytest.mark.parametrize(
    "detector", DETECTORS, ids=[each.name for each in DETECTORS]
)


def window(drawn: Drawn, *, embedded: bool = True) -> Window:
    return window_from(drawn, MAP, BASE_MAP, embedded=embedded)


def assessed(detector: Detector, given: Window) -> Any:
    return detector.assess(BASELINES[detector.name], given)


def is_known(figure: float | None) -> bool:
    return figure is not None and not math.isnan(figure)


def known(detector: Detector, found: Any) -> dict[str, float]:
    figures = detector.figures(found)
    return {name: value for name, value in figures.items() if value is not None and is_known(value)}


def says_why(detector: Detector, found: Any, word: str = "") -> bool:
    if detector.reasons is None:
        return True
    return word in " ".join(detector.reasons(found)) and bool(detector.reasons(found))


def parts(found: Any) -> Iterator[Any]:
    """Return a result and every result inside it."""
    yield found
    if isinstance(found, tuple):
        inner = list(found)
    elif is_dataclass(found):
        inner = [getattr(found, field.name) for field in fields(found)]
    elif isinstance(found, msgspec.Struct):
        inner = [getattr(found, name) for name in found.__struct_fields__]
    else:
        return
    for each in inner:
        yield from parts(each)


def check_figures(found: Any) -> None:
    """Fail where a figure is infinite, or has a value and no interval, or one outside of it."""
    for part in parts(found):
        if isinstance(part, float):
            assert not math.isinf(part)
        if hasattr(part, "lower") and hasattr(part, "value"):
            if is_known(part.value):
                assert is_known(part.lower)
                assert is_known(part.upper)
                assert part.lower <= part.value <= part.upper
            else:
                assert not is_known(part.lower)
                assert not is_known(part.upper)


@every_detector
def test_a_healthy_window_has_figures(detector: Detector) -> None:
    found = assessed(detector, window(draw(100, 1)))
    assert known(detector, found)
    check_figures(found)


@every_detector
def test_an_empty_window_has_no_figure_and_says_why(detector: Detector) -> None:
    found = assessed(detector, window(draw(0, 2)))
    assert known(detector, found) == {}
    assert says_why(detector, found)
    check_figures(found)


@every_detector
@pytest.mark.parametrize("rows", [1, 2, 3, 10, 49])
def test_a_tiny_window_has_sound_figures_or_says_why_not(detector: Detector, rows: int) -> None:
    found = assessed(detector, window(draw(rows, 3)))
    check_figures(found)
    if len(known(detector, found)) < len(detector.figures(found)):
        assert says_why(detector, found)


@every_detector
def test_without_a_reference_there_is_no_figure_that_needs_one(detector: Detector) -> None:
    found = detector.assess(None, window(draw(100, 4)))
    check_figures(found)
    if detector.needs_reference:
        assert known(detector, found) == {}
        assert says_why(detector, found)


@every_detector
@pytest.mark.parametrize("rows", [1, 2, 10])
def test_a_tiny_reference_breaks_nothing(detector: Detector, rows: int) -> None:
    drawn = draw(rows, 5)
    made = detector.baseline(published(drawn, MAP, BASE_MAP))
    check_figures(detector.assess(made, window(draw(100, 6))))


@every_detector
def test_without_embeddings_those_that_need_them_say_so(detector: Detector) -> None:
    found = assessed(detector, window(draw(100, 7), embedded=False))
    check_figures(found)
    if detector.needs_embeddings:
        assert known(detector, found) == {}
        assert says_why(detector, found, "embeddings")
    else:
        assert known(detector, found)


@every_detector
def test_a_reference_without_embeddings_breaks_nothing(detector: Detector) -> None:
    rows = replace(GIVEN.rows, embeddings=None, base_embeddings=None)
    made = detector.baseline(Publish(rows, MAP, BASE_MAP))
    found = detector.assess(made, window(draw(100, 8)))
    check_figures(found)
    assert (known(detector, found) == {}) == detector.needs_embeddings


@every_detector
def test_a_window_of_one_predicted_class_has_sound_figures(detector: Detector) -> None:
    drawn = draw(600, 9)
    found = assessed(detector, window(part_of(drawn, drawn.predicted == 2)))
    check_figures(found)
    assert known(detector, found)


@every_detector
def test_an_adapter_of_one_class_has_sound_figures(detector: Detector) -> None:
    drawn = draw(300, 10, classes=1)
    feature_map, base_map = map_of(drawn.embeddings), map_of(drawn.base_embeddings)
    made = detector.baseline(published(drawn, feature_map, base_map))
    given = window_from(draw(100, 11, classes=1), feature_map, base_map)
    check_figures(detector.assess(made, given))


@every_detector
def test_constant_embeddings_have_sound_figures(detector: Detector) -> None:
    constant = same(draw(100, 12))
    check_figures(assessed(detector, window(constant)))
    made = detector.baseline(published(same(draw(200, 13)), MAP, BASE_MAP))
    for drawn in (constant, draw(100, 14)):
        check_figures(detector.assess(made, window(drawn)))


@every_detector
def test_certain_answers_have_sound_figures(detector: Detector) -> None:
    drawn = draw(100, 15)
    certain = np.zeros_like(drawn.probabilities)
    certain[np.arange(100), drawn.predicted] = 1
    check_figures(assessed(detector, window(replace(drawn, probabilities=certain))))


@every_detector
def test_a_healthy_window_again_gives_the_same_bits(detector: Detector) -> None:
    found = [
        detector.assess(detector.baseline(GIVEN), window(draw(150, 16, foreign=0.1)))
        for _ in range(2)
    ]
    assert codec.encode(found[0]) == codec.encode(found[1])


@every_detector
def test_a_baseline_kept_as_bytes_assesses_the_same(detector: Detector) -> None:
    made = BASELINES[detector.name]
    data = codec.encode(made)
    kept: Any = codec.decode(data, detector.kind)
    assert codec.encode(kept) == data
    for given in (window(draw(150, 17)), window(draw(60, 18, foreign=0.5)), window(draw(0, 19))):
        assert codec.encode(detector.assess(kept, given)) == codec.encode(
            detector.assess(made, given)
        )


@every_detector
def test_merged_sketches_assess_as_the_sketch_of_all_their_rows(detector: Detector) -> None:
    drawn = draw(240, 20, foreign=0.2)
    whole = window(drawn)
    pieces = [sketch_of(rows, MAP, BASE_MAP) for rows in parts_of(whole.rows, [1, 90, 90])]
    merged = pieces[3]
    for piece in pieces[:3]:
        merged = merged.merge(piece)
    assert merged == whole.sketch
    again = Window(whole.rows, merged, whole.labelled)
    assert codec.encode(assessed(detector, again)) == codec.encode(assessed(detector, whole))


def same(drawn: Drawn) -> Drawn:
    count = len(drawn)
    return replace(
        drawn,
        embeddings=np.repeat(drawn.embeddings[:1], count, axis=0),
        base_embeddings=np.repeat(drawn.base_embeddings[:1], count, axis=0),
    )
