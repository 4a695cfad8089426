"""Hours in minutes: the project's own rules, with every time in them divided by one factor.

What is divided: the ranges, offsets and steps of every expression, what alerts wait for, how
often rules are looked at, and those limits of `slo.yaml` that are times since something happened.
What is not: how long a request or a write may take, and every share. The service, the sidecar and
Prometheus are hurried by the same factor where they have a setting for it.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from examples.gameday.errors import GameDayFailed

FACTOR = 60  # an hour in a minute
INTERVAL = "1s"  # of scrapes and rules; a minute in earnest, which is coarser than it would be
# Limits in seconds that say how fast something is: no game day makes a disk faster.
_SPEEDS = {("TenantryEventLogSlow", "write")}
_UNITS_MS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000}
_PART = re.compile(r"(\d+)(ms|[smhdw])")
_DURATION = re.compile(r"(?<![\w.:])(?:\d+(?:ms|[smhdw]))+(?![\w.:])")
_RANGE = re.compile(r"\[([^\]]*)\]")  # of a vector, or of a subquery with its step
_STRING = re.compile(r'("(?:[^"\\]|\\.)*")')

# The sidecar's own times, at the same factor: buckets of a minute, patience and cooldown. Its
# budget of false alarms is by the week, and a week lasts under three hours here.
SIDECAR = {
    "bucket_s": 1,
    "poll_s": 0.1,
    "checkpoint_s": 0.5,
    "silent_s": 2,
    "label_window_s": 604_800 / FACTOR,
    "alarms_per_week": 1.0 * FACTOR,
    "drift_patience_s": 3600 / FACTOR,
    "webhook_cooldown_s": 86_400 / FACTOR,
}
SERVICE = {
    "events_flush_s": 0.1,
    "registry_poll_s": 0.1,
    "usage_flush_s": 1.0,
    "automatic_rollback": "canary",
}


def hurried(
    rules: Sequence[Path],
    slo: Path,
    folder: Path,
    sooner: Mapping[tuple[str, str], float] | None = None,
) -> list[Path]:
    """Write the rules at the factor's speed, and return the files.

    `sooner` has seconds for limits, by alert and name, that would take too long even so. Raises
    `GameDayFailed` where a limit of `slo.yaml` is not found in its alert.
    """
    limits = _times_since(yaml.safe_load(slo.read_text(encoding="utf-8")), sooner or {})
    missing = {(alert, limit) for alert, each in limits.items() for limit in each}
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for file in rules:
        document = yaml.safe_load(file.read_text(encoding="utf-8"))
        for group in document["groups"]:
            group["interval"] = INTERVAL
            for rule in group["rules"]:
                alert = rule.get("alert", "")
                found = _hurry(rule, limits.get(alert, {}))
                missing -= {(alert, limit) for limit in found}
        target = folder / file.name
        target.write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")
        written.append(target)
    if missing:
        told = ", ".join(f"{alert}: {limit:g} s" for alert, limit in sorted(missing))
        raise GameDayFailed(f"limits of {slo.name} that no rule compares with: {told}")
    return written


def in_earnest(seconds: float) -> str:
    """Return how long a time of the game day is without the factor."""
    minutes = seconds * FACTOR / 60
    return f"{minutes:.0f} min" if minutes < 120 else f"{minutes / 60:.1f} h"


def _times_since(
    slo: Mapping[str, Any], sooner: Mapping[tuple[str, str], float]
) -> dict[str, dict[float, float]]:
    """Return the limits of each alert that are times and not speeds, and what they become."""
    return {
        alert: {
            limit["value"]: sooner.get((alert, name), limit["value"] / FACTOR)
            for name, limit in settings.get("limits", {}).items()
            if limit["unit"] == "seconds" and (alert, name) not in _SPEEDS
        }
        for alert, settings in slo["alerts"].items()
    }


def _hurry(rule: dict[str, Any], limits: Mapping[float, float]) -> set[float]:
    """Divide the times of a rule, and return those of the limits that were found in it.

    A limit is a number, or in seconds a range or an offset: `[302400s] offset 302400s`.
    """
    pieces = _STRING.split(rule["expr"])
    found = set()
    lengths = {f"{limit:.12g}s": new for limit, new in limits.items()}
    for place in range(0, len(pieces), 2):  # between strings
        told = {word for word in _DURATION.findall(pieces[place]) if word in lengths}
        found |= {limit for limit in limits if f"{limit:.12g}s" in told}
        pieces[place] = "".join(_divided_all(_RANGE.split(pieces[place]), lengths))
        for limit, new in limits.items():
            number = re.compile(rf"(?<![\w.:]){re.escape(f'{limit:.12g}')}(?![\w.:])")
            pieces[place], times = number.subn(f"{new:.12g}", pieces[place])
            if times:
                found.add(limit)
    rule["expr"] = "".join(pieces)
    if "for" in rule:
        found |= {limit for limit in limits if rule["for"] == f"{limit:.12g}s"}
        rule["for"] = _divided(rule["for"], lengths)
    return found


def _divided_all(pieces: Sequence[str], limits: Mapping[str, float]) -> Iterator[str]:
    """Yield pieces with every duration divided; each second one stood in brackets."""
    for place, piece in enumerate(pieces):
        if place % 2:
            yield f"[{':'.join(_divided(part, limits) for part in piece.split(':'))}]"
        else:
            yield _DURATION.sub(lambda found: _divided(found[0], limits), piece)


def _divided(duration: str, limits: Mapping[str, float]) -> str:
    """Return a duration of Prometheus divided by the factor, to the millisecond.

    `limits` has the seconds of those that are limits.
    """
    if not duration.strip():
        return ""  # the step of a subquery that names none
    whole_ms = sum(int(count) * _UNITS_MS[unit] for count, unit in _PART.findall(duration))
    divided_s = limits.get(duration, whole_ms / 1000 / FACTOR)
    return "0s" if not divided_s else f"{max(1, round(divided_s * 1000))}ms"
