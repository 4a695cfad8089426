"""The vector selectors of a PromQL expression, found without evaluating it.

Prometheus tells them itself from version 3 on (`/api/v1/parse_query`); this is for those before.
A name is a metric unless a bracket follows it. What stands in the brackets after `by`, `without`,
`on`, `ignoring`, `group_left` and `group_right` are labels.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

_TOKEN = re.compile(
    r"""
    (?P<space>\s+|\#[^\n]*)
    | (?P<string>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|`[^`]*`)
    | (?P<number>(?:\d+(?:ms|[smhdwy]))+|0x[0-9a-fA-F]+|(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)
    | (?P<name>[a-zA-Z_:][a-zA-Z0-9_:]*)
    | (?P<sign>=~|!~|==|!=|>=|<=|[-+*/%^(){}\[\],=<>@:])
    """,
    re.VERBOSE,
)
_LABEL_LISTS = {"by", "without", "on", "ignoring", "group_left", "group_right"}
_WORDS = _LABEL_LISTS | {"and", "or", "unless", "bool", "offset", "atan2", "inf", "nan"}


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str


def selectors_of(expression: str) -> list[str]:
    """Return each different selector of an expression, in its order.

    Raises `ValueError` where something in it is no token of PromQL.
    """
    tokens = list(_tokens(expression))
    found: list[str] = []
    place = 0
    while place < len(tokens):
        token, after = tokens[place], _text(tokens, place + 1)
        if token.kind == "name" and token.text.lower() in _LABEL_LISTS and after == "(":
            place = _end(tokens, place + 1, "(", ")")
        elif token.text == "[":
            place = _end(tokens, place, "[", "]")
        elif token.text == "{" or (token.kind == "name" and _is_metric(token.text, after)):
            name = "" if token.text == "{" else token.text
            start = place + bool(name)
            braces = _text(tokens, start) == "{"
            place = _end(tokens, start, "{", "}") if braces else start
            found.append(name + "".join(each.text for each in tokens[start:place]))
        else:
            place += 1
    return list(dict.fromkeys(found))


def name_of(selector: str) -> str:
    """Return the name of the metric that a selector selects; empty where it names none."""
    written = selector.partition("{")[0]
    if written:
        return written
    named = re.search(r'__name__\s*=\s*"([^"]*)"', selector)
    return named[1] if named else ""


def _is_metric(name: str, after: str) -> bool:
    """Say whether a name selects: no function, aggregation or word of the language does.

    A bracket follows a function, and an aggregation too, where `by` or `without` does not.
    """
    return name.lower() not in _WORDS and after != "(" and after.lower() not in ("by", "without")


def _tokens(expression: str) -> Iterator[_Token]:
    place = 0
    while place < len(expression):
        found = _TOKEN.match(expression, place)
        if found is None:
            raise ValueError(f"{expression[place : place + 20]!r} is no PromQL")
        place = found.end()
        kind = found.lastgroup or ""
        if kind != "space":
            yield _Token(kind, found[0])


def _text(tokens: Sequence[_Token], place: int) -> str:
    return tokens[place].text if place < len(tokens) else ""


def _end(tokens: Sequence[_Token], place: int, opening: str, closing: str) -> int:
    """Return the place after the bracket that closes the one at a place."""
    depth = 0
    for at in range(place, len(tokens)):
        depth += {opening: 1, closing: -1}.get(tokens[at].text, 0)
        if not depth:
            return at + 1
    raise ValueError(f"a {opening} is not closed")
