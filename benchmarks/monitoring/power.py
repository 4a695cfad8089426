"""How often is a window found that did drift? Paired with alibi-detect, on the same windows.

A share of each window comes from elsewhere: out-of-scope texts, another domain, another trade.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache

import numpy as np
from matplotlib.axes import Axes

from benchmarks.monitoring.comparison import ALIBI, LEVEL, Case, by_alibi, by_evidently
from benchmarks.monitoring.data import Shift, shifts
from benchmarks.monitoring.environments import NotInstalled
from benchmarks.monitoring.plots import COLOURS
from benchmarks.monitoring.publishing import PREFIX, published
from benchmarks.monitoring.shares import Share, share_of, told
from benchmarks.monitoring.windows import mixed, reference, reference_rows
from benchmarks.monitoring.work import spread
from benchmarks.report import Bar, Report, Rows, arguments
from monitoring.detectors import class_shift
from service.measures import paired_difference

SHARES = (0.0, 0.1, 0.2, 0.4)
MIDDLE = 1  # of the window sizes: the one that Evidently tests too
LOSS_MAX = 0.02
TOLERANCE = 0.1

_OURS = "window test"
_CLASSES = "class probabilities"
_ALERT = "interval beyond the tolerance"


@dataclass(frozen=True, slots=True)
class Piece:
    """A reference of a shift, and how many windows to draw for each size and share."""

    shift: int
    seed: int
    windows: int


@dataclass(frozen=True, slots=True)
class Window:
    """What was said of one window."""

    shift: str
    rows: int
    share: float
    flags: dict[str, bool]


@dataclass(slots=True)
class Found:
    """Windows of one reference, and those of them that Evidently is asked about."""

    windows: list[Window] = field(default_factory=list)
    case: Case | None = None
    asked: list[int] = field(default_factory=list)  # numbers of the case's windows


@cache
def _shifts() -> list[Shift]:
    return shifts()


def sizes(shift: Shift) -> tuple[int, tuple[int, int, int]]:
    """Return the rows of references, and of windows."""
    return (1000, (50, 100, 200)) if len(shift.usual) > 2000 else (600, (50, 100, 150))


def tried(piece: Piece) -> Found:
    """Test the windows of a reference."""
    shift = _shifts()[piece.shift]
    size, counts = sizes(shift)
    drawn = reference(shift.usual, size, 1000 * piece.shift + piece.seed)
    rest = shift.usual.taken(drawn.rest)
    classes = class_shift.baseline(reference_rows(drawn.rows))
    draw = np.random.default_rng([piece.shift, piece.seed, 2])
    found, embeddings = Found(), []
    for count, share, number in itertools.product(counts, SHARES, range(piece.windows)):
        window = mixed(rest, shift.other, share, draw, count)
        sketch = drawn.window(window)
        assessed = drawn.assess(sketch, TOLERANCE)
        shifted = class_shift.assess(classes, sketch)
        assert assessed.pvalue is not None, "windows of up to a quarter are tested"
        flags = {
            _OURS: assessed.pvalue <= LEVEL,
            _CLASSES: shifted.pvalue is not None and shifted.pvalue <= LEVEL,
            _ALERT: assessed.effect.lower > 1,
        }
        if count == counts[MIDDLE] and number == 0:
            found.asked.append(len(found.windows))
        found.windows.append(Window(shift.name, count, share, flags))
        embeddings.append(window.embeddings)
    by_them = by_alibi(Case(drawn.rows.embeddings, embeddings), piece.seed)
    for window_, flag in zip(found.windows, by_them.flagged, strict=True):
        window_.flags[ALIBI] = flag
    found.case = Case(drawn.rows.embeddings, [embeddings[number] for number in found.asked])
    return found


def main() -> None:
    options = arguments("Power of the window test, paired with alibi-detect.").parse_args()
    references, windows = (1, 1) if options.quick else (5, 4)
    work = [
        Piece(shift, seed, windows) for seed in range(references) for shift in range(len(_shifts()))
    ]
    found = spread(tried, work, "windows that drifted")
    report = Report(
        f"{PREFIX}power",
        "How often is a window found that did drift?",
        {
            "shifts": "; ".join(shift.name for shift in _shifts()),
            "references": f"{references} of each shift, of 1,000 rows, of domains of 600",
            "windows": f"{windows} for each reference, size and share of other rows; flagged at"
            f" p <= {LEVEL}",
            "paired": "alibi-detect's MMDDrift at its defaults tests the same windows",
        },
    )
    _ask_evidently(found, report)
    everything = [window for one in found for window in one.windows]
    drifted = [window for window in everything if window.share > 0]
    ours = np.array([window.flags[_OURS] for window in drifted])
    theirs = np.array([window.flags[ALIBI] for window in drifted])
    difference = paired_difference(ours, theirs)
    report.bars.append(Bar("power less alibi-detect's, same windows", difference.value, -LOSS_MAX))
    report.notes.append(
        f"Power less alibi-detect's over {len(drifted):,} windows that drifted: {told(difference)}."
    )
    report.tables += [_table(everything), _by_cell(everything)]
    report.measured = {
        "windows": [[w.shift, w.rows, w.share, w.flags] for w in everything],
        "difference": difference,
    }

    def draw(panels: Sequence[Axes]) -> None:
        for axes, shift in zip(panels, _shifts(), strict=True):
            _draw(axes, shift.name, everything)

    published(report, options, draw, panels=len(_shifts()))


def _ask_evidently(found: Sequence[Found], report: Report) -> None:
    """Let Evidently test one window of each reference and share, of the middle size."""
    cases = [one.case for one in found if one.case is not None]
    try:
        answers = by_evidently(cases)
    except NotInstalled as error:
        report.notes.append(f"Without Evidently: {error}")
        return
    for name, verdicts in answers.items():
        for one, verdict in zip(found, verdicts, strict=True):
            for number, flag in zip(one.asked, verdict.flagged, strict=True):
                one.windows[number].flags[name] = flag


def _power(windows: Sequence[Window], name: str) -> Share:
    return share_of([window.flags[name] for window in windows if name in window.flags])


def _table(windows: Sequence[Window]) -> Rows:
    names = list(dict.fromkeys(name for window in windows for name in window.flags))
    rows = []
    for name in names:
        each = [_power([w for w in windows if w.share == share], name) for share in SHARES]
        count = sum(share.of for share in each)
        rows.append((name, f"{count:,}", *(f"{share.value:.3f}" for share in each)))
    rows += [
        ("fires always", f"{len(windows):,}", *["1.000"] * len(SHARES)),
        ("fires never", f"{len(windows):,}", *["0.000"] * len(SHARES)),
    ]
    columns = ("", "windows", *(f"{share:.0%} other rows" for share in SHARES))
    return Rows("share of windows flagged, over all shifts and sizes", columns, rows)


def _by_cell(windows: Sequence[Window]) -> Rows:
    cells = sorted({(w.shift, w.rows, w.share) for w in windows})
    rows = []
    for shift, count, share in cells:
        kept = [w for w in windows if (w.shift, w.rows, w.share) == (shift, count, share)]
        powers = [f"{_power(kept, name).value:.2f}" for name in (_OURS, ALIBI, _CLASSES, _ALERT)]
        rows.append((shift, str(count), f"{share:.0%}", str(len(kept)), *powers))
    columns = ("shift", "rows", "other", "windows", _OURS, ALIBI, _CLASSES, _ALERT)
    return Rows("share of windows flagged", columns, rows)


def _draw(axes: Axes, shift: str, windows: Sequence[Window]) -> None:
    own = [window for window in windows if window.shift == shift]
    for number, count in enumerate(sorted({window.rows for window in own})):
        for name, style in ((_OURS, "-"), (ALIBI, "--")):
            powers = [
                _power([w for w in own if (w.rows, w.share) == (count, share)], name).value
                for share in SHARES
            ]
            axes.plot(
                SHARES,
                powers,
                style,
                marker="o",
                markersize=3,
                color=COLOURS[number],
                label=f"{name}, {count} rows",
            )
    axes.set_title(shift, fontsize=9)
    axes.set_ylim(-0.02, 1.02)
    axes.set_xlabel("share of other rows")
    axes.set_ylabel("windows flagged at 0.05")
    axes.legend(frameon=False, fontsize=7)


if __name__ == "__main__":
    main()
