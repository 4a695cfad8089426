import math

import pytest

from grafana.rules.evidence import lower_bound
from grafana.slo import Evidence

EVIDENCE = Evidence(confidence=0.95, bad_requests_min=3)


def bound(bad: float, requests: float) -> float:
    """Return what the expression comes to, without its condition."""
    expression = lower_bound("bad", "requests", EVIDENCE).split("\nand ")[0]
    names = {"bad": bad, "requests": requests, "sqrt": math.sqrt, "__builtins__": {}}
    return float(eval(expression.replace("\n", " "), names))


@pytest.mark.parametrize(
    ("bad", "requests", "expected"),
    [
        (10, 100, 0.05523),  # Brown, Cai and DasGupta 2001, equation 4; z = 1.96
        (1, 10, 0.01788),
        (50, 100, 0.40383),
        (100, 100, 0.96301),
        (3, 3, 0.43850),
    ],
)
def test_it_is_the_lower_end_of_wilsons_interval(
    bad: float, requests: float, expected: float
) -> None:
    assert bound(bad, requests) == pytest.approx(expected, abs=2e-5)


def test_it_is_nearly_the_share_where_there_are_many() -> None:
    assert bound(20_000, 1_000_000) == pytest.approx(0.02, rel=0.02)
    assert bound(20_000, 1_000_000) < 0.02


def test_one_bad_request_of_one_would_page_by_the_interval_alone() -> None:
    assert bound(1, 1) > 14.4 * 0.001  # which is why a least number stands beside it
    assert lower_bound("bad", "requests", EVIDENCE).endswith("and bad > 2.5")
