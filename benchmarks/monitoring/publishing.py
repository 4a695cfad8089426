"""Reports of the monitoring benchmarks: `benchmarks/results/monitoring-<name>`, with a plot."""

import argparse
from pathlib import Path

from benchmarks.monitoring.plots import Draw, save
from benchmarks.report import RESULTS, Report, publish

PREFIX = "monitoring-"


def published(
    report: Report, options: argparse.Namespace, draw: Draw | None = None, panels: int = 1
) -> None:
    """Show a report and, unless the run was a quick one, keep it with its plot beside it."""
    kept: Path | None = options.results or (None if options.quick else RESULTS)
    if draw is not None and kept is not None:
        kept.mkdir(parents=True, exist_ok=True)
        file = kept / f"{report.name}.svg"
        save(file, draw, panels)
        report.notes.append(f"![{report.question}]({file.name})")
    publish(report, options)
