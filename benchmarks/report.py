"""A benchmark's report: shown in the terminal, and kept in `results/` as JSON and Markdown."""

import argparse
import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import orjson
from rich.console import Console
from rich.table import Table

from benchmarks.machine import Machine, describe

_WIDTH = 120  # of tables that go to a file
_IDLE = 0.7  # load average of a machine that does nothing else

RESULTS = Path(__file__).resolve().parent / "results"


@dataclass(frozen=True, slots=True)
class Bar:
    """A figure that was promised, and the one that was found."""

    promise: str
    found: float
    limit: float
    at_least: bool = True  # else at most
    unit: str = ""
    applies: bool = True  # False where the promise is for other machines

    @property
    def verdict(self) -> str:
        """Return whether the promise is kept."""
        if not self.applies:
            return "reported only"
        kept = self.found >= self.limit if self.at_least else self.found <= self.limit
        return "met" if kept else "MISSED"

    def cells(self) -> tuple[str, str, str, str]:
        """Return the bar as a row of a table."""
        sign = "at least" if self.at_least else "at most"
        unit = f" {self.unit}" if self.unit else ""
        return (
            self.promise,
            f"{self.found:.3g}{unit}",
            f"{sign} {self.limit:g}{unit}",
            self.verdict,
        )


@dataclass(frozen=True, slots=True)
class Rows:
    """A table of the report."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(slots=True)
class Report:
    """What one benchmark found."""

    name: str
    question: str
    workload: Mapping[str, str]
    machine: Machine = field(default_factory=describe)
    bars: list[Bar] = field(default_factory=list)
    tables: list[Rows] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    measured: dict[str, object] = field(default_factory=dict)  # every number, for the record

    def show(self, console: Console) -> None:
        """Print the report."""
        console.print(f"\n[bold]{self.name}[/bold]: {self.question}", highlight=False)
        console.print(f"machine: {self.machine}", highlight=False, markup=False)
        for name, words in self.workload.items():
            console.print(f"{name}: {words}", highlight=False, markup=False)
        for table in [*self.tables, self._bar_rows()]:
            console.print(_drawn(table))
        for note in self.notes:
            console.print(f"- {note}", highlight=False, markup=False)

    def write(self, folder: Path) -> Path:
        """Write `<name>.json` and `<name>.md`; return the latter."""
        folder.mkdir(parents=True, exist_ok=True)
        document = {
            "name": self.name,
            "question": self.question,
            "workload": dict(self.workload),
            "machine": dataclasses.asdict(self.machine),
            "bars": [{**dataclasses.asdict(bar), "verdict": bar.verdict} for bar in self.bars],
            "tables": [dataclasses.asdict(table) for table in self.tables],
            "notes": self.notes,
            "measured": self.measured,
        }
        options = orjson.OPT_INDENT_2 | orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NON_STR_KEYS
        (folder / f"{self.name}.json").write_bytes(orjson.dumps(document, option=options) + b"\n")
        page = folder / f"{self.name}.md"
        page.write_text(self._markdown(), encoding="utf-8")
        return page

    def _bar_rows(self) -> Rows:
        cells = [bar.cells() for bar in self.bars]
        return Rows("promises", ("promise", "found", "promised", ""), cells)

    def _markdown(self) -> str:
        machine = self.machine
        versions = ", ".join(f"{name} {value}" for name, value in machine.versions.items())
        lines = [f"# {self.name}", "", self.question, ""]
        lines += ["| | |", "|---|---|", f"| date | {machine.date} |"]
        lines += [f"| commit | {machine.commit} |", f"| machine | {machine} |"]
        lines += [f"| versions | {versions} |"]
        lines += [f"| {name} | {words} |" for name, words in self.workload.items()]
        for table in [self._bar_rows(), *self.tables]:
            lines += ["", f"## {table.title[:1].upper()}{table.title[1:]}", ""]
            lines += [_row(table.columns), _row(["---"] * len(table.columns))]
            lines += [_row(cells) for cells in table.rows]
        if self.notes:
            lines += ["", "## Notes", "", *(f"- {note}" for note in self.notes)]
        return "\n".join(lines) + "\n"


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _drawn(table: Rows) -> Table:
    drawn = Table(title=table.title, title_justify="left")
    for number, column in enumerate(table.columns):
        drawn.add_column(column, justify="left" if number == 0 else "right")
    for cells in table.rows:
        drawn.add_row(*cells)
    return drawn


def arguments(about: str) -> argparse.ArgumentParser:
    """Return the options that every benchmark takes."""
    parser = argparse.ArgumentParser(description=about)
    parser.add_argument("--quick", action="store_true", help="a few rounds, nothing is kept")
    parser.add_argument("--provider", default="auto", help="auto, cpu, openvino or cuda")
    parser.add_argument("--results", type=Path, help=f"folder for the report (default {RESULTS})")
    return parser


def publish(report: Report, options: argparse.Namespace) -> None:
    """Show the report, and keep it unless the run was a quick one."""
    console = Console()
    if not console.is_terminal:
        console.width = _WIDTH
    if report.machine.load_before > _IDLE:
        report.notes.insert(
            0, "The machine was not idle before the run: do not trust these numbers."
        )
    report.show(console)
    folder: Path | None = options.results or (None if options.quick else RESULTS)
    if folder is not None:
        console.print(f"kept in {report.write(folder)}", highlight=False)
