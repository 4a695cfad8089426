"""How a game day went: a table for people, the same as JSON, and a page that is kept."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from examples.gameday import pace
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


def rows_of(outcomes: Sequence[Outcome]) -> list[tuple[str, ...]]:
    """Return the table: a row for each alert that must fire, the incident's own figures first."""
    rows: list[tuple[str, ...]] = []
    for outcome in outcomes:
        first = True
        for expected in outcome.incident.expected:
            found = [fired for fired in outcome.fired if expected.fits(fired.labels)]
            rows.append(
                (
                    outcome.incident.name if first else "",
                    expected.alert,
                    f"{found[0].after_s:.0f} s" if found else "never",
                    pace.in_earnest(found[0].after_s) if found else "",
                    ", ".join(_following(outcome)) if first else "",
                    ", ".join(sorted(outcome.inhibited)) if first else "",
                    _others(outcome) if first else "",
                    _verdict(outcome) if first else "",
                )
            )
            first = False
    return rows


def shown_of(outcomes: Sequence[Outcome]) -> tuple[list[str], list[list[str]]]:
    """Return the columns and rows that a screen has room for."""
    rows = [[row[place] for place in _SHOWN] for row in rows_of(outcomes)]
    return [COLUMNS[place] for place in _SHOWN], rows


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


def _others(outcome: Outcome) -> str:
    if outcome.problem:
        return "not played"
    return ", ".join(dict.fromkeys(outcome.loud)) or "silent"


def _verdict(outcome: Outcome) -> str:
    if outcome.problem:
        return outcome.problem.splitlines()[0]
    return "as expected" if outcome.as_expected else "NOT as expected"


def document_of(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Return everything that was seen."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "factor": pace.FACTOR,
        "incidents": [
            {
                "name": outcome.incident.name,
                "story": outcome.incident.story,
                "as_expected": outcome.as_expected,
                "problem": outcome.problem,
                "expected": [one.alert for one in outcome.incident.expected],
                "missing": outcome.missing,
                "should_be_silent": outcome.loud,
                "inhibited": sorted(outcome.inhibited),
                "watched_s": round(outcome.watched_s, 1),
                "fired": [
                    {
                        "labels": dict(sorted(fired.labels.items())),
                        "after_s": round(fired.after_s, 1),
                        "in_earnest": pace.in_earnest(fired.after_s),
                        "told": fired.told,
                    }
                    for fired in outcome.fired
                ],
            }
            for outcome in outcomes
        ],
    }


def page_of(outcomes: Sequence[Outcome], machine: str, commit: str) -> str:
    """Return the table as Markdown, with date, machine and commit."""
    heads = [column.removeprefix(">") for column in COLUMNS]
    aligned = ["---:" if column.startswith(">") else "---" for column in COLUMNS]
    lines = [heads, aligned, *rows_of(outcomes)]
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    played = sum(outcome.as_expected for outcome in outcomes)
    return (
        "# Game day\n\n"
        "<!-- Made by `python -m examples.gameday --out`; changes here are lost. -->\n\n"
        f"{played} of {len(outcomes)} incidents as expected, {datetime.now(UTC):%Y-%m-%d},"
        f" at {commit}, on {machine}. An hour passes in {3600 / pace.FACTOR:g} seconds: *after* is"
        " what was measured, *in earnest* the same without that.\n\n"
        f"{table}\n"
    )
