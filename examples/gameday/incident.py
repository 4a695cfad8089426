"""What an incident is: something that breaks, and who must hear of it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from examples.gameday.stack import WATCHDOG, Ground, Stack


@dataclass(frozen=True, slots=True)
class Expected:
    """An alert that must fire, about whom."""

    alert: str
    labels: Mapping[str, str] = field(default_factory=dict)  # that it must have, among others

    def fits(self, labels: Mapping[str, str]) -> bool:
        """Say whether these are the labels of such an alert."""
        return labels["alertname"] == self.alert and all(
            labels.get(name) == value for name, value in self.labels.items()
        )


@dataclass(frozen=True, slots=True)
class Incident:
    """One that is played."""

    name: str
    story: str  # one sentence: what is done
    strike: Callable[[Stack], object]
    expected: tuple[Expected, ...]
    may: tuple[Expected, ...] = ()  # what may fire too, sooner or later: it follows from the same
    ground: Ground = field(default_factory=Ground)
    prepare: Callable[[Stack], object] = lambda _: None  # what takes a while and breaks nothing
    within_s: float = 60.0  # all that is expected, from the strike on
    inhibited: tuple[str, ...] = ()  # alerts that fire, and nobody must be told of
    by_name: bool = False  # whether it is played only when it is asked for

    def is_silent_on(self, labels: Mapping[str, str]) -> bool:
        """Say whether these are the labels of an alert that must not fire here."""
        if labels["alertname"] == WATCHDOG:
            return False
        return not any(one.fits(labels) for one in (*self.expected, *self.may))
