import math

import numpy as np
import pytest

from service.api.ranking import ranked
from service.engine.adapter import FloatArray

LABELS = ("a", "b", "c")


def rows(*given: list[float]) -> FloatArray:
    return np.array(given, dtype=np.float32)


def names(told: list[list[dict[str, object]]]) -> list[str]:
    return ["".join(str(line["label"]) for line in row) for row in told]


def test_each_row_has_its_own_order() -> None:
    told = ranked(LABELS, rows([0.1, 0.7, 0.2], [0.5, 0.2, 0.3]))
    assert names(told) == ["bca", "acb"]
    assert [line["score"] for line in told[0]] == [np.float32(x) for x in (0.7, 0.2, 0.1)]


def test_labels_of_one_score_stay_in_their_order() -> None:
    assert names(ranked(LABELS, rows([0.25, 0.5, 0.25]))) == ["bac"]


@pytest.mark.parametrize(("top", "kept"), [(1, "b"), (2, "bc"), (3, "bca"), (9, "bca")])
def test_the_best_so_many_are_kept(top: int, kept: str) -> None:
    assert names(ranked(LABELS, rows([0.1, 0.7, 0.2]), top)) == [kept]


def test_logarithms_are_logits_but_for_a_constant() -> None:
    logits = np.array([2.0, -1.0, 0.5])
    spread = np.exp(logits) / np.exp(logits).sum()
    [told] = ranked(LABELS, spread[None].astype(np.float32), logarithms=True)
    scores = {line["label"]: float(line["score"]) for line in told}
    away = [scores[label] - logit for label, logit in zip(LABELS, logits, strict=True)]
    assert away == pytest.approx([away[0]] * 3, abs=1e-5)


def test_the_logarithm_of_nothing_is_a_number_all_the_same() -> None:
    [told] = ranked(LABELS, rows([0.0, 1.0, 0.0]), logarithms=True)
    assert names([told]) == ["bac"]
    assert all(math.isfinite(line["score"]) for line in told)
    assert told[1]["score"] < -100
