"""A runbook's page as a test reads it: its head, its parts, and each command in them, word by word.

Commands are read as a person types them: variables have the values that the page gives them.
"""

import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

HEADINGS = (
    "What the user sees",
    "How to confirm",
    "What to do now",
    "What to do next",
    "Whom to tell",
)
# A key is never written down, and an open service needs none.
GIVEN = {"TENANTRY_KEY": "key", "USER": "somebody"}
# What a page asks for, and does not set: it would overwrite what was read off the alert.
ASKED = {"TENANT": "acme", "ADAPTER": "inbox", "VERSION": "4"}

_BLOCK = re.compile(r"^( *)```sh\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
_FENCE = re.compile(r"^( *)```.*?^\1```$", re.MULTILINE | re.DOTALL)
_SPAN = re.compile(r"`([^`\n]+)`")
_HEAD = re.compile(r"^Severity: ([^.]+)\.\s+Owner:\s+`(\w+)`\.\s", re.MULTILINE)
_VARIABLE = re.compile(
    r"\$(?:(?P<plain>\w+)"
    r"|\{(?P<name>\w+)(?:(?P<how>:[-+])(?P<other>(?:\"[^\"]*\"|[^}\"])*))?\})"
)
_QUESTION = re.compile(r"\$\{(\w+):\?[^}]+\}")
_ASSIGNMENT = re.compile(r"^(\w+)=(.*)$", re.DOTALL)
_SEPARATORS = {"|", "||", "&&", ";", "&"}
_DOLLAR = "\1"  # stands for one that is no variable


class Unset(Exception):
    """A command names a variable that the page has not set."""


@dataclass(frozen=True, slots=True)
class Command:
    """One program with its arguments."""

    words: tuple[str, ...]
    where: str  # the line as it is written
    variables: Mapping[str, str]  # that the page has set by then

    @property
    def program(self) -> str:
        """Return the program's name."""
        return self.words[0]


@dataclass(frozen=True, slots=True)
class Page:
    """A page of the runbooks, or another one with commands in it."""

    name: str
    text: str

    @classmethod
    def read(cls, path: Path) -> "Page":
        """Return the page of a file."""
        return cls(path.stem, path.read_text(encoding="utf-8"))

    @property
    def prose(self) -> str:
        """Return it without its examples."""
        return _FENCE.sub("", self.text)

    @property
    def title(self) -> str:
        """Return its title."""
        return self.text.partition("\n")[0]

    @property
    def means(self) -> str:
        """Return what its first lines say that the alert means; empty where they do not."""
        paragraph = self.text.split("\n\n")[1] if self.text.count("\n\n") else ""
        marker = "Fired means: "
        return paragraph.removeprefix(marker) if paragraph.startswith(marker) else ""

    @property
    def severities(self) -> list[str]:
        """Return the severities that its head names."""
        found = _HEAD.search(self.text)
        named = _SPAN.findall(found[1]) if found else []
        return sorted(set(named) & {"critical", "warning", "info", "none"})

    @property
    def owner(self) -> str:
        """Return the owner that its head names."""
        found = _HEAD.search(self.text)
        return found[2] if found else ""

    @property
    def headings(self) -> tuple[str, ...]:
        """Return its headings of the second level."""
        return tuple(re.findall(r"^## (.+)$", self.prose, re.MULTILINE))

    @property
    def parts(self) -> dict[str, str]:
        """Return what is below each heading."""
        _, *rest = re.split(r"^## ", self.text, flags=re.MULTILINE)
        return {part.partition("\n")[0]: part.partition("\n")[2].strip() for part in rest}

    @property
    def blocks(self) -> list[str]:
        """Return its shell examples, without the indentation of the list that they stand in."""
        return [
            re.sub(f"^{found[1]}", "", found[2], flags=re.MULTILINE)
            for found in _BLOCK.finditer(self.text)
        ]

    def commands(self, given: Mapping[str, str] = GIVEN) -> Iterator[Command]:
        """Yield each command of its blocks, in their order.

        Raises `Unset`, and `ValueError` for a line that is no shell.
        """
        values = dict(given)
        for block in self.blocks:
            for line in block.replace("\\\n", " ").splitlines():
                yield from _commands(line, values)


def _commands(line: str, values: dict[str, str]) -> Iterator[Command]:
    for written in _simple(line):
        if written[0] == ":":
            for word in written[1:]:
                asked = _QUESTION.fullmatch(word)
                if asked is None or asked[1] not in ASKED:
                    raise ValueError(f"{line}: {word} asks for nothing that an alert has")
                values.setdefault(asked[1], ASKED[asked[1]])
            continue
        words = [one for word in written if (one := _expanded(word, values))]
        if words[0] == "export":
            for word in words[1:]:
                found = _ASSIGNMENT.match(word)
                if found is None:
                    raise ValueError(f"{line}: {word} sets nothing")
                values[found[1]] = found[2]
            continue
        while _ASSIGNMENT.match(words[0]):
            words = words[1:]
        yield Command(tuple(words), line.strip(), dict(values))


def _simple(line: str) -> Iterator[list[str]]:
    """Yield the words of each simple command of a line, without redirections.

    Raises `ValueError` for a line that is no shell.
    """
    lexer = shlex.shlex(_protected(line), posix=True, punctuation_chars="|&;<>")
    lexer.whitespace_split = True
    lexer.commenters = "#"
    words: list[str] = []
    tokens = iter(lexer)
    for token in tokens:
        if re.fullmatch("[<>&]*[<>][<>&]*", token):  # a redirection, with its file or descriptor
            next(tokens, None)
            words = words[:-1] if words and words[-1] in "012" else words
        elif token in _SEPARATORS:
            if words:
                yield words
            words = []
        else:
            words.append(token)
    if words:
        yield words


def _protected(line: str) -> str:
    """Return a line whose single-quoted dollars, outside of double quotes, mean nothing."""
    protected, quote = [], ""
    for letter in line:
        if letter in "'\"" and quote in ("", letter):
            quote = "" if quote else letter
        protected.append(_DOLLAR if letter == "$" and quote == "'" else letter)
    return "".join(protected)


def _expanded(word: str, values: Mapping[str, str]) -> str:
    def value(found: re.Match[str]) -> str:
        name, how = found["plain"] or found["name"], found["how"]
        if how == ":-":
            return values.get(name) or found["other"]
        if how == ":+":
            return _expanded(found["other"].strip('"'), values) if values.get(name) else ""
        if name not in values:
            raise Unset(f"${name} is used before the page has set it")
        return values[name]

    return _VARIABLE.sub(value, word).replace(_DOLLAR, "$")
