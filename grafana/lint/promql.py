"""PromQL, read as far as a linter needs it: which series and labels an expression names.

It takes for granted that the expression is valid, which `promtool check rules` says better.
The grammar is that of Prometheus 2.42: https://prometheus.io/docs/prometheus/latest/querying/
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

_TOKENS = re.compile(
    r"""
    (?P<space>\s+|\#[^\n]*)
  | (?P<string>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|`[^`]*`)
  | (?P<range>\[[^\]]*\])
  | (?P<duration>\d+(?:ms|[smhdwy])(?:\d+(?:ms|[smhdwy]))*)
  | (?P<number>0x[0-9a-fA-F]+|(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)
  | (?P<name>[a-zA-Z_:][a-zA-Z0-9_:]*)
  | (?P<sign>=~|!~|!=|==|>=|<=|[-+*/%^(){},=<>@])
    """,
    re.VERBOSE,
)
_AGGREGATIONS = frozenset(
    (
        *("sum", "min", "max", "avg", "group", "stddev", "stdvar", "count"),
        *("count_values", "bottomk", "topk", "quantile"),
    )
)
_PRECEDENCE = {
    "or": 1,
    "and": 2,
    "unless": 2,
    **dict.fromkeys(("==", "!=", ">", "<", ">=", "<="), 3),
    **dict.fromkeys(("+", "-"), 4),
    **dict.fromkeys(("*", "/", "%", "atan2"), 5),
    "^": 6,
}


class Unreadable(Exception):
    """The expression is not PromQL, as far as it was understood; the message says where."""


@dataclass(frozen=True, slots=True)
class Selector:
    """A series by name, with the labels that it is matched by."""

    name: str
    matchers: tuple[tuple[str, str, str], ...]  # label, operator, value
    span: str = ""  # of a range selector: `5m`
    held: bool = False  # at one time for the whole query, by `@`


@dataclass(frozen=True, slots=True)
class Literal:
    """A number or a string."""

    text: str


@dataclass(frozen=True, slots=True)
class Call:
    """A function of expressions; a subquery or unary sign counts as none."""

    function: str
    arguments: tuple["Node", ...]


@dataclass(frozen=True, slots=True)
class Aggregate:
    """An aggregation; without `by` or `without`, `labels` is empty and `keeps` is true."""

    operation: str
    arguments: tuple["Node", ...]
    labels: tuple[str, ...]
    keeps: bool  # whether `labels` are those that are kept, or those that are left out


@dataclass(frozen=True, slots=True)
class Binary:
    """Two expressions, and how their series find each other."""

    operator: str
    left: "Node"
    right: "Node"
    labels: tuple[str, ...]
    on: bool | None  # `on`, or `ignoring`, or neither
    group: str = ""  # "left" or "right": the side with more series
    included: tuple[str, ...] = ()


Node = Selector | Literal | Call | Aggregate | Binary


def parse(expr: str) -> Node:
    """Return the tree of an expression; raise `Unreadable`."""
    reader = _Reader(list(_tokens(expr)))
    node = reader.binary(0)
    if reader.kind:
        raise Unreadable(f"{reader.text!r} was not expected in {expr!r}")
    return node


def selectors(node: Node) -> Iterator[Selector]:
    """Yield every selector of a tree."""
    if isinstance(node, Selector):
        yield node
    elif isinstance(node, Binary):
        yield from selectors(node.left)
        yield from selectors(node.right)
    elif isinstance(node, Call | Aggregate):
        for argument in node.arguments:
            yield from selectors(argument)


def calls(node: Node) -> Iterator[Call]:
    """Yield every function call of a tree."""
    if isinstance(node, Binary):
        yield from calls(node.left)
        yield from calls(node.right)
    elif isinstance(node, Call | Aggregate):
        if isinstance(node, Call):
            yield node
        for argument in node.arguments:
            yield from calls(argument)


def _tokens(expr: str) -> Iterator[tuple[str, str]]:
    at = 0
    while at < len(expr):
        found = _TOKENS.match(expr, at)
        if found is None:
            raise Unreadable(f"{expr[at : at + 10]!r} cannot be read in {expr!r}")
        at = found.end()
        if found.lastgroup != "space":
            yield str(found.lastgroup), found.group()


class _Reader:
    """Reads tokens from left to right, by precedence."""

    def __init__(self, tokens: list[tuple[str, str]]) -> None:
        self._tokens = tokens
        self._at = 0

    @property
    def kind(self) -> str:
        """Return the kind of the next token, or nothing at the end."""
        return self._tokens[self._at][0] if self._at < len(self._tokens) else ""

    @property
    def text(self) -> str:
        """Return the next token, or nothing at the end."""
        return self._tokens[self._at][1] if self._at < len(self._tokens) else ""

    def _take(self, wanted: str = "") -> str:
        text = self.text
        if not text or (wanted and text != wanted):
            raise Unreadable(f"{wanted or 'more'!r} was expected, not {text!r}")
        self._at += 1
        return text

    def binary(self, least: int) -> Node:
        left = self._unary()
        while (rank := _PRECEDENCE.get(self.text, 0)) > least:
            operator = self._take()
            if self.text == "bool":
                self._take()
            labels, on, group, included = self._matching()
            right = self.binary(rank - 1 if operator == "^" else rank)
            left = Binary(operator, left, right, labels, on, group, included)
        return left

    def _matching(self) -> tuple[tuple[str, ...], bool | None, str, tuple[str, ...]]:
        if self.text not in {"on", "ignoring"}:
            return (), None, "", ()
        on = self._take() == "on"
        labels = self._labels()
        if self.text not in {"group_left", "group_right"}:
            return labels, on, "", ()
        group = self._take().removeprefix("group_")
        included = self._labels() if self.text == "(" else ()
        return labels, on, group, included

    def _labels(self) -> tuple[str, ...]:
        found = []
        self._take("(")
        while self.text != ")":
            found.append(self._take())
            if self.text == ",":
                self._take()
        self._take(")")
        return tuple(found)

    def _unary(self) -> Node:
        if self.text in {"-", "+"}:
            self._take()
            return self._unary()
        return self._modified(self._primary())

    def _modified(self, node: Node) -> Node:
        while self.kind == "range" or self.text in {"offset", "@"}:
            if self.kind == "range":
                span = self._take()[1:-1].strip()
                if isinstance(node, Selector) and ":" not in span:
                    node = replace(node, span=span)
            elif self._take() == "offset":
                if self.text == "-":
                    self._take()
                self._take()
            else:
                if self._take() in {"start", "end"}:
                    self._labels()
                if isinstance(node, Selector):
                    node = replace(node, held=True)
        return node

    def _primary(self) -> Node:
        if self.text == "(":
            self._take()
            node = self.binary(0)
            self._take(")")
            return node
        if self.kind in {"number", "string", "duration"}:
            return Literal(self._take())
        if self.text == "{":
            return Selector("", self._matchers())
        if self.kind != "name":
            raise Unreadable(f"a name was expected, not {self.text!r}")
        name = self._take()
        if name.lower() in {"inf", "nan"}:
            return Literal(name)
        if name in _AGGREGATIONS and self.text in {"(", "by", "without"}:
            return self._aggregate(name)
        if self.text == "(":
            return Call(name, self._arguments())
        return Selector(name, self._matchers() if self.text == "{" else ())

    def _aggregate(self, name: str) -> Aggregate:
        labels, keeps = self._grouping()
        arguments = self._arguments()
        if self.text in {"by", "without"}:
            labels, keeps = self._grouping()
        return Aggregate(name, arguments, labels, keeps)

    def _grouping(self) -> tuple[tuple[str, ...], bool]:
        if self.text not in {"by", "without"}:
            return (), True
        keeps = self._take() == "by"
        return self._labels(), keeps

    def _arguments(self) -> tuple[Node, ...]:
        found = []
        self._take("(")
        while self.text != ")":
            found.append(self.binary(0))
            if self.text == ",":
                self._take()
        self._take(")")
        return tuple(found)

    def _matchers(self) -> tuple[tuple[str, str, str], ...]:
        found = []
        self._take("{")
        while self.text != "}":
            label, operator, value = self._take(), self._take(), self._take()
            found.append((label, operator, value[1:-1]))
            if self.text == ",":
                self._take()
        self._take("}")
        return tuple(found)
