"""What the demo shows: moving bars on a terminal, plain lines anywhere else."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

_PLAIN_WIDTH = 120
_PLAIN_EVERY_S = 10.0

# (done, in all, a word on it)
Advance = Callable[[int, int, str], None]


class Screen:
    """Writes to standard output."""

    def __init__(self) -> None:
        console = Console()
        plain_width = None if console.is_terminal else _PLAIN_WIDTH
        self._console = Console(width=plain_width, highlight=False)
        self._started = time.monotonic()

    def heading(self, text: str) -> None:
        """Begin a part."""
        self._console.print(Text(f"\n{text}", style="bold"))

    def line(self, text: str = "", style: str = "") -> None:
        """Write a line as it is, however long: it may be meant for copying."""
        self._console.print(Text(text, style=style), soft_wrap=True)

    @contextmanager
    def stage(self, what: str) -> Iterator[Advance]:
        """Show how far the block is."""
        started = time.monotonic()
        if self._console.is_terminal:
            with self._bar(what) as moved:
                yield moved
            return
        told, note = started, ""

        def advance(done: int, of: int, word: str) -> None:
            nonlocal told, note
            note = word
            if time.monotonic() - told > _PLAIN_EVERY_S:
                told = time.monotonic()
                self.line(f"  {what}: {done} of {of}  {word}".rstrip())

        self.line(f"  {what} ...")
        yield advance
        self.line(f"  {what}: done in {time.monotonic() - started:.1f} s  {note}".rstrip())

    @contextmanager
    def _bar(self, what: str) -> Iterator[Advance]:
        columns = (
            SpinnerColumn(finished_text="[green]✓[/green]"),
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TimeElapsedColumn(),
            TextColumn("[dim]{task.fields[word]}"),
        )
        with Progress(*columns, console=self._console) as progress:
            task = progress.add_task(f"{what:41}", total=1, word="")

            def advance(done: int, of: int, word: str) -> None:
                progress.update(task, completed=done, total=of, word=word)

            yield advance
            progress.update(task, completed=1, total=1)

    def table(self, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Write a table.

        A column whose name begins with `>` is set to the right, and one that begins with `~` is cut
        where the table is wider than the screen.
        """
        table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
        for column in columns:
            table.add_column(
                column.removeprefix(">").removeprefix("~"),
                justify="right" if column.startswith(">") else "left",
                no_wrap=not column.startswith("~"),
            )
        for row in rows:
            table.add_row(*(Text(cell, no_wrap=True, overflow="ellipsis") for cell in row))
        self._console.print(table)

    def took(self) -> float:
        """Return the seconds since the beginning."""
        return time.monotonic() - self._started
