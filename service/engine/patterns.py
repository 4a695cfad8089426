r"""Regular expressions from uploads, matched in bounded time.

`peft` takes the keys of `rank_pattern` and `alpha_pattern`, and `target_modules` and
`exclude_modules` where they are one text, for regular expressions. Python's `re` may take
exponential time over a hostile one, so only plain ones reach it. The rest is parsed here and
matched over *sets of positions*: from the positions where a part may begin follow those where it
may end, and no path is tried twice. For what is parsed (literals, `.`, classes, groups, `|`,
`* + ? {m,n}` greedy or lazy, `^ $`, look-ahead, `\d \w \s` and their opposites) the language is
the one that `re` matches; anything else (back references, look-behind, flags, possessive and
atomic parts) is refused.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

CHARS_MAX = 512

_REPEAT_MAX = 1_000
_DEPTH_MAX = 20
_PLAIN = re.compile(r"(?:[\w\-.]|\\[.\-])*", re.ASCII)
_CLASSES: dict[str, Callable[[str], bool]] = {
    "d": lambda char: char.isdigit(),
    "D": lambda char: not char.isdigit(),
    "w": lambda char: char.isalnum() or char == "_",
    "W": lambda char: not (char.isalnum() or char == "_"),
    "s": lambda char: char.isspace(),
    "S": lambda char: not char.isspace(),
}


class UnreadablePattern(ValueError):
    """A pattern that is not read here; always translated by the caller."""


class Budget:
    """Steps that all patterns of one upload may take together."""

    def __init__(self, steps: int = 1_000_000) -> None:
        self._left = steps

    def spend(self, steps: int) -> None:
        """Take steps off; raise `UnreadablePattern` where none are left."""
        self._left -= steps
        if self._left < 0:
            raise UnreadablePattern("takes too long to match; write plain names instead")


@dataclass(frozen=True, slots=True)
class Pattern:
    """One regular expression over the names of modules."""

    text: str
    _plain: tuple[re.Pattern[str], re.Pattern[str]] | None
    _part: "_Part | None"
    _budget: Budget

    def ends(self, name: str) -> bool:
        r"""Say whether `re.match(rf"(.*\.)?({text})$", name)`, `peft`'s rule for the two patterns.

        Raises `UnreadablePattern` where the budget is spent.
        """
        if self._plain is not None:
            return self._plain[0].match(name) is not None
        starts = {0} | {i + 1 for i, char in enumerate(name) if char == "."}
        return self._reaches_end(name, frozenset(starts))

    def covers(self, name: str) -> bool:
        """Say whether `re.fullmatch(text, name)`, `peft`'s rule for modules given as one text.

        Raises `UnreadablePattern` where the budget is spent.
        """
        if self._plain is not None:
            return self._plain[1].fullmatch(name) is not None
        return self._reaches_end(name, frozenset({0}))

    def _reaches_end(self, name: str, starts: frozenset[int]) -> bool:
        assert self._part is not None
        return len(name) in self._part(name, starts, self._budget)


# From the positions where a part may begin to those where it may end.
_Part = Callable[[str, frozenset[int], Budget], frozenset[int]]


def compile_pattern(text: str, budget: Budget) -> Pattern:
    """Return the pattern; raise `UnreadablePattern` where it is not one that is read here."""
    if len(text) > CHARS_MAX:
        raise UnreadablePattern(f"has {len(text)} characters, the limit is {CHARS_MAX}")
    if not (text.isascii() and text.isprintable()):
        raise UnreadablePattern("has characters that no module's name has")
    if _PLAIN.fullmatch(text):
        plain = (re.compile(rf"(.*\.)?({text})$"), re.compile(text))
        return Pattern(text, plain, None, budget)
    parser = _Parser(text)
    part = parser.alternatives(0)
    if parser.at < len(text):
        raise UnreadablePattern(f"has a {text[parser.at]!r} too many")
    return Pattern(text, None, part, budget)


class _Parser:
    """Recursive descent over a pattern's text; `at` is the next character."""

    def __init__(self, text: str) -> None:
        self._text = text
        self.at = 0

    def alternatives(self, depth: int) -> _Part:
        if depth > _DEPTH_MAX:
            raise UnreadablePattern(f"has groups nested deeper than {_DEPTH_MAX}")
        choices = [self._sequence(depth)]
        while self._take("|"):
            choices.append(self._sequence(depth))
        return choices[0] if len(choices) == 1 else _any_of(choices)

    def _sequence(self, depth: int) -> _Part:
        parts: list[_Part] = []
        while self.at < len(self._text) and self._text[self.at] not in "|)":
            part, repeatable = self._atom(depth)
            bounds = self._quantifier()
            if bounds is not None:
                if not repeatable:
                    raise UnreadablePattern("repeats what cannot be repeated")
                part = _repeat(part, *bounds)
            parts.append(part)
        return _one_after_another(parts)

    def _atom(self, depth: int) -> tuple[_Part, bool]:
        char = self._next()
        if char == "(":
            return self._group(depth)
        if char == "[":
            return _one(self._class()), True
        if char == ".":
            return _one(lambda _: True), True  # names have no line ends
        if char == "^":
            return _start, False
        if char == "$":
            return _end, False
        if char == "\\":
            return _one(self._escape()), True
        if char in "*+?{":
            raise UnreadablePattern(f"has a {char!r} that is not read here")
        return _one(lambda other: other == char), True

    def _group(self, depth: int) -> tuple[_Part, bool]:
        ahead = None
        if self._take("?"):
            kind = self._next()
            if kind in "=!":
                ahead = kind
            elif kind != ":":
                raise UnreadablePattern(f"has '(?{kind}', which is not read here")
        part = self.alternatives(depth + 1)
        if not self._take(")"):
            raise UnreadablePattern("has a group without its end")
        if ahead is None:
            return part, True
        return _ahead(part, wanted=ahead == "="), False

    def _class(self) -> Callable[[str], bool]:
        negated = self._take("^")
        tests: list[Callable[[str], bool]] = []
        first = True
        while first or not self._take("]"):
            char = self._next()
            first = False
            if char == "[":
                raise UnreadablePattern("has a '[' inside of a class")
            ranges = self._text.startswith("-", self.at) and not self._text.startswith(
                "]", self.at + 1
            )
            if char == "\\":
                tests.append(self._escape())
                if self._text.startswith("-", self.at):
                    raise UnreadablePattern("has a '-' behind an escape inside of a class")
            elif ranges:
                self._next()
                last = self._next()
                if last in "\\[" or last < char:
                    raise UnreadablePattern(f"has a range '{char}-{last}' that is not read here")
                tests.append(_within(char, last))
            else:
                tests.append(_within(char, char))
        return lambda char: any(test(char) for test in tests) != negated

    def _escape(self) -> Callable[[str], bool]:
        char = self._next()
        if char in _CLASSES:
            return _CLASSES[char]
        if char.isalnum():
            raise UnreadablePattern(f"has '\\{char}', which is not read here")
        return lambda other: other == char

    def _quantifier(self) -> tuple[int, int | None] | None:
        char = self._text[self.at : self.at + 1]
        bounds: tuple[int, int | None]
        if char in ("*", "+", "?"):
            self.at += 1
            bounds = {"*": (0, None), "+": (1, None), "?": (0, 1)}[char]
        elif char == "{":
            found = re.compile(r"\{(\d{1,4})?(,(\d{1,4})?)?\}", re.ASCII).match(self._text, self.at)
            if found is None or found.group() == "{}":
                raise UnreadablePattern("has a '{' that is not read here")
            self.at = found.end()
            least = int(found[1] or 0)
            bounds = (least, (int(found[3]) if found[3] else None) if found[2] else least)
        else:
            return None
        low, high = bounds
        if max(low, high or 0) > _REPEAT_MAX or (high is not None and high < low):
            raise UnreadablePattern(f"repeats {char!r} in bounds that are not read here")
        self._take("?")  # lazy: the same language
        if self._text[self.at : self.at + 1] in ("*", "+", "?", "{"):
            raise UnreadablePattern("has one repetition after another")
        return bounds

    def _next(self) -> str:
        if self.at >= len(self._text):
            raise UnreadablePattern("ends too early")
        self.at += 1
        return self._text[self.at - 1]

    def _take(self, char: str) -> bool:
        found = self._text.startswith(char, self.at)
        self.at += found
        return found


def _within(first: str, last: str) -> Callable[[str], bool]:
    return lambda char: first <= char <= last


def _one(test: Callable[[str], bool]) -> _Part:
    def ends(name: str, starts: frozenset[int], budget: Budget) -> frozenset[int]:
        budget.spend(1 + len(starts))
        return frozenset(i + 1 for i in starts if i < len(name) and test(name[i]))

    return ends


def _start(_: str, starts: frozenset[int], budget: Budget) -> frozenset[int]:
    budget.spend(1)
    return starts & {0}


def _end(name: str, starts: frozenset[int], budget: Budget) -> frozenset[int]:
    budget.spend(1)
    return starts & {len(name)}


def _one_after_another(parts: list[_Part]) -> _Part:
    def ends(name: str, starts: frozenset[int], budget: Budget) -> frozenset[int]:
        budget.spend(1)
        for part in parts:
            if not starts:
                break
            starts = part(name, starts, budget)
        return starts

    return ends


def _any_of(parts: list[_Part]) -> _Part:
    def ends(name: str, starts: frozenset[int], budget: Budget) -> frozenset[int]:
        return frozenset[int]().union(*(part(name, starts, budget) for part in parts))

    return ends


def _ahead(part: _Part, *, wanted: bool) -> _Part:
    def ends(name: str, starts: frozenset[int], budget: Budget) -> frozenset[int]:
        return frozenset(i for i in starts if bool(part(name, frozenset({i}), budget)) == wanted)

    return ends


def _repeat(part: _Part, low: int, high: int | None) -> _Part:
    def ends(name: str, starts: frozenset[int], budget: Budget) -> frozenset[int]:
        reached = starts
        for _ in range(low):
            after = part(name, reached, budget)
            if after == reached:
                break
            reached = after
        found = frontier = reached
        rounds = 0
        while frontier and (high is None or rounds < high - low):
            frontier = part(name, frontier, budget) - found
            found |= frontier
            rounds += 1
        return found

    return ends
