"""Rollout documents: what a `PUT` asks for, with everything that is wrong with it."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from service.errors import UnacceptableRequest
from service.registry.records import Canary, Rollout

REASON_CHARACTERS_MAX = 500


@dataclass(frozen=True, slots=True)
class RolloutDocument:
    """Which versions should answer."""

    live: int | None
    canary: Canary | None = None
    shadows: tuple[int, ...] = ()
    forced: str | None = None

    def numbers(self) -> list[int]:
        """Return every version that it names."""
        live = [] if self.live is None else [self.live]
        canary = [] if self.canary is None else [self.canary.version]
        return [*live, *canary, *self.shadows]


def document_of(rollout: Rollout) -> RolloutDocument:
    """Return the document that a rollout was made of."""
    return RolloutDocument(rollout.live, rollout.canary, rollout.shadows, rollout.forced)


def read_document(given: Mapping[str, object], shadows_max: int) -> RolloutDocument:
    """Return what a rollout document asks for; null is the same as leaving a key out.

    Whether its versions are there is not looked at. Raises `UnacceptableRequest`, naming every
    problem.
    """
    reader = _Reader()
    reader.known_keys("a rollout", given, ("live", "canary", "shadow", "force"))
    document = RolloutDocument(
        reader.live(given),
        reader.canary(given.get("canary")),
        reader.shadows(given.get("shadow"), shadows_max),
        reader.force(given.get("force")),
    )
    reader.roles(document, given)
    if reader.problems:
        raise UnacceptableRequest("; ".join(reader.problems))
    return document


class _Reader:
    """Reads the parts of a document and gathers what is wrong."""

    def __init__(self) -> None:
        self.problems: list[str] = []

    def known_keys(self, what: str, given: Mapping[str, object], known: tuple[str, ...]) -> None:
        unknown = ", ".join(key[:80] for key in sorted(set(given) - set(known))[:10])
        if unknown:
            named = " and ".join((", ".join(f"`{key}`" for key in known[:-1]), f"`{known[-1]}`"))
            if len(known) == 1:
                named = f"`{known[0]}`"
            self.problems.append(f"{what} has {named}, not {unknown}")

    def live(self, given: Mapping[str, object]) -> int | None:
        if "live" not in given:
            self.problems.append("a rollout says which version is `live`; null: none")
        elif given["live"] is not None:
            return self._number("live", given["live"], " or null")
        return None

    def canary(self, given: object) -> Canary | None:
        if given is None:
            return None
        if not isinstance(given, Mapping):
            self.problems.append("`canary` is an object with `version` and `percent`")
            return None
        self.known_keys("a canary", given, ("version", "percent"))
        number = self._number("canary.version", given.get("version"))
        percent = self._percent(given.get("percent"))
        return None if number is None or percent is None else Canary(number, percent)

    def shadows(self, given: object, shadows_max: int) -> tuple[int, ...]:
        if given is None:
            return ()
        if not isinstance(given, list):
            self.problems.append("`shadow` is a list of version numbers")
            return ()
        if len(given) > shadows_max:
            self.problems.append(
                f"`shadow` has {len(given)} versions, and the limit is {shadows_max}"
            )
            return ()
        found = [self._number(f"shadow[{place}]", each) for place, each in enumerate(given)]
        return tuple(number for number in found if number is not None)

    def force(self, given: object) -> str | None:
        if given is None:
            return None
        if not isinstance(given, Mapping):
            self.problems.append("`force` is an object with a `reason`")
            return None
        self.known_keys("`force`", given, ("reason",))
        reason = given.get("reason")
        if not isinstance(reason, str) or not reason.strip():
            self.problems.append("`force.reason` says in words why a rejected version may answer")
            return None
        if len(reason) > REASON_CHARACTERS_MAX:
            self.problems.append(
                f"`force.reason` has {len(reason)} characters, and the limit is"
                f" {REASON_CHARACTERS_MAX}"
            )
            return None
        return reason.strip()

    def roles(self, document: RolloutDocument, given: Mapping[str, object]) -> None:
        if document.canary is not None and given.get("live", 0) is None:
            self.problems.append(
                "a `canary` shares the requests with the version that is `live`, and none is"
            )
        numbers = document.numbers()
        for number in sorted({number for number in numbers if numbers.count(number) > 1}):
            self.problems.append(
                f"version {number} is named more than once; a version has one role"
            )

    def _number(self, where: str, given: object, otherwise: str = "") -> int | None:
        if type(given) is int and given >= 1:
            return given
        self.problems.append(f"`{where}` is the number of a version{otherwise}")
        return None

    def _percent(self, given: object) -> float | None:
        # JSON has one kind of number; Python's `true` is one too, and is none here.
        if type(given) in (int, float):
            assert isinstance(given, int | float)
            if math.isfinite(given) and 0 < given <= 100:
                return float(given)
        self.problems.append("`canary.percent` is a number above 0 and at most 100")
        return None
