import re
import warnings

from hypothesis import given
from hypothesis import strategies as st

from service.engine.patterns import Budget, UnreadablePattern, compile_pattern

_ATOMS = st.sampled_from(
    [
        "a",
        "b",
        ".",
        r"\.",
        r"\d",
        r"\w",
        r"\W",
        "1",
        "[ab]",
        "[^a]",
        "[a-c.]",
        "[]a]",
        "[a-]",
        "x-y",
    ]
)


def _grow(parts: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    repeats = st.sampled_from(["*", "+", "?", "{2}", "{1,2}", "{,2}", "{2,}", "*?", "+?", "??"])
    return st.one_of(
        st.lists(parts, max_size=3).map("".join),
        st.lists(parts, min_size=1, max_size=3).map("|".join),
        parts.map(lambda part: f"({part})"),
        parts.map(lambda part: f"(?:{part})"),
        parts.map(lambda part: f"(?={part})"),
        parts.map(lambda part: f"(?!{part})"),
        st.tuples(parts, repeats).map(lambda pair: f"({pair[0]}){pair[1]}"),
        parts.map(lambda part: f"^{part}"),
        parts.map(lambda part: f"{part}$"),
    )


PATTERNS = st.recursive(_ATOMS, _grow, max_leaves=8)
NAMES = st.text(alphabet="abx.1-", max_size=8)


@given(PATTERNS, NAMES)
def test_patterns_match_as_the_regular_expressions_of_python_do(pattern: str, name: str) -> None:
    try:
        compiled = compile_pattern(pattern, Budget())
    except UnreadablePattern:
        return
    assert compiled.covers(name) == (re.fullmatch(pattern, name) is not None)
    assert compiled.ends(name) == (re.match(rf"(.*\.)?({pattern})$", name) is not None)


@given(st.text(alphabet=r"ab.\d^$*+?{}[](|)!=:,12-", max_size=12), NAMES)
def test_any_text_is_refused_or_matched_as_python_would(pattern: str, name: str) -> None:
    try:
        compiled = compile_pattern(pattern, Budget())
        found = compiled.covers(name)
    except UnreadablePattern:
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # of what may be a set of sets one day
        try:
            expected = re.fullmatch(pattern, name) is not None
        except re.error:
            return  # `peft` could not have used it
    assert found == expected
