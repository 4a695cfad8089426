"""Labelled answers of one version, each beside what the other one said of the same text, unseen.

The first label of an answer is bet on, a later one only corrects the figures: a bet cannot be taken
back. Labels and twins come in any order. A request is a lot, which is bet on once, by those of its
pairs that were there together; what comes of it later is shown and not bet on. What is kept is
bounded; the oldest goes.
"""

from dataclasses import dataclass, replace
from typing import Any, Literal, TypeVar

_CODES = 1 << 24  # names of classes of two versions, and more than there can be

_Value = TypeVar("_Value")

KINDS = 4  # of rows that are kept

_NONE, _WRONG, _RIGHT = 0, 1, 2  # what is known of a twin


@dataclass(slots=True)
class Table:
    """Texts that both versions answered, by who was right."""

    both_right: int = 0
    canary_wrong: int = 0  # and live right
    live_wrong: int = 0
    both_wrong: int = 0

    @property
    def rows(self) -> int:
        """Return how many there are."""
        return self.both_right + self.canary_wrong + self.live_wrong + self.both_wrong

    @property
    def live_right(self) -> int:
        """Return in how many of them live was right."""
        return self.both_right + self.canary_wrong

    def add(self, canary: bool, live: bool, count: int = 1) -> None:
        """Count a text; both say who was right."""
        if canary and live:
            self.both_right += count
        elif live:
            self.canary_wrong += count
        elif canary:
            self.live_wrong += count
        else:
            self.both_wrong += count


@dataclass(frozen=True, slots=True)
class _Awaited:
    """A labelled answer whose twin has not come: the first label, and the last."""

    label: int  # its code, as the next
    right: bool
    label_now: int
    right_now: bool


@dataclass(slots=True)
class _Lot:
    """Pairs of one request that are not bet on yet."""

    rows: int = 0
    behind: int = 0  # those that the canary alone had wrong, less those that live alone had


class Shown:
    """The answers that callers got of one version, and their twins of the other."""

    def __init__(self, version: Literal["canary", "live"], codes: dict[str, int]) -> None:
        """`codes` are the classes' numbers, which both versions share."""
        self.version = version
        self.labelled = 0
        self.right = 0
        self.table = Table()
        self.requests = 0  # that have twins,
        self.bets = 0  # and those of them that were bet on
        self._codes = codes
        self._kept_max = 1
        # What the other one said, by the answer's key: the request's number and the code.
        self._twins: dict[int, int] = {}
        self._awaited: dict[int, _Awaited] = {}  # labels without a twin so far
        self._known: dict[int, int] = {}  # labelled answers: who was right, and the twin
        self._lots: dict[int, _Lot] = {}  # by request
        self._settled: dict[int, None] = {}  # requests that were bet on

    @property
    def kept(self) -> int:
        """Return how many rows are kept."""
        return sum(len(kept) for kept in self._every())

    def keep(self, each_max: int) -> None:
        """Keep no more rows than so many of each of `KINDS`; forget the oldest."""
        self._kept_max = each_max
        for kept in self._every():
            if len(kept) > each_max:
                newest = list(kept.items())[-each_max:]
                kept.clear()  # and its memory, which deleting keys one by one would keep
                kept.update(newest)

    def _every(self) -> tuple[dict[int, Any], ...]:
        return (self._twins, self._awaited, self._known, self._settled)

    def twin(self, key: int, said: str, request: int) -> None:
        """Take what the other one said of the text of an answer, one of a request's."""
        awaited = self._awaited.pop(key, None)
        code = self._code(said)
        self._keep(self._twins, key, request * _CODES + code)
        if awaited is not None:
            self._pair(request, awaited.right, code == awaited.label)
            self._enter(key, awaited.right_now, code == awaited.label_now)

    def label(self, key: int, label: str, *, right: bool) -> None:
        """Take the label of an answer."""
        code, twin = self._code(label), self._twins.get(key)
        known = self._known.get(key)
        if known is not None:
            self._correct(key, known, code, right, twin)
            return
        self.labelled += 1
        self.right += right
        self._keep(self._known, key, int(right))
        if twin is None:
            self._keep(self._awaited, key, _Awaited(code, right, code, right))
        else:
            request, said = divmod(twin, _CODES)
            self._pair(request, right, said == code)
            self._enter(key, right, said == code)

    def settle(self) -> list[float]:
        """Return the lots of which pairs came since the last time, once each and for good.

        Of each, by how much the canary was wrong more often than live: -1 to 1.
        """
        lots, self._lots = self._lots, {}
        self.bets += len(lots)
        for request in lots:
            self._keep(self._settled, request, None)
        return [lot.behind / lot.rows for lot in lots.values()]

    def _code(self, name: str) -> int:
        return self._codes.setdefault(name, len(self._codes))

    def _versions(self, right: bool, twin_right: bool) -> tuple[bool, bool]:
        """Return who was right: the canary, live."""
        return (right, twin_right) if self.version == "canary" else (twin_right, right)

    def _enter(self, key: int, right: bool, twin_right: bool) -> None:
        self._known[key] = int(right) + 4 * (_RIGHT if twin_right else _WRONG)
        self.table.add(*self._versions(right, twin_right))

    def _pair(self, request: int, right: bool, twin_right: bool) -> None:
        """Take a pair for the bet on its request, unless that is made."""
        if request in self._settled:
            return
        canary, live = self._versions(right, twin_right)
        lot = self._lots.setdefault(request, _Lot())
        lot.rows += 1
        lot.behind += live - canary

    def _correct(self, key: int, known: int, label: int, right: bool, twin: int | None) -> None:
        """Let the figures follow a later label."""
        was_right, was_twin = bool(known & 1), known >> 2
        self.right += right - was_right
        if was_twin == _NONE:
            self._known[key] = int(right)
            awaited = self._awaited.get(key)
            if awaited is not None:
                self._awaited[key] = replace(awaited, label_now=label, right_now=right)
            return
        twin_right = was_twin == _RIGHT if twin is None else twin % _CODES == label
        self.table.add(*self._versions(was_right, was_twin == _RIGHT), -1)
        self._enter(key, right, twin_right)

    def _keep(self, kept: dict[int, _Value], key: int, value: _Value) -> None:
        kept[key] = value
        if len(kept) > self._kept_max:
            del kept[next(iter(kept))]
