"""The list of everything that is wrong with an upload, filled while it is read."""

from collections.abc import Iterable

from service.engine.errors import InvalidAdapter, Problem

KEPT_MAX = 200
_WHERE_CHARS_MAX = 320
_WHAT_CHARS_MAX = 1_200


class Findings:
    """Problems in the order in which they were found; bounded, and safe to show to anyone.

    Texts come from uploads, so control characters and lone surrogates are escaped and long ones
    cut. Beyond `KEPT_MAX` problems only their number is kept.
    """

    def __init__(self) -> None:
        self._kept: list[Problem] = []
        self._dropped = 0

    def __len__(self) -> int:
        return len(self._kept) + self._dropped

    def add(self, where: str, what: str) -> None:
        """Add one problem at a place: a key, a file, a tensor name, a JSON path."""
        if len(self._kept) >= KEPT_MAX:
            self._dropped += 1
            return
        self._kept.append(Problem(shown(where, _WHERE_CHARS_MAX), shown(what, _WHAT_CHARS_MAX)))

    def extend(self, problems: Iterable[Problem]) -> None:
        """Add problems that were found elsewhere."""
        for problem in problems:
            self.add(problem.where, problem.what)

    def settle(self) -> None:
        """Raise `InvalidAdapter` with every problem, if there is one."""
        if not self._kept:
            return
        problems = list(self._kept)
        if self._dropped:
            problems.append(Problem("package", f"{self._dropped} more problems are not listed"))
        raise InvalidAdapter(problems)


def shown(text: str, chars_max: int = 80) -> str:
    """Return the text with what cannot be printed escaped, cut to `chars_max` characters."""
    if len(text) > chars_max:
        text = text[: chars_max - 3] + "..."
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode("ascii")
        for char in text
    )
