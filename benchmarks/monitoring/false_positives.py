"""How often does a window that nothing happened to look different?

Null windows, drawn from what is left of a population after a reference was drawn from it, over
references of 200 to 2,000 rows; at p <= 0.05 one in twenty should be flagged.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache

import numpy as np
from matplotlib.axes import Axes

from benchmarks.monitoring.comparison import ALIBI, LEVEL, Case, Verdicts, by_alibi, by_evidently
from benchmarks.monitoring.data import Population, populations
from benchmarks.monitoring.environments import NotInstalled
from benchmarks.monitoring.plots import COLOURS, band, numbered
from benchmarks.monitoring.publishing import PREFIX, published
from benchmarks.monitoring.shares import Share, mean_of, share_of, told
from benchmarks.monitoring.windows import reference, reference_rows
from benchmarks.monitoring.work import spread
from benchmarks.report import Bar, Report, Rows, arguments
from monitoring.detectors import class_shift

SIZES = (200, 500, 1000, 2000)  # rows of a reference
LOW, HIGH = 0.035, 0.065
TOLERANCE = 0.1  # the sidecar's default

_OURS = "window test, p <= 0.05"
_CLASSES = "class probabilities, p <= 0.05"
_ALERT = "window test, whole interval beyond the tolerance: what alerts fire on"


@dataclass(frozen=True, slots=True)
class Piece:
    """A reference, by which it is drawn again anywhere, and how many windows to draw."""

    population: int
    size: int
    seed: int
    windows: int
    compared: int  # of them, the first, that others test too


@dataclass(slots=True)
class Found:
    """What was found for one reference."""

    piece: Piece
    rows: list[int] = field(default_factory=list)  # of each window
    flagged: list[bool] = field(default_factory=list)
    classes: list[bool] = field(default_factory=list)
    alerts: list[bool] = field(default_factory=list)
    alibi: Verdicts = field(default_factory=lambda: Verdicts([], []))
    case: Case | None = None


@cache
def _populations() -> list[Population]:
    return populations()


def window_sizes(size: int) -> list[int]:
    """Return window sizes from 50 to a quarter of a reference."""
    return sorted({*(n for n in (50, 100, 200, 350) if n <= size // 4), size // 4})


def tried(piece: Piece) -> Found:
    """Test the null windows of a reference."""
    population = _populations()[piece.population]
    drawn = reference(population, piece.size, piece.seed)
    classes = class_shift.baseline(reference_rows(drawn.rows))
    draw = np.random.default_rng([piece.seed, 1])
    found, kept = Found(piece), []
    sizes = itertools.cycle(window_sizes(piece.size))
    for number, count in zip(range(piece.windows), sizes, strict=False):
        window = population.taken(draw.choice(drawn.rest, count, replace=False))
        sketch = drawn.window(window)
        assessed = drawn.assess(sketch, TOLERANCE)
        shifted = class_shift.assess(classes, sketch)
        assert assessed.pvalue is not None, "windows of up to a quarter are tested"
        assert shifted.pvalue is not None
        found.rows.append(count)
        found.flagged.append(assessed.pvalue <= LEVEL)
        found.classes.append(shifted.pvalue <= LEVEL)
        found.alerts.append(assessed.effect.lower > 1)
        if number < piece.compared:
            kept.append(window.embeddings)
    if kept:
        found.case = Case(drawn.rows.embeddings, kept)
        found.alibi = by_alibi(found.case, piece.seed)
    return found


def pieces(references: int, windows: int, compared: int) -> list[Piece]:
    """Return the references, in turn over populations and sizes."""
    # Others' tests of references of 2,000 rows take seconds each.
    return [
        Piece(
            number % 3,
            size := SIZES[number // 3 % len(SIZES)],
            number,
            windows,
            compared if size in {500, 1000} else 0,
        )
        for number in range(references)
    ]


def main() -> None:
    options = arguments("False alarms of the window test on null windows.").parse_args()
    work = pieces(12, 12, 1) if options.quick else pieces(120, 84, 4)
    names = [population.name for population in _populations()]
    found = spread(tried, work, "null windows")
    report = Report(
        f"{PREFIX}false-positives",
        "How often does a window that nothing happened to look different?",
        {
            "populations": f"{', '.join(names)}: MiniLM embeddings of texts within scope",
            "references": f"{len(work)}, of {', '.join(map(str, SIZES))} rows in turn",
            "windows": f"{sum(piece.windows for piece in work):,}, of 50 rows to a quarter of the"
            " reference, none of its rows in it",
            "compared": "windows of references of 500 and 1,000 rows, the first ones of each",
        },
    )
    others = _others(found, report)
    overall = _pooled(found, "flagged")
    report.bars += [
        Bar("false positives at 0.05", overall.value, LOW),
        Bar("false positives at 0.05", overall.value, HIGH, at_least=False),
        Bar("null windows", float(overall.of), 10_000),
        Bar("references", float(len(found)), 100),
    ]
    report.tables += [_table(found, others), _by_size(found)]
    per_reference = [float(np.mean(one.flagged)) for one in found]
    report.notes.append(
        "Windows of one reference are alike. With references as the unit:"
        f" {told(mean_of(per_reference))}."
    )
    report.measured = {
        "by_reference": [
            {
                "population": names[one.piece.population],
                "reference": one.piece.size,
                "rows": one.rows,
                "flagged": one.flagged,
                "classes": one.classes,
                "alerts": one.alerts,
                "alibi": one.alibi.flagged,
            }
            for one in found
        ],
        "others": {name: [share.times, share.of] for name, share in others.items()},
    }

    def draw(panels: Sequence[Axes]) -> None:
        _draw(panels[0], found)

    published(report, options, draw)


def _others(found: Sequence[Found], report: Report) -> dict[str, Share]:
    """Return how often others flagged the windows that they tested."""
    cases = [one.case for one in found if one.case is not None]
    flags = [flag for one in found for flag in one.alibi.flagged]
    others = {ALIBI: share_of(flags)}
    try:
        told_by = by_evidently(cases)
    except NotInstalled as error:
        report.notes.append(f"Without Evidently: {error}")
        return others
    for name, verdicts in told_by.items():
        others[name] = share_of([flag for one in verdicts for flag in one.flagged])
    return others


def _pooled(found: Sequence[Found], what: str) -> Share:
    return share_of([flag for one in found for flag in getattr(one, what)])


def _table(found: Sequence[Found], others: dict[str, Share]) -> Rows:
    compared = [flag for one in found if one.case for flag in one.flagged[: one.piece.compared]]
    everything = sum(piece.windows for piece in (one.piece for one in found))
    rows = [
        (_OURS, _pooled(found, "flagged")),
        (_CLASSES, _pooled(found, "classes")),
        (_ALERT, _pooled(found, "alerts")),
        (f"{_OURS}; the windows that others tested", share_of(compared)),
        *others.items(),
        ("fires always", Share(everything, everything)),
        ("fires never", Share(0, everything)),
    ]
    return Rows(
        "null windows flagged",
        ("", "windows", "flagged (interval of 95 %)"),
        [(name, f"{share.of:,}", str(share)) for name, share in rows],
    )


def _cells(found: Sequence[Found]) -> dict[tuple[int, int], Share]:
    flags: dict[tuple[int, int], list[bool]] = {}
    for one in found:
        for count, flag in zip(one.rows, one.flagged, strict=True):
            flags.setdefault((one.piece.size, count), []).append(flag)
    return {cell: share_of(kept) for cell, kept in sorted(flags.items())}


def _by_size(found: Sequence[Found]) -> Rows:
    return Rows(
        "the window test, by sizes",
        ("rows of the reference", "rows of the window", "windows", "flagged (interval of 95 %)"),
        [
            (f"{size:,}", f"{count:,}", f"{share.of:,}", str(share))
            for (size, count), share in _cells(found).items()
        ],
    )


def _draw(axes: Axes, found: Sequence[Found]) -> None:
    band(axes, LOW, HIGH)
    axes.axhline(LEVEL, color="#3a7d34", linewidth=0.8)
    cells = _cells(found)
    for number, size in enumerate(sorted({size for size, _ in cells})):
        kept = [(n, share.interval) for (m, n), share in cells.items() if m == size]
        counts = [n * (1 + 0.03 * number) for n, _ in kept]
        axes.errorbar(
            counts,
            [share.value for _, share in kept],
            [[e.value - e.lower for _, e in kept], [e.upper - e.value for _, e in kept]],
            marker="o",
            markersize=4,
            capsize=2,
            color=COLOURS[number],
            label=f"reference of {size:,}",
        )
    numbered(axes, (50, 100, 200, 350, 500))
    axes.set_ylim(0, 0.12)
    axes.set_xlabel("rows of the window")
    axes.set_ylabel("null windows flagged at 0.05")
    axes.legend(frameon=False)


if __name__ == "__main__":
    main()
