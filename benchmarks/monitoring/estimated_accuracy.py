"""How near is accuracy without labels? Beside NannyML's CBPE, on the same chunks.

And what do a few labels add: are intervals shorter than from the labels alone, and do they cover?

Chunks are drawn with replacement, by weights that make a shift, from rows that are not in the
reference; so the accuracy that they are drawn from is known exactly.
"""

import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from benchmarks.monitoring.data import Population, domains, populations
from benchmarks.monitoring.environments import NANNYML, NotInstalled
from benchmarks.monitoring.plots import COLOURS
from benchmarks.monitoring.publishing import PREFIX, published
from benchmarks.monitoring.shares import mean_of, share_of, told
from benchmarks.monitoring.windows import labelled, reference_rows, rows
from benchmarks.monitoring.work import spread
from benchmarks.report import Bar, Report, Rows, arguments
from monitoring.detectors import accuracy
from monitoring.sketches.sketch import Sketch
from service.measures import Estimate, wilson

CHUNK = 500
LABELS = (50, 100, 200)
LABELS_MIN = 50
COVERAGE_MIN = 0.93

# Weights by which chunks are drawn: of confidence alone, so that confidence goes on to mean what it
# meant; and of the class, which it need not.
MIXES = ("as the reference", "more that are hard", "another class mix")

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Piece:
    """A reference, and how many chunks to draw of each mix."""

    world: int
    rows: int
    seed: int
    chunks: int


@dataclass(frozen=True, slots=True)
class Chunk:
    """What was found for one chunk."""

    mix: str
    truth: float  # accuracy of the rows that it was drawn from
    actual: float  # accuracy in the chunk
    estimate: Estimate
    helped: dict[int, Estimate]  # by the number of labels
    alone: dict[int, Estimate]  # from the same labels, without help


@dataclass(slots=True)
class Found:
    """The chunks of one reference, and what NannyML is given."""

    world: str
    chunks: list[Chunk] = field(default_factory=list)
    reference: Floats | None = None  # [m, classes]
    truth: NDArray[np.int64] | None = None  # [m]
    probabilities: list[Floats] = field(default_factory=list)
    cbpe: list[float] = field(default_factory=list)


@cache
def _worlds() -> list[tuple[str, Population]]:
    clinc, banking, film = populations()
    return [
        ("film reviews, 2 classes", film),
        ("CLINC150, 10 domains", domains()),
        ("BANKING77, 77 classes", banking),
        ("CLINC150, 150 classes", clinc),
    ]


def tried(piece: Piece) -> Found:
    """Estimate the accuracy of the chunks of a reference."""
    name, population = _worlds()[piece.world]
    draw = np.random.default_rng([piece.world, piece.seed, 5])
    order = draw.permutation(len(population))
    own, rest = population.taken(order[: piece.rows]), population.taken(order[piece.rows :])
    baseline = accuracy.baseline(reference_rows(own))
    found = Found(name)
    found.reference, found.truth = _proper(own), own.label_index
    right = rest.class_index == rest.label_index
    for mix in MIXES:
        for _ in range(piece.chunks):
            weights = _weights(mix, rest, draw)
            places = draw.choice(len(rest), CHUNK, p=weights)
            found.chunks.append(
                _chunk(mix, float(weights @ right), rest.taken(places), baseline, draw)
            )
            found.probabilities.append(_proper(rest.taken(places)))
    return found


def _chunk(
    mix: str,
    truth: float,
    chunk: Population,
    baseline: accuracy.Baseline | None,
    draw: np.random.Generator,
) -> Chunk:
    sketch = Sketch.empty(len(chunk.labels))
    given = rows(chunk)
    sketch.add(given, None, None, None)
    right = chunk.class_index == chunk.label_index
    estimate = accuracy.assess(baseline, sketch, is_reliable=True, labels_min=LABELS_MIN).estimate
    helped, alone = {}, {}
    for count in LABELS:
        kept = draw.choice(CHUNK, count, replace=False)
        labels = labelled(given.confidence[kept].astype(np.float32), right[kept])
        figure = accuracy.assess(
            baseline, sketch, labels, is_reliable=True, labels_min=LABELS_MIN
        ).helped
        helped[count] = _estimate(figure.value, figure.lower, figure.upper)
        alone[count] = wilson(int(right[kept].sum()), count)
    told_ = _estimate(estimate.value, estimate.lower, estimate.upper)
    return Chunk(mix, truth, float(right.mean()), told_, helped, alone)


def _weights(mix: str, rest: Population, draw: np.random.Generator) -> Floats:
    """Return with which probability each row is drawn."""
    weights = np.ones(len(rest))
    if mix == "more that are hard":
        confidence = rest.probabilities.max(axis=1).astype(np.float64)
        weights = np.exp(-draw.uniform(1, 4) * confidence)
    elif mix == "another class mix":
        each = draw.gamma(0.5, size=len(rest.labels)) + 0.02
        weights = each[rest.label_index]
    result: Floats = weights / weights.sum()
    return result


def _proper(of: Population) -> Floats:
    """Return probabilities that add up to 1 beyond what float16 holds."""
    wide = of.probabilities.astype(np.float64)
    result: Floats = wide / wide.sum(axis=1, keepdims=True)
    return result


def _estimate(value: float | None, lower: float | None, upper: float | None) -> Estimate:
    assert value is not None
    assert lower is not None
    assert upper is not None
    return Estimate(value, lower, upper)


def ask_nannyml(found: Sequence[Found]) -> None:
    """Let NannyML estimate the same chunks. Raises `NotInstalled` or `ComparatorFailed`."""
    arrays: dict[str, Floats | NDArray[np.int64]] = {}
    for number, one in enumerate(found):
        assert one.reference is not None
        assert one.truth is not None
        arrays[f"reference_{number}"] = one.reference
        arrays[f"truth_{number}"] = one.truth
        arrays[f"chunks_{number}"] = np.stack(one.probabilities)
    with tempfile.TemporaryDirectory() as folder:
        given, answered = Path(folder) / "in.npz", Path(folder) / "out.json"
        np.savez(given, **arrays)
        NANNYML.run(str(given), str(answered))
        for one, told_ in zip(found, json.loads(answered.read_bytes()), strict=True):
            one.cbpe = told_["value"]
            assert len(one.cbpe) == len(one.chunks), "every chunk has an estimate"


def main() -> None:
    options = arguments("Accuracy without labels, and with few.").parse_args()
    references, chunks = (2, 4) if options.quick else (12, 16)
    work = [
        Piece(world, size, seed, chunks)
        for seed in range(references)
        for world, size in enumerate((1000, 1000, 2000, 3000))
    ]
    found = spread(tried, work, "chunks")
    report = Report(
        f"{PREFIX}estimated-accuracy",
        "How near is accuracy without labels, and what do a few labels add?",
        {
            "worlds": "; ".join(name for name, _ in _worlds()),
            "references": f"{references} of each, of 1,000, 1,000, 2,000 and 3,000 rows",
            "chunks": f"{chunks} of {CHUNK} rows for each reference and of each kind:"
            f" {', '.join(MIXES)}",
        },
    )
    _against_nannyml(found, report)
    _with_labels(found, report)
    report.measured["chunks"] = [
        {
            "world": one.world,
            "actual": [chunk.actual for chunk in one.chunks],
            "truth": [chunk.truth for chunk in one.chunks],
            "mix": [chunk.mix for chunk in one.chunks],
            "estimate": [chunk.estimate.value for chunk in one.chunks],
            "cbpe": one.cbpe,
        }
        for one in found
    ]

    def draw(panels: Sequence[Axes]) -> None:
        _draw(panels, found)

    published(report, options, draw, panels=2)


def _against_nannyml(found: Sequence[Found], report: Report) -> None:
    try:
        ask_nannyml(found)
    except NotInstalled as error:
        report.notes.append(f"Without NannyML: {error}")
        return
    rows_: list[tuple[str, ...]] = []
    for world, _ in _worlds():
        for mix in MIXES:
            ours, theirs = _errors([one for one in found if one.world == world], mix)
            paired = mean_of([a - b for a, b in zip(ours, theirs, strict=True)])
            errors = (f"{np.mean(ours):.4f}", f"{np.mean(theirs):.4f}")
            rows_.append((world, mix, str(len(ours)), *errors, told(paired, 4)))
        # Chunks of one reference are alike, so the reference is the unit.
        differences = []
        for one in found:
            if one.world == world:
                ours, theirs = _errors([one], None)
                differences.append(float(np.mean(ours) - np.mean(theirs)))
        overall = mean_of(differences)
        rows_.append((world, "all, by reference", str(len(differences)), "", "", told(overall, 4)))
        report.bars.append(
            Bar(f"error less NannyML's, lower end: {world}", overall.lower, 0.0, at_least=False)
        )
    columns = ("world", "chunks", "number", "ours", "NannyML CBPE", "ours less theirs, paired")
    report.tables.append(Rows("mean absolute error without labels", columns, rows_))
    report.notes.append(
        "CBPE calibrates each class's probability by isotonic regression on the reference; of many"
        " classes each has few rows there. Ours calibrates the predicted class's alone."
    )


def _errors(found: Sequence[Found], mix: str | None) -> tuple[list[float], list[float]]:
    """Return our errors and NannyML's, of the same chunks."""
    ours, theirs = [], []
    for one in found:
        for chunk, cbpe in zip(one.chunks, one.cbpe, strict=True):
            if mix is None or chunk.mix == mix:
                ours.append(abs(chunk.estimate.value - chunk.actual))
                theirs.append(abs(cbpe - chunk.actual))
    return ours, theirs


def _with_labels(found: Sequence[Found], report: Report) -> None:
    everything = [chunk for one in found for chunk in one.chunks]
    worlds = {
        world: [chunk for one in found if one.world == world for chunk in one.chunks]
        for world, _ in _worlds()
    }
    rows_, widest, least = [], 0.0, 1.0
    for world, own in {**worlds, "all": everything}.items():
        for count in LABELS:
            each = [_coverage([c for c in own if c.mix == mix], count) for mix in MIXES]
            ratio = float(np.mean([_width(c.helped[count]) / _width(c.alone[count]) for c in own]))
            alone = share_of([_in(chunk.truth, chunk.alone[count]) for chunk in own]).value
            covers = _coverage(own, count)
            shares = (*each, covers, alone)
            rows_.append((world, str(count), f"{ratio:.3f}", *(f"{share:.3f}" for share in shares)))
            widest = max(widest, ratio)
            if own is everything:
                least = min(least, covers)
    columns = (
        "world",
        "labels",
        "width / of labels alone",
        *(f"covers: {mix}" for mix in MIXES),
        "covers: all",
        "labels alone cover",
    )
    report.tables.append(Rows("with a few labels", columns, rows_))
    report.bars += [
        Bar("width / of labels alone, widest cell", widest, 1.0, at_least=False),
        Bar("coverage with labels, all chunks, worst number of labels", least, COVERAGE_MIN),
    ]


def _coverage(chunks: Sequence[Chunk], count: int) -> float:
    return share_of([_in(chunk.truth, chunk.helped[count]) for chunk in chunks]).value


def _in(value: float, interval: Estimate) -> bool:
    return interval.lower <= value <= interval.upper


def _width(interval: Estimate) -> float:
    return interval.upper - interval.lower


def _draw(panels: Sequence[Axes], found: Sequence[Found]) -> None:
    for axes, name in zip(panels, ("Tenantry", "NannyML CBPE"), strict=True):
        low, high = 1.0, 0.0
        for number, (world, _) in enumerate(_worlds()):
            actual, estimate = [], []
            for one in found:
                if one.world == world:
                    actual += [chunk.actual for chunk in one.chunks]
                    mine = [chunk.estimate.value for chunk in one.chunks]
                    estimate += mine if name == "Tenantry" else one.cbpe
            if estimate:
                axes.scatter(actual, estimate, s=4, alpha=0.4, color=COLOURS[number], label=world)
                low, high = min(low, *actual, *estimate), max(high, *actual, *estimate)
        if low < high:
            axes.plot((low, high), (low, high), color="black", linewidth=0.6)
        axes.set_title(name, fontsize=9)
        axes.set_xlabel("accuracy in the chunk")
        axes.set_ylabel("estimated without labels")
    panels[0].legend(frameon=False, fontsize=7)


if __name__ == "__main__":
    main()
