"""Labelled answers of one version, each beside what the other one said of the same text, unseen.

The first label of an answer is bet on, a later one only corrects the figures: a bet cannot be taken
back. Labels and twins come in any order. A request is a lot, which is bet on once, by those of its
pairs that were there together; what comes of it later is shown and not bet on. What is kept is
bounded; the oldest goes.
"""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from service.trials.spans import Arm

_CODES = 1 << 24  # names of classes of two versions, and more than there can be

_Value = TypeVar("_Value")

KINDS = 5  # of rows that are kept

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


@dataclass(frozen=True, slots=True)
class _Asked:
    """A request that both answered."""

    rows: int
    weight: float


@dataclass(slots=True)
class Lot:
    """Labelled pairs of one request that are not bet on yet."""

    version: Arm
    request: int
    asked: _Asked
    behind: int = 0  # those that the canary alone had wrong, less those that live alone had


Lots = dict[tuple[Arm, int], Lot]  # by version and number, in the order in which their labels came


class Shown:
    """The answers that callers got of one version, and their twins of the other."""

    def __init__(self, version: Arm, codes: dict[str, int], lots: Lots) -> None:
        """`codes` are the classes' numbers, `lots` what is not bet on; both versions share them."""
        self.version = version
        self.labelled = 0
        self.right = 0
        self.table = Table()
        self.requests = 0  # that have twins,
        self.told = 0  # those of them that have labels,
        self.alike = 0  # and those on whose labelled rows neither was ahead
        self._codes = codes
        self._kept_max = 1
        # What the other one said, by the answer's key: the request's number and the code.
        self._twins: OrderedDict[int, int] = OrderedDict()
        self._awaited: OrderedDict[int, _Awaited] = OrderedDict()  # labels without a twin so far
        # Labelled answers: who was right, and the twin.
        self._known: OrderedDict[int, int] = OrderedDict()
        self._asked: OrderedDict[int, _Asked] = OrderedDict()  # by the request's number, until bet
        self._settled: OrderedDict[int, None] = OrderedDict()  # requests that were bet on
        self._lots = lots

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

    def _every(self) -> tuple[OrderedDict[int, Any], ...]:
        return (self._twins, self._awaited, self._known, self._asked, self._settled)

    def twins(self, keys: Sequence[int], names: Sequence[str], weight: float = 1.0) -> None:
        """Take what the other one said of the texts of one request, which counts so much."""
        self.requests += 1
        self._keep(self._asked, self.requests, _Asked(len(keys), weight))
        for key, name in zip(keys, names, strict=True):
            self._twin(key, name, self.requests)

    def _twin(self, key: int, said: str, request: int) -> None:
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

    def settle(self, lot: Lot) -> float:
        """Return by how much the canary was wrong more often than live, of a request; once for all.

        Of all of its rows and by its weight: -1 to 1. Of rows without a label nothing is known, and
        they count as 0: divided by the labelled ones alone, complaints about many single rows would
        weigh more than those about as many rows of few requests.
        """
        self._asked.pop(lot.request, None)
        self._keep(self._settled, lot.request, None)
        self.told += 1
        self.alike += lot.behind == 0
        return lot.asked.weight * lot.behind / lot.asked.rows

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
        lot = self._lots.get((self.version, request))
        if lot is None:
            asked = self._asked.get(request)
            if request in self._settled or asked is None:  # or it was forgotten
                return
            lot = self._lots[self.version, request] = Lot(self.version, request, asked)
        canary, live = self._versions(right, twin_right)
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

    def _keep(self, kept: "OrderedDict[int, _Value]", key: int, value: _Value) -> None:
        kept[key] = value
        if len(kept) > self._kept_max:
            kept.popitem(last=False)  # a dict's oldest would be searched for behind all that went
