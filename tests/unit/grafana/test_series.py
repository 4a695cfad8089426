"""Series and labels that an expression asks for are compared with those that there are."""

import pytest

from grafana.lint.promql import parse
from grafana.lint.series import Declared, Known, Recorded, complaints, labels_of

KNOWN = Known.of(
    [
        Declared("answers_total", "counter", ("tenant", "outcome")),
        Declared("depth", "gauge"),
        Declared("depth_max", "gauge"),
        Declared("share", "gauge", ("tenant", "role")),
        Declared("wait_seconds", "histogram", ("route",)),
    ],
    [
        Recorded("tenant:answers:rate5m", "sum by (tenant) (rate(answers_total[5m]))"),
        Recorded("tenant:answers:double", "2 * tenant:answers:rate5m", ("window",)),
    ],
)


def wrong(expr: str) -> list[str]:
    return complaints(parse(expr), KNOWN)


@pytest.mark.parametrize(
    "expr",
    [
        "sum by (tenant) (rate(answers_total[5m]))",
        "histogram_quantile(0.9, sum by (le, route) (rate(wait_seconds_bucket[5m])))",
        "max(depth / depth_max)",
        'sum by (tenant) (answers_total) and on (tenant) share{role="live"}',
        "sum by (outcome) (answers_total) / on () group_left () sum (answers_total)",
        "tenant:answers:double{window='1h', tenant='a'}",
        "1 - tenant:answers:rate5m",
        'label_replace(up, "name", "$1", "instance", "(.*)")',
        "sum by (tenant) (topk by (tenant) (1, answers_total))",
    ],
)
def test_what_there_is_may_be_asked(expr: str) -> None:
    assert wrong(expr) == []


@pytest.mark.parametrize(
    ("expr", "word"),
    [
        ("answer_total", "no series 'answer_total'"),
        ("wait_seconds", "no series 'wait_seconds'"),
        ('depth{tenant="a"}', "no label 'tenant'"),
        ("sum by (version) (answers_total)", "by 'version'"),
        ("sum by (tenant) (sum by (outcome) (answers_total))", "by 'tenant'"),
        ("share and on (tenant) depth", "on 'tenant'"),
        ("share / on (tenant) group_left (outcome) tenant:answers:rate5m", "of 'outcome'"),
        ("answers_total / depth", "different labels"),
        ("histogram_quantile(0.9, sum by (route) (wait_seconds_bucket))", "without le"),
        ("tenant:answers:rate5m{outcome='ok'}", "no label 'outcome'"),
    ],
)
def test_what_there_is_not_is_named(expr: str, word: str) -> None:
    [one] = wrong(expr)
    assert word in one


def test_the_labels_of_an_expression_follow_what_is_done_to_it() -> None:
    def labels(expr: str) -> set[str]:
        return set(labels_of(parse(expr), KNOWN))

    assert labels("answers_total") == {"tenant", "outcome", "job", "instance"}
    assert labels("sum without (instance, job) (answers_total)") == {"tenant", "outcome"}
    assert labels("sum (answers_total)") == set()
    assert labels("absent(up)") == set()
    assert labels("topk(3, answers_total)") == {"tenant", "outcome", "job", "instance"}
    assert labels('label_replace(depth, "x", "", "job", "")') == {"job", "instance", "x"}
