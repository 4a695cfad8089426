import re

import pytest

from service.engine.patterns import Budget, UnreadablePattern, compile_pattern

NAME = "bert.encoder.layer.11.attention.self.query"


def peft_matches(pattern: str, name: str) -> bool:
    """What `peft.utils.other.get_pattern_key` does with one key."""
    return re.match(rf"(.*\.)?({pattern})$", name) is not None


@pytest.mark.parametrize(
    "pattern",
    [
        "query",
        "self.query",
        "elf.query",
        "layer.11.attention.self.query",
        "layer.1.attention.self.query",
        r"layer\.11\.attention\.self\.query",
        NAME,
        f"^{NAME}",
        "^encoder.*",
        ".*",
        r".*\.(query|value)",
        r"layer\.(1[01]|2)\..*",
        r"layer\.\d+\..*query",
        r"layer\.\d{1}\..*query",
        r"layer\.\d{2,}\..*query",
        r"(?:.*attention.*)(?!value)query",
        r"(?!.*attention).*",
        r"(?=.*self).*query",
        "[a-z]+",
        "[^.]+",
        "quer[x-z]$",
        "query$",
        "query|value",
        "",
        "quer",
        "(self.)?query",
        "(self|attention)+.query",
        "q.{3}y",
        "q.*?y",
    ],
)
def test_a_pattern_matches_where_the_rule_of_peft_does(pattern: str) -> None:
    compiled = compile_pattern(pattern, Budget())
    for name in (NAME, "query", "self.query", "bert.pooler.dense", "a.value"):
        assert compiled.ends(name) == peft_matches(pattern, name), name
        assert compiled.covers(name) == (re.fullmatch(pattern, name) is not None), name


@pytest.mark.parametrize(
    ("pattern", "advice"),
    [
        (r"(a)\1", r"'\\1'"),
        ("(?<=a)b", r"'\(\?<'"),
        ("(?i)query", r"'\(\?i'"),
        ("a++", "after another"),
        ("a**", "after another"),
        ("*a", r"'\*'"),
        ("^*", "cannot be repeated"),
        ("(a", "without its end"),
        ("a)", "too many"),
        ("[a", "too early"),
        ("[z-a]", "range"),
        ("a{3,2}", "bounds"),
        ("a{9999}", "bounds"),
        ("a{x}", "'{'"),
        ("a\\", "too early"),
        ("é", "characters"),
        ("a" * 600, "600 characters"),
        ("(" * 30 + "a*" + ")" * 30, "nested deeper"),
    ],
)
def test_what_is_not_read_is_refused_with_its_reason(pattern: str, advice: str) -> None:
    with pytest.raises(UnreadablePattern, match=advice):
        compile_pattern(pattern, Budget())


@pytest.mark.parametrize(
    "pattern",
    ["(a*)*b", "(a|a)*b", "(a|aa)+$b", "(.*)*(.*)*(.*)*!", "((((a?){99}){99}){99}){99}b"],
)
def test_patterns_that_python_cannot_finish_are_answered_in_bounded_steps(pattern: str) -> None:
    compiled = compile_pattern(pattern, Budget(100_000))
    assert not compiled.ends("a" * 200)


def test_a_pattern_that_takes_too_many_steps_is_refused() -> None:
    compiled = compile_pattern("(((.(?=.*!)|.)+(?=.*!)|.)+(?=.*!)|.)+!", Budget(100_000))
    with pytest.raises(UnreadablePattern, match="takes too long"):
        compiled.covers("a" * 50)


def test_the_budget_is_shared_by_all_patterns_of_an_upload() -> None:
    budget = Budget(200)
    first, second = compile_pattern("(a|b)+", budget), compile_pattern("(c|d)+", budget)
    assert second.covers("cd" * 10)
    assert first.covers("ab" * 5)
    with pytest.raises(UnreadablePattern, match="takes too long"):
        second.covers("cd" * 10)
