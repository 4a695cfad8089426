import numpy as np
import pytest

from monitoring.detectors.reweighting import Contents, EqualMix, contents_of, equal_mix
from monitoring.rows import IntArray
from monitoring.sketches.features import FeatureMap
from service.measures import UNDEFINED
from tests.unit.monitoring.detectors.made_windows import CLASSES, Drawn, draw, map_of, part_of

EVEN = draw(1200, 0)
MAP: FeatureMap = map_of(EVEN.embeddings)
FOREIGN = 0.3  # squared distance


def contents_from(drawn: Drawn) -> Contents:
    projected = MAP.projected(drawn.embeddings)
    return contents_of(projected, MAP.projection_scale, drawn.predicted, CLASSES)


CONTENTS = contents_from(EVEN)


def sums_of(drawn: Drawn) -> tuple[IntArray, IntArray]:
    sums = np.zeros((CLASSES, 32), dtype=np.int64)
    np.add.at(sums, drawn.predicted, MAP.projected(drawn.embeddings))
    return np.bincount(drawn.predicted, minlength=CLASSES), sums


def compare(drawn: Drawn, contents: Contents = CONTENTS) -> EqualMix:
    mean = MAP.fixed(drawn.embeddings).mean(axis=0) / MAP.scale
    trace = float(1 - mean @ mean) * len(drawn) / (len(drawn) - 1)
    counts, sums = sums_of(drawn)
    return equal_mix(contents, counts, sums, MAP.projection_scale, trace, FOREIGN)


def plain(drawn: Drawn) -> float:
    apart = (
        MAP.projected(drawn.embeddings).mean(axis=0) - MAP.projected(EVEN.embeddings).mean(axis=0)
    ) / MAP.projection_scale
    return float(apart @ apart)


def test_without_a_change_both_distances_are_0_on_average() -> None:
    found = [
        compare(draw(150, seed), contents_from(draw(300, 1000 + seed))) for seed in range(1, 81)
    ]
    for values in (
        [each.reweighted.value for each in found],
        [each.content.value for each in found],
    ):
        assert abs(np.mean(values)) < 4 * np.std(values) / np.sqrt(len(values))
    for each in found:
        assert each.reweighted.lower < each.reweighted.value < each.reweighted.upper


def test_another_class_mix_alone_is_no_distance_at_an_equal_mix() -> None:
    window = draw(400, 5, mix=(0.7, 0.1, 0.1, 0.1))
    found = compare(window)
    assert plain(window) > 0.05
    for part in (found.reweighted, found.content):
        assert part.lower <= 0 <= part.upper
        assert abs(part.value) < plain(window) / 20


def test_other_content_is_a_distance_at_an_equal_mix() -> None:
    window = draw(400, 6, foreign=0.5)
    found = compare(window)
    assert found.reweighted.lower > 0
    assert found.content.lower > 0
    assert found.content.value > plain(window) / 4


def test_foreign_rows_that_were_all_given_one_class_are_content_at_the_windows_mix() -> None:
    window = draw(600, 7, foreign=0.4)
    is_common = window.predicted == np.bincount(window.predicted).argmax()
    kept = is_common | (np.arange(600) % 3 == 0)
    part = part_of(window, kept)
    found = compare(part)
    assert found.content.lower > 0
    assert found.content.value > found.reweighted.value


def test_a_window_of_one_class_is_compared_with_that_class() -> None:
    found = compare(draw(200, 8, mix=(1.0, 0.0, 0.0, 0.0)))
    assert found.content_unknown is None
    assert found.content.lower <= 0 <= found.content.upper
    assert found.reweighted is UNDEFINED
    reason = "most of the reference's rows are of classes that the window lacks"
    assert found.reweighted_unknown == reason


def contents_of_class(number: int) -> Contents:
    return contents_from(part_of(EVEN, EVEN.predicted == number))


def test_a_window_mostly_of_classes_that_the_reference_lacks_has_no_content_figure() -> None:
    found = compare(draw(200, 9), contents_of_class(0))
    assert found.content is UNDEFINED
    reason = "most of the window's rows are of classes that the reference lacks"
    assert found.content_unknown == reason
    assert found.reweighted.is_defined


def test_no_class_in_common_leaves_it_unknown() -> None:
    found = compare(part_of(EVEN, EVEN.predicted == 1), contents_of_class(0))
    assert found.reweighted is UNDEFINED
    assert found.content is UNDEFINED
    reason = "the window and the reference have no class in common"
    assert found.reweighted_unknown == found.content_unknown == reason


@pytest.mark.parametrize("sums", [None, np.zeros((CLASSES, 32), dtype=np.int64)])
def test_no_embeddings_leave_it_unknown(sums: IntArray | None) -> None:
    none = np.zeros(CLASSES, dtype=np.int64)
    found = equal_mix(CONTENTS, none, sums, MAP.projection_scale, 0.5, FOREIGN)
    assert found.content_unknown == "no embeddings by class"
    assert not found.content.is_defined


def test_one_row_in_each_class_is_enough_for_figures_without_nan() -> None:
    window = draw(400, 10)
    _, first = np.unique(window.predicted, return_index=True)
    part = part_of(window, first)
    found = compare(part)
    assert np.isfinite([found.reweighted.lower, found.reweighted.upper]).all()


def test_a_class_of_one_row_borrows_the_common_trace() -> None:
    first = int(np.flatnonzero(EVEN.predicted == 3)[0])
    kept = (EVEN.predicted != 3) | (np.arange(len(EVEN)) == first)
    contents = contents_of(
        MAP.projected(EVEN.embeddings[kept]), MAP.projection_scale, EVEN.predicted[kept], CLASSES
    )
    assert contents.counts[3] == 1
    assert contents.traces[3] == pytest.approx(contents.spread.trace)
