"""The selectors of PromQL expressions."""

import pytest

from tests.oncall.selectors import name_of, selectors_of


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("up", ["up"]),
        ('up{job="tenantry"} == 0', ['up{job="tenantry"}']),
        ("sum by (tenant) (rate(a_total[5m]))", ["a_total"]),
        ("sum(rate(a_total[5m])) by (tenant, adapter)", ["a_total"]),
        ("sum without (instance) (a) / on (tenant) group_left (class) b", ["a", "b"]),
        ("histogram_quantile(0.9, sum by (le) (rate(a_bucket[1h] offset 5m)))", ["a_bucket"]),
        ("tenant:requests:ratio_rate1h > (14.4 * 0.001)", ["tenant:requests:ratio_rate1h"]),
        ("a and b or c unless ignoring (x) d", ["a", "b", "c", "d"]),
        ('{__name__=~"a|b", x="}"}', ['{__name__=~"a|b",x="}"}']),
        ("max_over_time(a{x='1'}[30d:5m])", ["a{x='1'}"]),
        ("max_over_time((a - b)[1h:])", ["a", "b"]),
        ("vector(1) + 0x1F - 1e3 * time() > bool NaN", []),
        ("a @ end() offset -1h30m", ["a"]),
        ("topk(3, a) # b, c", ["a"]),
        ("count(a) + count(a)", ["a"]),
        ('label_replace(a, "x", "$1", "y", "(.*)")', ["a"]),
        ("absent_over_time(a[10m]) and on () b", ["a", "b"]),
    ],
)
def test_selectors_are_found_wherever_they_stand(expression: str, expected: list[str]) -> None:
    assert selectors_of(expression) == expected


@pytest.mark.parametrize("expression", ["a ? b", "a{x=1", "sum(rate(a[5m)"])
def test_what_is_no_promql_is_refused(expression: str) -> None:
    with pytest.raises(ValueError, match=r"is no PromQL|is not closed"):
        selectors_of(expression)


def test_a_selector_tells_its_metric() -> None:
    assert name_of('a:b{x="1"}') == "a:b"
    assert name_of('{__name__="up", x="1"}') == "up"
    assert name_of('{x="1"}') == ""
