"""PromQL is read: selectors, labels, precedence, and what is no PromQL."""

import pytest

from grafana.lint.promql import (
    Aggregate,
    Binary,
    Call,
    Literal,
    Selector,
    Unreadable,
    parse,
    selectors,
)


def names(expr: str) -> list[str]:
    return [one.name for one in selectors(parse(expr))]


@pytest.mark.parametrize(
    ("expr", "found"),
    [
        ("up", ["up"]),
        ('up{job="a by (b) c"}', ["up"]),
        ("sum by (le) (rate(x_bucket[5m]))", ["x_bucket"]),
        ("sum(rate(x_total[5m])) by (tenant)", ["x_total"]),
        ("a and on (tenant) b or c", ["a", "b", "c"]),
        ("a / on () group_left (live) b", ["a", "b"]),
        ("count(a == bool 1) or 0 * max(b)", ["a", "b"]),
        ("topk(3, increase(x_total[1h] @ end()))", ["x_total"]),
        ("sum_over_time(up[7d:1m]) / 60", ["up"]),
        ("a offset -5m + b @ 1609746000", ["a", "b"]),
        ("-a ^ -b", ["a", "b"]),
        ("level:metric:operations{class!~'gold|silver'}", ["level:metric:operations"]),
        ("histogram_quantile(0.95, x_bucket) # a comment", ["x_bucket"]),
        ("vector(1e-3)", []),
    ],
)
def test_every_selector_is_found(expr: str, found: list[str]) -> None:
    assert names(expr) == found


def test_matchers_are_told_from_strings_that_look_like_them() -> None:
    node = parse(r"""up{job=~"POST .*/(a|b)", x != 'say \'so\'', }""")
    assert isinstance(node, Selector)
    assert node.matchers == (("job", "=~", "POST .*/(a|b)"), ("x", "!=", r"say \'so\'"))


def test_ranges_and_held_times_belong_to_their_selector() -> None:
    node = parse("increase(x_total[19h] @ end())")
    assert node == Call("increase", (Selector("x_total", (), "19h", held=True),))


def test_operators_bind_as_in_prometheus() -> None:
    node = parse("a + b * c and d")
    assert isinstance(node, Binary)
    assert node.operator == "and"
    assert isinstance(node.left, Binary)
    assert node.left.operator == "+"


def test_powers_bind_to_the_right_and_subtraction_to_the_left() -> None:
    power, difference = parse("1 ^ 2 ^ 3"), parse("1 - 2 - 3")
    assert isinstance(power, Binary)
    assert power.left == Literal("1")
    assert isinstance(difference, Binary)
    assert difference.right == Literal("3")


def test_labels_of_an_aggregation_stand_before_or_after() -> None:
    before, after = parse("sum without (a, b) (x)"), parse("sum (x) without (a, b)")
    assert before == after
    assert isinstance(before, Aggregate)
    assert (before.labels, before.keeps) == (("a", "b"), False)


@pytest.mark.parametrize(
    "expr", ["", "sum by (a (x)", "up{job=}", "a +", "rate(x[5m)", "a b", "up{job='x'", "?"]
)
def test_what_is_no_promql_is_unreadable(expr: str) -> None:
    with pytest.raises(Unreadable):
        parse(expr)
