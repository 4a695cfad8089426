"""What commands print: tables for people, JSON for programs, errors that say what to do."""

import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TransferSpeedColumn,
)
from rich.table import Table
from rich.text import Text

from service.client.errors import InvalidCall, TenantryClientError

REFUSED = 1
WRONG_USE = 2

_WIDE = 240  # columns, where nobody looks: nothing is wrapped in a pipe


class Screen:
    """Standard output for results, standard error for everything else."""

    def __init__(self, *, json: bool) -> None:
        self.json = json
        width = None if sys.stdout.isatty() else _WIDE
        self._out = Console(highlight=False, soft_wrap=True, width=width)
        self._err = Console(stderr=True, highlight=False, soft_wrap=True)

    def document(self, document: object) -> None:
        """Print a result for programs: one JSON document on one line."""
        sys.stdout.write(json.dumps(document, ensure_ascii=False) + "\n")

    def line(self, text: str) -> None:
        """Print a line of a result."""
        self._out.print(Text(_plain(text)))

    def note(self, text: str) -> None:
        """Tell something that is no result."""
        self._err.print(Text(_plain(text)))

    def table(self, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
        """Print a table; a column whose name begins with `>` is set to the right."""
        table = Table(box=None, pad_edge=False, header_style="bold")
        for name in columns:
            right = name.startswith(">")
            table.add_column(name.lstrip(">"), justify="right" if right else "left")
        for row in rows:
            table.add_row(*(Text(_plain(shown(cell))) for cell in row))
        self._out.print(table)

    def facts(self, facts: Mapping[str, object]) -> None:
        """Print what is known of one thing, a line each."""
        width = max(map(len, facts))
        for name, value in facts.items():
            line = Text(name.ljust(width + 2), style="bold")
            line.append(_plain(shown(value)), style="not bold")
            self._out.print(line)

    @contextmanager
    def uploading(self, what: str) -> Iterator["Bar"]:
        """Show how many bytes were sent, where somebody looks."""
        columns = (TextColumn(what), BarColumn(), DownloadColumn(), TransferSpeedColumn())
        quiet = not self._err.is_terminal
        with Progress(*columns, console=self._err, transient=True, disable=quiet) as progress:
            yield Bar(progress)


class Bar:
    """One bar of a progress."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._task = progress.add_task("", total=None)

    def __call__(self, done: int, total: int) -> None:
        """Show how much is done."""
        self._progress.update(self._task, completed=done, total=total)


def shown(value: object) -> str:
    """Return a value as tables show it."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, list | tuple):
        return ", ".join(map(shown, value)) or "-"
    return str(value)


def _plain(text: str) -> str:
    """Return a text without what would steer a terminal: names and labels come from others."""
    return "".join(
        one if one.isprintable() or one == "\n" else "\N{REPLACEMENT CHARACTER}" for one in text
    )


@contextmanager
def telling(screen: Screen) -> Iterator[None]:
    """Turn the client's errors into a line on standard error and an exit status."""
    try:
        yield
    except InvalidCall as error:
        _tell(screen, error)
        raise typer.Exit(WRONG_USE) from error
    except TenantryClientError as error:
        _tell(screen, error)
        raise typer.Exit(REFUSED) from error


def _tell(screen: Screen, error: TenantryClientError) -> None:
    if screen.json:
        screen.document({"error": error.document()})
    if not error.problems:
        screen.note(f"tenantry: {error}")
        return
    count = len(error.problems)
    screen.note(f"tenantry: refused for {count} reason{'s' * (count > 1)} [{error.code}]:")
    for problem in error.problems:
        screen.note(f"  {problem}")


def confirm(question: str, *, yes: bool) -> None:
    """Ask before something that cannot be undone; end the command where the answer is no."""
    if not yes:
        typer.confirm(question, abort=True, err=True)


def many(things: Iterable[Any]) -> list[object]:
    """Return the documents of some values."""
    return [thing.document for thing in things]
