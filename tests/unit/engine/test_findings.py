import pytest

from service.engine.errors import InvalidAdapter, Problem
from service.engine.findings import KEPT_MAX, Findings, shown


def test_no_findings_raise_nothing() -> None:
    Findings().settle()


def test_every_problem_is_raised_in_order() -> None:
    findings = Findings()
    findings.add("a", "is wrong")
    findings.extend([Problem("b", "is worse")])
    with pytest.raises(InvalidAdapter) as caught:
        findings.settle()
    assert caught.value.problems == (Problem("a", "is wrong"), Problem("b", "is worse"))
    assert str(caught.value) == "a: is wrong; b: is worse"


def test_beyond_the_bound_the_number_of_the_others_is_told() -> None:
    findings = Findings()
    for i in range(KEPT_MAX + 7):
        findings.add(str(i), "is wrong")
    assert len(findings) == KEPT_MAX + 7
    with pytest.raises(InvalidAdapter) as caught:
        findings.settle()
    assert len(caught.value.problems) == KEPT_MAX + 1
    assert caught.value.problems[-1].what == "7 more problems are not listed"


def test_texts_from_strangers_are_cut_and_escaped() -> None:
    assert shown("a" * 100, 10) == "aaaaaaa..."
    assert shown("line\nfeed \x1b[31m \ud800") == "line\\nfeed \\x1b[31m \\ud800"
    assert shown("größe") == "größe"
