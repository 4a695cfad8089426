"""Precisions: what each way to a faster one costs in accuracy and brings in speed.

python -m benchmarks.precision [--quick]
"""

import gc
import gzip
import itertools
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import orjson
from matplotlib.axes import Axes

from benchmarks.adapters import random_adapters
from benchmarks.baselines.openvino_routes import Shapes
from benchmarks.bundles import ATTENTION, QUERY_VALUE, exported
from benchmarks.monitoring.plots import COLOURS, Draw
from benchmarks.monitoring.publishing import published
from benchmarks.passes import TOKENS, batches
from benchmarks.precision_routes import (
    BF16,
    FEW,
    FP32,
    SLOTS,
    STATIC,
    Route,
    own_routes,
    routes_of,
)
from benchmarks.report import Bar, Report, Rows, arguments
from benchmarks.rounds import Contestant, Rates, interleave, show, timed
from benchmarks.texts import banking_texts_or_skip, data_folder
from exporter.precision.adapters import random_adapters as proof_adapters
from exporter.precision.answers import Asked
from exporter.precision.calibration import CalibrationSet, read_calibration
from exporter.precision.catalogue import PRECISIONS
from exporter.precision.measure import Finding, Reference, make_reference, measure
from service.engine.bank import HostBank, input_names
from service.engine.bundle import Bundle
from service.engine.execution.openvino import OPENVINO
from service.engine.feed import GraphInputs, make_feed
from service.engine.inputs import graph_inputs
from service.engine.packing import plan
from service.engine.runtime import Runtime

LENGTH = 16
RANK = 8
_SEED = 20260101
_STATIC_AGAIN = "int8, static"


def rows_of_banking(count: int) -> tuple[list[dict[str, str]], list[dict[str, str]]]:
    """Return rows to fit int8 to, of the training split, and rows to measure on."""
    banking_texts_or_skip(1)
    with gzip.open(data_folder() / "banking77" / "data.jsonl.gz", "rb") as lines:
        rows = [orjson.loads(line) for line in lines]
    order = np.random.default_rng(_SEED).permutation(len(rows)).tolist()
    fitted = [rows[i] for i in order if rows[i]["split"] == "train"][:count]
    # Heads are fitted on half of these: both splits, and none of the rows above.
    taken = {row["text"] for row in fitted}
    measured = [rows[i] for i in order if rows[i]["text"] not in taken][:count]
    return fitted, measured


def as_set(rows: Sequence[Mapping[str, str]], bundle: Bundle, name: str) -> CalibrationSet:
    """Return the rows as the exporter reads them."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / name
        file.write_bytes(b"\n".join(orjson.dumps(row) for row in rows))
        return read_calibration(file, bundle)


def graph_feeds(bundle: Bundle, data: CalibrationSet, count: int) -> list[GraphInputs]:
    """Return the graph's inputs for passes of `count` texts by four adapters, banks included."""
    bank = HostBank(bundle.manifest, 4)
    adapters = proof_adapters(bundle.manifest, "record")
    leases = [bank.write(slot, adapter) for slot, adapter in enumerate(adapters, 1)]
    banks = dict(zip(input_names(bundle.manifest.targets), bank.arrays, strict=True))
    names, layout = graph_inputs(bundle.manifest), OPENVINO.shaping.layout
    grid = OPENVINO.shaping.grid(bundle)
    feeds = []
    for index, text in enumerate(data.inputs[:count]):
        number = index % len(adapters)
        planned = plan([len(text)], [0], grid, 1)
        feed = make_feed(planned, [text], [0], [leases[number]], 0, layout)  # type: ignore[list-item]
        feeds.append({**feed.inputs(names), **banks})
    return feeds


def full_shapes(bundle: Bundle) -> Shapes:
    """Return the shapes of the inputs of the pass that is timed, on OpenVINO."""
    texts, numbers = batches(LENGTH, SLOTS)[0]
    bank = HostBank(bundle.manifest, SLOTS)
    adapters = random_adapters(bundle.manifest, SLOTS, RANK)
    leases = [bank.write(slot, adapter) for slot, adapter in enumerate(adapters, 1)]
    grid = OPENVINO.shaping.grid(bundle)
    planned = plan([LENGTH] * len(texts), numbers, grid, SLOTS)
    feed = make_feed(planned, texts, numbers, leases, 0, OPENVINO.shaping.layout)
    names = graph_inputs(bundle.manifest)
    return {name: array.shape for name, array in feed.inputs(names).items()}


def full_passes(bundle: Bundle, runtime: Runtime) -> Contestant:
    """Return a contestant that answers 512 tokens of 32 adapters a round."""
    asked = Asked(bundle, runtime, random_adapters(bundle.manifest, SLOTS, RANK))
    following = itertools.cycle(batches(LENGTH, SLOTS))

    def answer() -> int:
        texts, numbers = next(following)
        grid = asked.forward.runtime.grid
        planned = plan([LENGTH] * len(texts), numbers, grid, len(asked.members))
        return asked.forward.run(planned, texts, numbers, asked.members).tokens

    return timed(answer)


def judge(bundle: Bundle, routes: Mapping[str, Route], reference: Reference) -> dict[str, Finding]:
    """Measure the answers of every route."""
    found = {}
    for name, route in routes.items():
        if route.same_answers_as:
            continue
        show(f"answers of {name}")
        tolerance = PRECISIONS["bf16" if route.ships in ("fp32", "bf16") else "int8-static"]
        found[name] = measure(bundle, route.open(), reference, tolerance.tolerance)
        gc.collect()
    return found


def race(bundle: Bundle, routes: Mapping[str, Route], rounds: int, title: str) -> Rates:
    """Time full passes on every route that serves, in turn."""
    contestants = {
        name: full_passes(bundle, route.open())
        for name, route in routes.items()
        if route.place != "emulated"
    }
    return interleave(contestants, rounds, title=title)


def _rows(routes: Mapping[str, Route], findings: Mapping[str, Finding], rates: Rates) -> Rows:
    rows = []
    for name, route in routes.items():
        found = findings[route.same_answers_as or name].measured
        timed_here = name in rates.by_round
        rows.append(
            (
                route.words,
                route.place,
                f"{found.accuracy:.4f}",
                f"{found.label_agreement:.2%}",
                f"{found.calibration_error:.4f}",
                f"{found.max_probability_error:.3f}, {found.mean_probability_error:.4f}",
                f"{found.max_embedding_error:.3f}",
                f"{found.max_neighbour_error:.1e}",
                f"{rates.median(name):,.0f}" if timed_here else "",
                f"{found.milliseconds:.1f}",
                str(rates.ratio(name, BF16)) if timed_here else "",
                route.ships,
            )
        )
    columns = (
        "", "on", "accuracy", "labels agree", "ECE", "probability error: worst, mean",
        "embedding error", "alone and mixed", "tokens/s", "one text, ms",
        "of OpenVINO bf16 (quartiles)", "variant",
    )  # fmt: skip
    return Rows("everything that was tried, query, key, value and output banked", columns, rows)


def _speed_rows(rates: Rates, names: Sequence[str]) -> Rows:
    rows = [
        (name, f"{rates.median(name):,.0f}", str(rates.ratio(name, BF16)),
         str(rates.ratio(name, FP32)))
        for name in names
    ]  # fmt: skip
    columns = ("", "tokens/s", "of OpenVINO bf16", "of fp32 on ONNX Runtime")
    return Rows("the same with query and value banked", columns, rows)


def _plot(routes: Mapping[str, Route], findings: Mapping[str, Finding], rates: Rates) -> Draw:
    places = {"cpu": COLOURS[1], "openvino": COLOURS[0]}

    def draw(panels: Sequence[Axes]) -> None:
        axes = panels[0]
        for name, route in routes.items():
            if name not in rates.by_round:
                continue
            found = findings[route.same_answers_as or name].measured
            speed = rates.ratio(name, BF16).median
            shipped = route.ships in (*PRECISIONS, "fp32")
            axes.scatter(
                speed,
                100 * found.label_agreement,
                color=places[route.place],
                marker="o" if shipped else "x",
            )
            if shipped or route.same_answers_as:
                axes.annotate(name, (speed, 100 * found.label_agreement), fontsize=7)
        axes.axvline(1.5, color="#7a7a7a", linewidth=0.8, linestyle="--")
        axes.set_xlabel("speed of full passes, of OpenVINO bf16")
        axes.set_ylabel("labels that agree with fp32, %")

    return draw


def main() -> None:
    """Run the benchmark."""
    options = arguments("What precisions cost and bring.").parse_args()
    count = 512 if options.quick else 2048
    rounds = 3 if options.quick else 25
    fitted, measured = rows_of_banking(count)
    bundle = exported("attention", ATTENTION)
    data = as_set(fitted, bundle, "banking77")
    show("fitting heads on the states of fp32")
    reference = make_reference(bundle, as_set(measured, bundle, "banking77"))
    show("making the graphs")
    few = 32 if options.quick else FEW
    routes = routes_of(bundle, data, graph_feeds(bundle, data, few), full_shapes(bundle))
    findings = judge(bundle, routes, reference)
    rates = race(bundle, routes, rounds, "full passes")
    report = Report(
        "precision",
        "What does a faster precision cost in accuracy, and what does it bring?",
        {
            "model": "all-MiniLM-L6-v2; accuracy: 4 random adapters, heads fitted for each on the"
            " states of fp32; speed: 32 random adapters of rank 8",
            "texts": f"BANKING77: int8 fitted to {len(data):,} texts, heads to"
            f" {len(measured) - len(reference.data):,} others, measured on {len(reference.data):,}"
            " more",
            "pass": f"{TOKENS} tokens in texts of {LENGTH}, each of another adapter; plan, feed,"
            " graph and heads are timed",
            "fp32": f"accuracy {findings[FP32].measured.accuracy:.4f},"
            f" ECE {findings[FP32].measured.calibration_error:.4f}",
        },
    )
    report.tables = [_rows(routes, findings, rates)]
    gc.collect()
    narrow = exported("query-value", QUERY_VALUE)
    again = own_routes(narrow, as_set(fitted, narrow, "banking77"), full_shapes(narrow))
    chosen = (FP32, BF16, "bf16, static", STATIC, _STATIC_AGAIN, "int8-static, cpu")
    fewer = race(narrow, {name: again[name] for name in chosen}, rounds, "query and value")
    report.tables.append(_speed_rows(fewer, chosen))
    report.bars = [
        Bar("int8-static / bf16, both on OpenVINO", rates.ratio(STATIC, BF16).median, 1.5),
        Bar("the same, one static shape", rates.ratio(_STATIC_AGAIN, "bf16, static").median, 1.5),
        Bar("the same, query and value banked", fewer.ratio(STATIC, BF16).median, 1.5),
        Bar(
            "accuracy lost by int8-static",
            findings[FP32].measured.accuracy - findings[STATIC].measured.accuracy,  # type: ignore[operator]
            0.005,
            at_least=False,
        ),
    ]
    report.notes += [
        f"{name}: {word}" for name, found in findings.items() for word in found.breaches
    ]
    report.measured = {
        "answers": {name: found.measured.model_dump() for name, found in findings.items()},
        "tokens_per_second": rates.document(),
        "query_and_value": fewer.document(),
    }
    published(report, options, _plot(routes, findings, rates))


if __name__ == "__main__":
    main()
