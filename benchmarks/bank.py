"""The bank: slot writes, cold loads, starts, and what an adapter takes of memory.

python -m benchmarks.bank [--quick]
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np

from benchmarks.bank_memory import Memory, measure_memory, slot_bytes
from benchmarks.bank_times import (
    SLOTS,
    ColdLoads,
    SlotWrites,
    Starts,
    cold_loads,
    slot_writes,
    starts,
)
from benchmarks.bundles import ATTENTION, exported, minilm
from benchmarks.engine import chosen_provider
from benchmarks.report import Bar, Report, Rows, arguments, publish
from benchmarks.servers import stop_with_us
from service.engine.bundle import Manifest

_MIB = 1 << 20
_KIB = 1 << 10


def _time_rows(writes: SlotWrites, loads: ColdLoads) -> Rows:
    rows = [
        ("slot write, over another adapter", *writes.over.cells()),
        ("slot write, into a slot never written", *writes.fresh.cells()),
        ("a warm answer, one text", *loads.warm.cells()),
        ("a cold answer beyond it, from the disk", *loads.beyond_disk.cells()),
        ("a cold answer beyond it, from the page cache", *loads.beyond_cached.cells()),
    ]
    return Rows("times", ("milliseconds", "p50", "p95", "p99"), rows)


def _start_rows(started: Starts, population: int) -> Rows:
    spread = f"{min(started.remembered):.1f} to {max(started.remembered):.1f}"
    rows = [
        ("first, empty state, provider measured", f"{started.first:.1f}", ""),
        (
            f"provider remembered, {population:,} adapters",
            f"{np.median(started.remembered):.1f}",
            spread,
        ),
    ]
    return Rows("start to ready", ("seconds", "median", "range"), rows)


def _memory_rows(memory: Memory, manifest: Manifest) -> Rows:
    growth = memory.growth_bytes / memory.adapters / _KIB
    own = memory.tensor_bytes / memory.adapters / _KIB
    copy = (minilm() / "model.safetensors").stat().st_size
    rows = [
        (f"growth per adapter, over {memory.adapters:,}", f"{growth:,.0f} KiB"),
        ("its tensors at their own rank, head included", f"{own:,.0f} KiB"),
        ("a fine-tuned copy of the backbone instead", f"{copy / _KIB:,.0f} KiB"),
        ("the service before them", f"{memory.before_bytes / _MIB:,.0f} MiB"),
        (
            f"preallocated slots, {SLOTS} (default)",
            f"{slot_bytes(manifest, SLOTS) / _MIB:,.0f} MiB",
        ),
    ]
    return Rows("memory", ("resident", ""), rows)


def run(options: argparse.Namespace, folder: Path) -> Report:
    """Measure everything and return the report."""
    quick: bool = options.quick
    bundle = exported("attention", ATTENTION)
    provider = chosen_provider(bundle, options.provider)
    count = 96 if quick else 1000
    report = Report(
        "bank",
        "What does it take to hold, load and place an adapter?",
        {
            "model": "all-MiniLM-L6-v2, random LoRA on query, key, value and output",
            "adapters": f"{count:,}, ranks 4 to 16, 2 to 77 labels, uploaded over HTTP",
            "provider": provider,
        },
    )
    state = folder / "state"
    writes = slot_writes(bundle, provider, 300 if quick else 3000)
    memory, placed = measure_memory(bundle, state, provider, count)
    some = placed[: 48 if quick else 128]
    loads = cold_loads(bundle, state, provider, some, 1 if quick else 2)
    started = starts(bundle, folder / "fresh", state, options.provider, 2 if quick else 5)
    report.bars = [
        Bar("slot write, p95", writes.over.at(95), 1.0, at_least=False, unit="ms"),
        Bar(
            "cold answer from the disk beyond a warm one, p95",
            loads.beyond_disk.at(95),
            20.0,
            at_least=False,
            unit="ms",
        ),
        Bar(
            "start to ready, provider remembered",
            float(np.median(started.remembered)),
            10.0,
            at_least=False,
            unit="s",
        ),
        Bar("memory per adapter / its tensors' bytes", memory.ratio, 1.2, at_least=False),
    ]
    report.tables = [
        _time_rows(writes, loads),
        _start_rows(started, len(placed)),
        _memory_rows(memory, bundle.manifest),
    ]
    report.notes = [
        (
            "Cold and warm answers are lone requests over HTTP, with a bank of few slots and no"
            " host cache, so that each adapter was evicted before its turn; for `from the disk`"
            " the system was told to drop the files, and the service read"
            f" {loads.disk_bytes / _MIB:,.0f} MiB."
        ),
        (
            "Memory: resident set of a fresh process after an answer of each adapter, all kept in"
            " the host cache, less the same with the first 64, which fill every slot; registry,"
            " routes and tables are in it."
        ),
    ]
    report.measured = {
        "slot_write_ms": {"over": writes.over.document(), "fresh": writes.fresh.document()},
        "warm_ms": loads.warm.document(),
        "cold_beyond_ms": {
            "disk": loads.beyond_disk.document(),
            "page_cache": loads.beyond_cached.document(),
        },
        "start_s": {"first": started.first, "remembered": started.remembered},
        "memory_bytes": {
            "adapters": memory.adapters,
            "before": memory.before_bytes,
            "growth": memory.growth_bytes,
            "tensors": memory.tensor_bytes,
        },
    }
    return report


def main() -> None:
    """Run the benchmark."""
    options = arguments("Slot writes, cold loads, starts and memory.").parse_args()
    stop_with_us()
    with tempfile.TemporaryDirectory(prefix="benchmark-bank-") as folder:
        report = run(options, Path(folder))
    publish(report, options)


if __name__ == "__main__":
    main()
