"""How a game day went: a table for people, the same as JSON, and a page that is kept."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from examples.gameday import pace
from examples.gameday.incident import Expected
from examples.gameday.play import Fired, Outcome

COLUMNS = (
    "incident",
    "what must fire",
    ">after",
    ">in earnest",
    "what follows",
    "held back",
    "the others",
    "verdict",
)
_SHOWN = (0, 1, 2, 3, 6, 7)  # of the columns, on a screen
Entry = Mapping[str, Any]  # of an incident, as the JSON has it


@dataclass(frozen=True, slots=True)
class Played:
    """When and where an incident was played."""

    date: str
    commit: str
    machine: str


def entry_of(outcome: Outcome, played: Played) -> dict[str, Any]:
    """Return everything that was seen of an incident."""
    return {
        "name": outcome.incident.name,
        "story": outcome.incident.story,
        "played": asdict(played),
        "as_expected": outcome.as_expected,
        "problem": outcome.problem,
        "expected": [
            {"alert": one.alert, "after_s": _first_s(outcome, one)}
            for one in outcome.incident.expected
        ],
        "missing": outcome.missing,
        "follows": _following(outcome),
        "should_be_silent": outcome.loud,
        "inhibited": sorted(outcome.inhibited),
        "watched_s": round(outcome.watched_s, 1),
        "fired": [
            {
                "labels": dict(sorted(fired.labels.items())),
                "after_s": round(fired.after_s, 1),
                "in_earnest": pace.in_earnest(fired.after_s),
                "told": fired.told,
                "says": fired.says,
            }
            for fired in outcome.fired
        ],
    }


def document_of(entries: Sequence[Entry]) -> dict[str, Any]:
    """Return the document of some incidents."""
    return {"factor": pace.FACTOR, "incidents": list(entries)}


def joined(kept: Sequence[Entry], new: Sequence[Entry], names: Sequence[str]) -> tuple[Entry, ...]:
    """Return new entries and those kept of other incidents, in the order of the names.

    Of an incident that has no such name any more nothing is kept.
    """
    by_name = {entry["name"]: entry for entry in (*kept, *new)}
    return tuple(by_name[name] for name in names if name in by_name)


def rows_of(entries: Sequence[Entry]) -> list[tuple[str, ...]]:
    """Return the table: a row for each alert that must fire, the incident's own figures first."""
    rows: list[tuple[str, ...]] = []
    for entry in entries:
        own = (
            ", ".join(entry["follows"]),
            ", ".join(entry["inhibited"]),
            _others(entry),
            _verdict(entry),
        )
        # Where nobody must be told of anything there is a row too.
        for place, one in enumerate(entry["expected"] or [{"alert": "nothing", "after_s": None}]):
            after_s = one["after_s"]
            never = "never" if entry["expected"] else ""
            rows.append(
                (
                    "" if place else entry["name"],
                    one["alert"],
                    never if after_s is None else f"{after_s:.0f} s",
                    "" if after_s is None else pace.in_earnest(after_s),
                    *(("",) * len(own) if place else own),
                )
            )
    return rows


def shown_of(entries: Sequence[Entry]) -> tuple[list[str], list[list[str]]]:
    """Return the columns and rows that a screen has room for."""
    rows = [[row[place] for place in _SHOWN] for row in rows_of(entries)]
    return [COLUMNS[place] for place in _SHOWN], rows


def page_of(entries: Sequence[Entry]) -> str:
    """Return the table as Markdown, with date, machine and commit of each incident."""
    heads = [column.removeprefix(">") for column in COLUMNS]
    aligned = ["---:" if column.startswith(">") else "---" for column in COLUMNS]
    lines = [heads, aligned, *rows_of(entries)]
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    good = sum(entry["as_expected"] for entry in entries)
    return (
        "# Game day\n\n"
        "<!-- Made by `python -m examples.gameday --out`; changes here are lost. -->\n\n"
        f"{good} of {len(entries)} incidents as expected. An hour passes in"
        f" {3600 / pace.FACTOR:g} seconds: *after* is what was measured, *in earnest* the same"
        f" without that.\n\n{table}\n\n## When it was played\n\n{_played(entries)}"
    )


def _played(entries: Sequence[Entry]) -> str:
    """Return a line for each day, commit and machine, with the incidents played there."""
    found: dict[tuple[str, str, str], list[str]] = {}
    for entry in entries:
        when = Played(**entry["played"])
        found.setdefault((when.date, when.commit, when.machine), []).append(entry["name"])
    return "".join(
        f"- {date}, at {commit}, on {machine}: {', '.join(names)}\n"
        for (date, commit, machine), names in sorted(found.items())
    )


def _first_s(outcome: Outcome, expected: Expected) -> float | None:
    found = [fired.after_s for fired in outcome.fired if expected.fits(fired.labels)]
    return round(found[0], 1) if found else None


def _following(outcome: Outcome) -> list[str]:
    """Return the alerts that fired because of the same, and were not asked for."""
    silent = outcome.incident.is_silent_on
    names = (
        fired.labels["alertname"]
        for fired in outcome.fired
        if not silent(fired.labels) and not _is_expected(outcome, fired)
    )
    return list(dict.fromkeys(names))


def _is_expected(outcome: Outcome, fired: Fired) -> bool:
    return any(one.fits(fired.labels) for one in outcome.incident.expected)


def _others(entry: Entry) -> str:
    if entry["problem"]:
        return "not played"
    return ", ".join(dict.fromkeys(entry["should_be_silent"])) or "silent"


def _verdict(entry: Entry) -> str:
    if entry["problem"]:
        return str(entry["problem"]).splitlines()[0]
    return "as expected" if entry["as_expected"] else "NOT as expected"
