"""Reading JSON documents: every field by its name and type, or an error that names it.

What a newer server adds is ignored; what is missing or of another type is `UnreadableAnswer`.
"""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any, TypeVar

from service.client.errors import UnreadableAnswer

Document = Mapping[str, Any]

_T = TypeVar("_T")


class Reader:
    """The fields of one document; `what` names it in errors."""

    def __init__(self, value: object, what: str) -> None:
        if not isinstance(value, Mapping):
            raise _other(what, "is no JSON object")
        self.document: Document = value
        self._what = what

    def text(self, name: str) -> str:
        """Return a text."""
        return self._of(name, str)

    def whole(self, name: str) -> int:
        """Return a whole number."""
        value = self._of(name, int)
        if isinstance(value, bool):
            raise _other(self._what, f"has no number in {name!r}")
        return value

    def number(self, name: str) -> float:
        """Return a number."""
        value = self.document.get(name)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise _other(self._what, f"has no number in {name!r}")
        return float(value)

    def text_or_none(self, name: str) -> str | None:
        """Return a text, None where it is null or absent."""
        return None if self.document.get(name) is None else self.text(name)

    def whole_or_none(self, name: str) -> int | None:
        """Return a whole number, None where it is null or absent."""
        return None if self.document.get(name) is None else self.whole(name)

    def number_or_none(self, name: str) -> float | None:
        """Return a number, None where it is null or absent."""
        return None if self.document.get(name) is None else self.number(name)

    def flag(self, name: str) -> bool:
        """Return whether a field is true; absent and null are false."""
        return self.document.get(name) is not None and self._of(name, bool)

    def object(self, name: str) -> Document:
        """Return an object; empty where it is null or absent."""
        if self.document.get(name) is None:
            return {}
        found: Document = self._of(name, dict)
        return found

    def items(self, name: str) -> Sequence[Any]:
        """Return a list."""
        found: Sequence[Any] = self._of(name, list)
        return found

    def texts(self, name: str) -> tuple[str, ...]:
        """Return a list of texts; empty where it is null or absent."""
        if self.document.get(name) is None:
            return ()
        found = self.items(name)
        if not all(isinstance(item, str) for item in found):
            raise _other(self._what, f"has no list of texts in {name!r}")
        return tuple(found)

    def wholes(self, name: str) -> tuple[int, ...]:
        """Return a list of whole numbers."""
        found = self.items(name)
        if not all(type(item) is int for item in found):
            raise _other(self._what, f"has no list of numbers in {name!r}")
        return tuple(found)

    def day(self, name: str) -> date:
        """Return a day."""
        try:
            return date.fromisoformat(self.text(name))
        except ValueError:
            raise _other(self._what, f"has no day in {name!r}") from None

    def readers(self, name: str, what: str) -> list["Reader"]:
        """Return a reader for each object of a list."""
        return [Reader(item, what) for item in self.items(name)]

    def _of(self, name: str, kind: type[_T]) -> _T:
        value = self.document.get(name)
        if not isinstance(value, kind):
            raise _other(self._what, f"has no {_NAMES[kind]} in {name!r}")
        return value


_NAMES: Mapping[type, str] = {
    str: "text",
    int: "number",
    bool: "true or false",
    dict: "object",
    list: "list",
}


def _other(what: str, flaw: str) -> UnreadableAnswer:
    return UnreadableAnswer(
        f"the server's answer cannot be read: {what} {flaw}",
        advice="is the address that of a Tenantry server, and the client not older than it?",
    )
