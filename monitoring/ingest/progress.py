"""A bar that shows how much of the log is still to be read."""

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from monitoring.ingest.follower import Tell


@contextmanager
def bar(console: Console | None = None) -> Iterator[Tell]:
    """Show a bar on a terminal, and nothing elsewhere; gives what `Follower.catch_up` tells."""
    shown = Console(stderr=True) if console is None else console
    columns = (
        TextColumn("reading the event log"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(
        *columns, console=shown, transient=True, disable=not shown.is_terminal
    ) as progress:
        task = progress.add_task("log", total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)
