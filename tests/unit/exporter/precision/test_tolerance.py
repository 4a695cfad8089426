"""What lies outside a variant's tolerance."""

import math

import pytest

from exporter.precision.tolerance import RANDOM, Cost, Tolerance, breaches
from service.engine.bundle import Measured
from service.measures import UNDEFINED, Estimate

LIMITS = Tolerance(
    max_probability_error=0.1,
    mean_probability_error=0.01,
    label_agreement=0.98,
    accuracy_loss=0.005,
    calibration_error_growth=0.02,
    max_embedding_error=0.2,
    max_neighbour_error=0.001,
)
GOOD = Measured(
    provider="cpu",
    passed=False,
    data="tickets.jsonl",
    inputs=100,
    adapters=4,
    max_probability_error=0.1,
    mean_probability_error=0.01,
    label_agreement=0.98,
    max_embedding_error=0.2,
    max_neighbour_error=0.001,
    accuracy=0.9,
    accuracy_fp32=0.9,
    calibration_error=0.03,
    calibration_error_fp32=0.01,
    tokens_per_second=1.0,
    milliseconds=1.0,
)
NOTHING = Estimate(0.0, -0.01, 0.01)
FREE = Cost(NOTHING, NOTHING)


def test_a_variant_at_its_limits_passes() -> None:
    assert breaches(GOOD, FREE, LIMITS) == []


@pytest.mark.parametrize(
    ("changed", "word"),
    [
        ({"max_probability_error": 0.11}, "max probability error 0.11"),
        ({"mean_probability_error": 0.02}, "mean probability error 0.02"),
        ({"label_agreement": 0.97}, "label agreement 0.97"),
        ({"max_embedding_error": 0.3}, "max embedding error 0.3"),
        ({"max_neighbour_error": 0.002}, "max neighbour error 0.002"),
    ],
)
def test_a_figure_beyond_its_limit_is_named(changed: dict[str, float], word: str) -> None:
    found = breaches(GOOD.model_copy(update=changed), FREE, LIMITS)
    assert len(found) == 1
    assert found[0].startswith(word)
    assert "allowed" in found[0]


@pytest.mark.parametrize("figure", ["max_probability_error", "max_neighbour_error"])
def test_a_figure_that_is_no_number_lies_outside(figure: str) -> None:
    assert breaches(GOOD.model_copy(update={figure: math.nan}), FREE, LIMITS)


def test_a_loss_of_accuracy_counts_where_the_set_shows_it() -> None:
    assert breaches(GOOD, Cost(Estimate(0.02, 0.006, 0.034), NOTHING), LIMITS)
    assert not breaches(GOOD, Cost(Estimate(0.02, -0.01, 0.05), NOTHING), LIMITS)


def test_a_growth_of_the_calibration_error_counts_where_the_set_shows_it() -> None:
    assert breaches(GOOD, Cost(NOTHING, Estimate(0.04, 0.03, 0.05)), LIMITS)
    assert not breaches(GOOD, Cost(NOTHING, Estimate(0.04, -0.01, 0.09)), LIMITS)
    assert not breaches(GOOD, Cost(NOTHING, UNDEFINED), LIMITS)


def test_labels_of_random_inputs_are_not_judged() -> None:
    random = GOOD.model_copy(update={"label_agreement": 0.5, "data": RANDOM})
    assert breaches(random, None, LIMITS) == []
    assert breaches(GOOD.model_copy(update={"label_agreement": 0.5}), None, LIMITS)


def test_without_labels_accuracy_and_calibration_are_not_judged() -> None:
    changed = {"calibration_error": None, "calibration_error_fp32": None}
    assert breaches(GOOD.model_copy(update=changed), None, LIMITS) == []
