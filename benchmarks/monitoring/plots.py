"""Plots as SVG: the same bytes for the same numbers, and readable on light and dark pages."""

from collections.abc import Callable, Sequence
from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

COLOURS = ("#0b7a99", "#c2571a", "#6b4fa0", "#3a7d34", "#a0293f", "#7a7a7a")
_COLUMNS = 2

# Draws into axes, one a panel.
Draw = Callable[[Sequence[Axes]], None]


def save(file: Path, draw: Draw, panels: int = 1) -> None:
    """Draw panels, two in a line, and keep them as SVG on a white ground."""
    with mpl.rc_context(
        {
            "svg.hashsalt": "tenantry",
            "svg.fonttype": "none",
            "font.size": 9,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.grid": True,
            "grid.alpha": 0.3,
        }
    ):
        columns = min(panels, _COLUMNS)
        lines = -(-panels // columns)
        size = (5.0 * columns, 3.4 * lines)
        figure = Figure(figsize=size, layout="constrained", facecolor="white")
        FigureCanvasSVG(figure)
        draw([figure.add_subplot(lines, columns, number + 1) for number in range(panels)])
        figure.savefig(file, metadata={"Date": None})


def band(axes: Axes, low: float, high: float) -> None:
    """Shade where a figure was promised to be."""
    axes.axhspan(low, high, color="#3a7d34", alpha=0.12, linewidth=0)


def numbered(axes: Axes, numbers: Sequence[int]) -> None:
    """Let the horizontal axis be logarithmic, with these numbers on it."""
    axes.set_xscale("log")
    axes.set_xticks(numbers, labels=[f"{number:,}" for number in numbers])
    axes.minorticks_off()
