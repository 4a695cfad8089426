"""Mixed adapters on a GPU: against merged in the same engine, torch with CUDA graphs, and `peft`.

python -m benchmarks.gpu                          on a GPU, kept in benchmarks/results
python -m benchmarks.gpu --device cpu --tiny      a dry run: that it works, not how fast
"""

import argparse
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import torch

from benchmarks.bundles import cache_folder
from benchmarks.gpu.contestants import (
    ON_CPU,
    ON_GPU,
    Batch,
    Ours,
    PeftMixed,
    TorchMerged,
    Where,
    make_batch,
    mixed,
)
from benchmarks.gpu.models import SHAPES, Shape
from benchmarks.report import RESULTS, Bar, Report, Rows, publish
from benchmarks.rounds import Contestant, Rates, interleave, show, timed
from exporter.export import Request, export_bundle
from service.engine.bundle import Bundle, open_bundle
from service.engine.errors import InvalidBundle

ADAPTERS = (1, 8, 32, 128, 1024)
PROMISED_AT = 32  # adapters
MIXED_OVER_MERGED = 0.9
MIXED_OVER_TORCH = 1.0
MIXED_OVER_PEFT = 10.0

PEFT_ADAPTERS_MAX = 128  # beyond, loading them takes longer than everything else
_ROUNDS = 21
_PASSES = 20  # of one contestant in one round
_TINY = (1, 2)  # rounds and passes of a dry run

MERGED, TORCH = "merged, this engine", "merged, torch SDPA"


def main(arguments: Sequence[str] | None = None) -> Report:
    """Measure every shape and return the report."""
    options = _options(arguments)
    where = ON_GPU if options.device == "cuda" else ON_CPU
    if where is ON_GPU and not torch.cuda.is_available():
        raise SystemExit("torch finds no GPU; --device cpu --tiny is a dry run without one")
    report = Report(
        f"gpu-{options.provider}" if where is ON_GPU else "gpu-dry-run",
        "what mixing adapters costs on a GPU, and what others pay for it",
        {
            "device": _device(where),
            "engine": f"{where.provider}, {where.variant}, LoRA of rank 8 on the attention",
            "batch": "128 texts of 32 tokens, or 16 images; adapters in turn",
            "torch": f"{torch.__version__}, {where.dtype}, SDPA, CUDA graphs: {where.graphs}",
        },
    )
    if where is ON_GPU:
        where = Where(where.device, options.provider, where.variant, where.dtype, where.graphs)
    rows = []
    for shape in SHAPES:
        if options.only is None or shape.name in options.only:
            rows += _measure(shape.at(tiny=options.tiny), where, options, report)
    columns = ("model", "adapters", "mixed, inputs/s", "of merged", "of torch", "times peft")
    report.tables.append(Rows("mixed adapters", columns, rows))
    publish(report, options)
    return report


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--provider", choices=("cuda", "tensorrt"), default="cuda")
    parser.add_argument("--tiny", action="store_true", help="tiny models, a few passes")
    parser.add_argument(
        "--only", nargs="*", help="these models: " + ", ".join(s.name for s in SHAPES)
    )
    parser.add_argument("--adapters", type=int, nargs="*", default=ADAPTERS)
    parser.add_argument("--bundles", type=Path, default=cache_folder() / "gpu")
    parser.add_argument("--results", type=Path, help=f"folder for the report (default {RESULTS})")
    options = parser.parse_args(arguments)
    options.quick = options.tiny or options.device == "cpu"
    return options


def _measure(
    shape: Shape, where: Where, options: argparse.Namespace, report: Report
) -> list[tuple[str, ...]]:
    folder = options.bundles / f"{shape.name}{'-tiny' if options.tiny else ''}"
    banked = _bundle(shape, folder, "banked", where, dedicated=False)
    merged = Ours(_bundle(shape, folder, "merged", where, dedicated=True), (), where)
    batch = make_batch(shape, banked, 1)
    torch_merged = TorchMerged(folder / "checkpoint", shape, batch, where)
    rounds, passes = _TINY if options.tiny else (_ROUNDS, _PASSES)
    rows = []
    for count in options.adapters:
        ours = mixed(banked, count, where)
        asked = make_batch(shape, banked, count)
        contestants = {
            "mixed": _repeated(ours, asked, passes),
            MERGED: _repeated(merged, batch, passes),
            TORCH: _repeated(torch_merged, batch, passes),
        }
        if count <= PEFT_ADAPTERS_MAX:
            peft = PeftMixed(folder / "checkpoint", shape, banked, count, where)
            contestants["peft"] = _repeated(peft, asked, 1)
        rates = interleave(contestants, rounds, title=f"{shape.name}, {count} adapters")
        report.measured[f"{shape.name}, {count} adapters"] = rates.document()
        rows.append(_row(shape, count, rates))
        if count == PROMISED_AT:
            report.bars += _bars(shape, rates, applies=not options.quick)
    return rows


def _repeated(one: Ours | TorchMerged | PeftMixed, batch: Batch, passes: int) -> Contestant:
    return timed(lambda: sum(one.answer(batch) for _ in range(passes)))


def _row(shape: Shape, count: int, rates: Rates) -> tuple[str, ...]:
    peft = str(rates.ratio("mixed", "peft")) if "peft" in rates.by_round else "not measured"
    return (
        shape.name,
        f"{count:,}",
        f"{rates.median('mixed'):,.0f}",
        str(rates.ratio("mixed", MERGED)),
        str(rates.ratio("mixed", TORCH)),
        peft,
    )


def _bars(shape: Shape, rates: Rates, *, applies: bool) -> list[Bar]:
    what = f"{shape.name}, {PROMISED_AT} adapters mixed"
    promised = (
        ("merged in the same engine", MERGED, MIXED_OVER_MERGED),
        ("torch merged with CUDA graphs", TORCH, MIXED_OVER_TORCH),
        ("peft mixed", "peft", MIXED_OVER_PEFT),
    )
    return [
        Bar(f"{what} over {words}", rates.ratio("mixed", name).median, limit, applies=applies)
        for words, name, limit in promised
    ]


def _bundle(shape: Shape, folder: Path, name: str, where: Where, *, dedicated: bool) -> Bundle:
    """Return the bundle of a random checkpoint, made once; merged has no bank."""
    out = folder / f"{name}-{where.variant}"
    try:
        return open_bundle(out)
    except InvalidBundle:
        shutil.rmtree(out, ignore_errors=True)
    checkpoint = folder / "checkpoint"
    if not (checkpoint / "labels.txt").is_file():
        shape.write(checkpoint)
    show(f"exporting {shape.name}, {name}")
    request = Request(
        model=str(checkpoint),
        out=out,
        exported_by="benchmark",
        licence="none: random weights",
        dedicated=dedicated,
        labels=checkpoint / "labels.txt" if dedicated else None,
        precisions=(where.variant,),
    )
    return export_bundle(request, lambda *_: None)


def _device(where: Where) -> str:
    if where.device == "cpu":
        return "the processor: a dry run"
    driver = subprocess.run(
        ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"],
        capture_output=True,
        text=True,
        check=False,
    )
    said = driver.stdout.strip() or "unknown"
    return f"{torch.cuda.get_device_name()}, driver {said}, CUDA {torch.version.cuda}"


if __name__ == "__main__":
    main()
