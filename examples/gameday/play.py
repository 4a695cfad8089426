"""An incident played on a stack of its own: what fired, after how long, and who was told."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from examples.gameday import pace
from examples.gameday.incident import Incident
from examples.gameday.programs import until
from examples.gameday.stack import WATCHDOG, Stack, stack
from examples.gameday.town import Town

CALM_S = 6.0  # without an alert, once everything is known and before anything breaks
_KNOWN_S_MAX = 60.0  # until every tenant has figures
_STAY_S = 12.0  # after the last alert that was expected, for those that should stay silent
_LOOK_S = 0.2

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Fired:
    """An alert that fired, and how long after the strike it first did."""

    labels: Mapping[str, str]
    after_s: float
    told: bool = False  # whether Alertmanager sent it to anybody
    says: str = ""  # its summary, when it was first seen

    @property
    def name(self) -> str:
        """Return the alert, with the tenant that it names."""
        tenant = self.labels.get("tenant")
        window = self.labels.get("window")
        about = ", ".join(word for word in (tenant, window) if word)
        return f"{self.labels['alertname']} ({about})" if about else self.labels["alertname"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an incident went."""

    incident: Incident
    fired: tuple[Fired, ...] = ()
    early: tuple[str, ...] = ()  # alerts that fired before anything broke
    inhibited: frozenset[str] = frozenset()
    watched_s: float = 0.0  # after the strike
    problem: str = ""  # why it could not be played

    @property
    def missing(self) -> list[str]:
        """Return the alerts that should have fired and did not."""
        return [
            one.alert
            for one in self.incident.expected
            if not any(one.fits(fired.labels) for fired in self.fired)
        ]

    @property
    def loud(self) -> list[str]:
        """Return what should have stayed silent and did not."""
        silent = self.incident.is_silent_on
        return [*self.early, *(fired.name for fired in self.fired if silent(fired.labels))]

    @property
    def not_inhibited(self) -> list[str]:
        """Return the alerts that somebody should not have been told of, and nothing held back."""
        return [name for name in self.incident.inhibited if name not in self.inhibited]

    @property
    def as_expected(self) -> bool:
        """Say whether what should fire fired, and nothing else."""
        return not (self.problem or self.missing or self.loud or self.not_inhibited)


@dataclass(slots=True)
class _Seen:
    """Alerts that fire, by when they were first seen."""

    first: dict[frozenset[tuple[str, str]], float] = field(default_factory=dict)
    says: dict[frozenset[tuple[str, str]], str] = field(default_factory=dict)

    def look(self, made: Stack) -> None:
        now = time.monotonic()
        for alert in made.prometheus.firing():
            key = frozenset(alert["labels"].items())
            self.first.setdefault(key, now)
            self.says.setdefault(key, alert["annotations"]["summary"])

    def alerts(self) -> list[Mapping[str, str]]:
        return [found for key in self.first if (found := dict(key))["alertname"] != WATCHDOG]


def play(town: Town, folder: Path, incident: Incident, say: Say, calm_s: float = CALM_S) -> Outcome:
    """Play an incident in a folder of its own, after a calm, and return how it went."""
    with stack(town, folder, incident.ground) as made:
        say("waiting until every tenant is known")
        seen = _Seen()
        until(lambda: _all_known(made, seen), "every tenant has figures", _KNOWN_S_MAX)
        incident.prepare(made)
        say("calm")
        _watch(made, seen, calm_s, lambda: False)
        early = tuple(sorted({labels["alertname"] for labels in seen.alerts()}))
        say(incident.story)
        struck_s = time.monotonic()
        incident.strike(made)
        after = _Seen()
        _watch(made, after, incident.within_s, lambda: _has_all(incident, after))
        say("whether anything else fires")
        _watch(made, after, _STAY_S, lambda: False)
        inhibited = frozenset(labels["alertname"] for labels in made.alertmanager.inhibited())
        told = {name for _, name in made.pager.told(struck_s)}
        return Outcome(
            incident,
            tuple(sorted(_fired(after, struck_s, told), key=lambda fired: fired.after_s)),
            early,
            inhibited,
            time.monotonic() - struck_s,
        )


def _all_known(made: Stack, seen: _Seen) -> bool:
    """Say whether the sidecar knows drift and accuracy of all tenants; what fires is seen."""
    seen.look(made)
    known = made.prometheus.query(
        "count(tenantry_drift_effect_ratio"
        ' and on (tenant) tenantry_accuracy_ratio{method="labels"})'
    )
    return bool(known) and float(known[0]["value"][1]) >= len(made.town.tenants)


def _watch(made: Stack, seen: _Seen, seconds: float, enough: Callable[[], bool]) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end and not enough():
        seen.look(made)
        time.sleep(_LOOK_S)


def _has_all(incident: Incident, seen: _Seen) -> bool:
    if not incident.expected:
        return False  # all of the time shows that nothing fires
    alerts = seen.alerts()
    return all(any(one.fits(labels) for labels in alerts) for one in incident.expected)


def _fired(seen: _Seen, struck_s: float, told: set[str]) -> list[Fired]:
    return [
        Fired(labels, first - struck_s, labels["alertname"] in told, seen.says[key])
        for key, first in seen.first.items()
        if (labels := dict(key))["alertname"] != WATCHDOG
    ]


def shown(fired: Fired) -> str:
    """Return an alert with its time here, and in earnest."""
    return f"{fired.name} after {fired.after_s:.0f} s ({pace.in_earnest(fired.after_s)})"
