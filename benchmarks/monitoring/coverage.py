"""Are label figures right, and do their intervals cover? Simulated, so that the truth is known.

The truth of the calibration error's square is the binned one, of bins of equal mass of the world
that labels are drawn from, as many as the figure has; of the others what they are in that world.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from benchmarks.monitoring.plots import COLOURS
from benchmarks.monitoring.publishing import PREFIX, published
from benchmarks.monitoring.shares import share_of
from benchmarks.monitoring.windows import labelled
from benchmarks.monitoring.work import spread
from benchmarks.report import Bar, Report, Rows, arguments
from monitoring.detectors import calibration
from monitoring.report import Figure
from service import measures

COUNTS = (100, 250, 500)
BIAS_MAX = 0.2
COVERAGE_MIN = 0.93
LABELS_MIN = 50

_WORLD = 400_000  # rows that the truth is computed from
_PARTS = 4  # that the simulations of a cell are dealt in

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class World:
    """How confidences come about, and how often a prediction of one is right."""

    name: str
    confidences: Callable[[np.random.Generator, int], Floats]
    right: Callable[[Floats], Floats]


def _sharpened(temperature: float) -> Callable[[Floats], Floats]:
    """Return the chance to be right where the log-odds told are `temperature` times too large."""

    def right(confidence: Floats) -> Floats:
        odds = np.log(confidence / (1 - confidence)) / temperature
        result: Floats = 1 / (1 + np.exp(-odds))
        return result

    return right


def _beta(a: float, b: float) -> Callable[[np.random.Generator, int], Floats]:
    def confidences(draw: np.random.Generator, count: int) -> Floats:
        result: Floats = np.clip(0.5 + 0.5 * draw.beta(a, b, count), 0.5, 0.9995)
        return result

    return confidences


WORLDS = (
    World("calibrated", _beta(2, 1), lambda confidence: confidence),
    World("calibrated, nearly always right", _beta(12, 0.5), lambda confidence: confidence),
    World("too sure, 1.5 times", _beta(2, 1), _sharpened(1.5)),
    World("too sure, 3 times", _beta(3, 1), _sharpened(3.0)),
    World("not sure enough, 1.5 times", _beta(1, 1), _sharpened(1 / 1.5)),
    World(
        "right in 0.8 whatever the confidence",
        _beta(2, 1),
        lambda confidence: np.full_like(confidence, 0.8),
    ),
)


@dataclass(frozen=True, slots=True)
class Truth:
    """The figures of a world."""

    square: float
    gap: float
    brier: float
    accuracy: float


@dataclass(frozen=True, slots=True)
class Cell:
    """A world and a number of labels, and how many simulations to make with which seed."""

    world: int
    labels: int
    simulations: int
    seed: int


@dataclass(frozen=True, slots=True)
class Found:
    """Of each simulation: figures of the square, and whether intervals cover."""

    cell: Cell
    plug_in: list[float]
    debiased: list[float]
    widths: list[float]  # of the interval of the error, the square's root
    covers: dict[str, list[bool]]


@cache
def truth_of(number: int, bins: int) -> Truth:
    """Return the figures of a world, the square over bins of equal mass."""
    world = WORLDS[number]
    confidence = np.sort(world.confidences(np.random.default_rng([number, 99]), _WORLD))
    right = world.right(confidence)
    gaps = [
        float((c - r).mean())
        for c, r in zip(np.array_split(confidence, bins), np.array_split(right, bins), strict=True)
    ]
    return Truth(
        square=float(np.mean(np.square(gaps))),
        gap=float((confidence - right).mean()),
        brier=float((right * (1 - confidence) ** 2 + (1 - right) * confidence**2).mean()),
        accuracy=float(right.mean()),
    )


def simulated(cell: Cell) -> Found:
    """Simulate labels of a world, and look at the figures that they give."""
    world = WORLDS[cell.world]
    draw = np.random.default_rng([cell.world, cell.labels, cell.seed])
    bins = max(1, min(measures.BINS, cell.labels // measures.ROWS_PER_BIN))
    truth = truth_of(cell.world, bins)
    names = ("calibration error", "gap", "Brier", "accuracy")
    found = Found(cell, [], [], [], {name: [] for name in names})
    for _ in range(cell.simulations):
        confidence = world.confidences(draw, cell.labels).astype(np.float32)
        right = draw.random(cell.labels) < world.right(confidence.astype(np.float64))
        told = calibration.assess(None, labelled(confidence, right), labels_min=LABELS_MIN)
        parts = measures.equal_mass_bins(confidence, right)
        assert parts is not None
        assert told.error_square is not None
        assert told.error.upper is not None
        assert told.error.lower is not None
        found.plug_in.append(float((parts.share * (parts.confidence - parts.right) ** 2).sum()))
        found.debiased.append(told.error_square)
        found.widths.append(told.error.upper - told.error.lower)
        of = (truth.square**0.5, truth.gap, truth.brier, truth.accuracy)
        figures = (told.error, told.gap, told.brier, told.accuracy)
        for name, value, figure in zip(names, of, figures, strict=True):
            found.covers[name].append(_covers(figure, value))
    return found


def _covers(figure: Figure, value: float) -> bool:
    assert figure.lower is not None
    assert figure.upper is not None
    return figure.lower <= value <= figure.upper


def main() -> None:
    options = arguments("Bias and coverage of figures from labels.").parse_args()
    simulations = 40 if options.quick else 2000
    cells = [
        Cell(world, labels, simulations // _PARTS, part)
        for world in range(len(WORLDS))
        for labels in COUNTS
        for part in range(_PARTS)
    ]
    found = _joined(spread(simulated, cells, "simulations"))
    report = Report(
        f"{PREFIX}coverage",
        "Are label figures right, and do their intervals cover?",
        {
            "simulations": f"{simulations:,} for each world and number of labels",
            "worlds": "; ".join(world.name for world in WORLDS),
        },
    )
    biases = {(one.cell.world, one.cell.labels): _biases(one) for one in found}
    worst = max(abs(debiased / plug_in) for plug_in, debiased in biases.values())
    least = {
        name: min(share_of(one.covers[name]).value for one in found) for name in found[0].covers
    }
    report.bars += [
        Bar("bias of the debiased square / of the plug-in, worst cell", worst, BIAS_MAX, False),
        *(
            Bar(f"coverage of the interval of {name}, worst cell", value, COVERAGE_MIN)
            for name, value in least.items()
        ),
    ]
    report.tables += [_bias_table(found), _coverage_table(found)]
    report.measured = {
        "cells": [
            {
                "world": WORLDS[one.cell.world].name,
                "labels": one.cell.labels,
                "biases": biases[one.cell.world, one.cell.labels],
                "width": float(np.median(one.widths)),
                "covers": {name: share_of(flags).value for name, flags in one.covers.items()},
            }
            for one in found
        ]
    }

    def draw(panels: Sequence[Axes]) -> None:
        _draw(panels, found)

    published(report, options, draw, panels=2)


def _joined(parts: Sequence[Found]) -> list[Found]:
    """Return one finding a cell, of those of its parts."""
    found: dict[tuple[int, int], Found] = {}
    for part in parts:
        one = found.setdefault((part.cell.world, part.cell.labels), part)
        if one is not part:
            one.plug_in.extend(part.plug_in)
            one.debiased.extend(part.debiased)
            one.widths.extend(part.widths)
            for name, flags in part.covers.items():
                one.covers[name].extend(flags)
    return list(found.values())


def _truth(one: Found) -> Truth:
    bins = max(1, min(measures.BINS, one.cell.labels // measures.ROWS_PER_BIN))
    return truth_of(one.cell.world, bins)


def _biases(one: Found) -> tuple[float, float]:
    """Return the bias of the plug-in square, and of the debiased one."""
    truth = _truth(one).square
    return float(np.mean(one.plug_in)) - truth, float(np.mean(one.debiased)) - truth


def _bias_table(found: Sequence[Found]) -> Rows:
    rows = []
    for one in found:
        plug_in, debiased = _biases(one)
        error = float(np.std(one.debiased)) / len(one.debiased) ** 0.5
        rows.append(
            (
                WORLDS[one.cell.world].name,
                str(one.cell.labels),
                f"{_truth(one).square:.5f}",
                f"{plug_in:+.5f}",
                f"{debiased:+.5f} ({error:.5f})",
                f"{abs(debiased / plug_in):.2f}",
            )
        )
    columns = (
        "world",
        "labels",
        "true square",
        "bias of the plug-in",
        "of the debiased (its standard error)",
        "ratio",
    )
    return Rows("the square of the calibration error", columns, rows)


def _coverage_table(found: Sequence[Found]) -> Rows:
    names = list(found[0].covers)
    rows = []
    for one in found:
        shares = [f"{share_of(one.covers[name]).value:.3f}" for name in names]
        rows.append(
            (
                WORLDS[one.cell.world].name,
                str(one.cell.labels),
                f"{_truth(one).square ** 0.5:.3f}",
                f"{float(np.median(one.widths)):.3f}",
                *shares,
            )
        )
    columns = ("world", "labels", "true error", "median width", *names)
    return Rows("intervals of 95 % that cover; width of the calibration error's", columns, rows)


def _draw(panels: Sequence[Axes], found: Sequence[Found]) -> None:
    left, right = panels
    for number, world in enumerate(WORLDS):
        own = [one for one in found if one.cell.world == number]
        counts = [one.cell.labels for one in own]
        biases = [_biases(one) for one in own]
        left.plot(counts, [each[0] for each in biases], "--", color=COLOURS[number])
        left.plot(counts, [each[1] for each in biases], "-o", color=COLOURS[number], markersize=3)
        covers = [share_of(one.covers["calibration error"]).value for one in own]
        right.plot(counts, covers, "-o", color=COLOURS[number], markersize=3, label=world.name)
    left.axhline(0, color="black", linewidth=0.6)
    left.set_ylabel("bias of the square; dashed: plug-in")
    right.axhline(COVERAGE_MIN, color="#3a7d34", linewidth=0.8)
    right.set_ylim(0.88, 1.005)
    right.set_ylabel("intervals that cover")
    right.legend(frameon=False, fontsize=7, loc="lower right")
    for axes in panels:
        axes.set_xlabel("labels")


if __name__ == "__main__":
    main()
