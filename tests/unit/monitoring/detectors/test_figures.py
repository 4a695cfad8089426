from monitoring.detectors.figures import figure, unknown
from monitoring.report import Figure
from service.measures import UNDEFINED, Estimate


def test_an_estimate_becomes_a_figure_with_its_count() -> None:
    found = figure(Estimate(0.5, 0.4, 0.6), 90)
    assert found == Figure(value=0.5, lower=0.4, upper=0.6, count=90)


def test_what_is_not_defined_is_null_and_says_so() -> None:
    assert figure(UNDEFINED, 3) == Figure(count=3, unknown="not defined")
    assert unknown("too few labels: 3 of 50", 3) == Figure(
        count=3, unknown="too few labels: 3 of 50"
    )
