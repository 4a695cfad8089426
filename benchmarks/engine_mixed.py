"""Mixed passes: 512 tokens of 32 adapters at once, against no LoRA at all and against others.

python -m benchmarks.engine_mixed [--quick]
"""

import gc
from dataclasses import dataclass

import numpy as np

from benchmarks.adapters import random_adapters, without_lora
from benchmarks.baselines.torch_models import TorchBatches, peft_model_of, plain_model
from benchmarks.bundles import (
    ALL_LINEAR,
    ATTENTION,
    QUERY_VALUE,
    bare,
    exported,
    merged,
    with_max_rank,
)
from benchmarks.engine import Engine, chosen_provider
from benchmarks.passes import (
    TOKENS,
    batches,
    engine_passes,
    lora_adapter_passes,
    probabilities,
    torch_passes,
)
from benchmarks.report import Bar, Report, Rows, arguments, publish
from benchmarks.rounds import Rates, interleave, show
from service.engine.bundle import Bundle

LENGTH = 16
ADAPTERS = 32
RANK = 8

OURS = "banked, 32 adapters"
BARE = "no LoRA, the same 32 heads"
ONE_HEAD = "no LoRA, one head for all"
MERGED = "one adapter merged, its head for all"
ONE_LORA = "onnxruntime LoraAdapter, one adapter for all"
MANY_LORA = "onnxruntime LoraAdapter, a run per adapter"
DTYPES = ("fp32", "bf16")


def peft_of(dtype: str) -> str:
    """Return the name of peft's contestant."""
    return f"peft adapter_names, {dtype}"


def torch_of(dtype: str) -> str:
    """Return the name of the contestant without LoRA in torch."""
    return f"transformers, no LoRA, {dtype}"


def contest(bundle: Bundle, provider: str, rounds: int, report: Report) -> Rates:
    """Measure the batch of the promise against everything that stands beside it."""
    manifest = bundle.manifest
    adapters = random_adapters(manifest, ADAPTERS, RANK)
    heads = [without_lora(adapter) for adapter in adapters]
    work = batches(LENGTH, ADAPTERS)
    ours = Engine(bundle, adapters, provider)
    plain = Engine(bare(bundle), heads, provider)
    single = Engine(merged(bundle, adapters[0]), heads, provider)
    contestants = {
        OURS: engine_passes(ours, work),
        BARE: engine_passes(plain, work),
        ONE_HEAD: engine_passes(plain, work, one=True),
        MERGED: engine_passes(single, work, one=True),
    }
    expected = probabilities(ours, work[0])
    for dtype in DTYPES:
        show(f"loading {ADAPTERS} adapters into peft, {dtype}")
        mixed = TorchBatches(peft_model_of(adapters, manifest, dtype))
        worst = float(np.abs(mixed.answer(*work[0]) - expected).max())
        report.notes.append(f"worst probability difference from peft in {dtype}: {worst:.1e}")
        contestants[peft_of(dtype)] = torch_passes(mixed, work)
        alone = TorchBatches(plain_model(len(adapters[0].labels), dtype))
        contestants[torch_of(dtype)] = torch_passes(alone, work)
    show("writing adapters for onnxruntime's LoraAdapter")
    contestants[ONE_LORA], contestants[MANY_LORA] = lora_adapter_passes(bundle, adapters, work)
    gc.collect()
    return interleave(contestants, rounds, title="512 tokens, 32 texts")


@dataclass(frozen=True, slots=True)
class Case:
    """One row of the table: what differs from the promise's batch."""

    words: str
    targets: tuple[str, ...] = QUERY_VALUE
    adapters: int = ADAPTERS
    rank: int = RANK
    length: int = LENGTH


CASES = (
    Case("1 adapter", adapters=1),
    *(Case(f"{n:,} adapters", adapters=n) for n in (8, 32, 128, 1024)),
    *(Case(f"rank {rank}", rank=rank) for rank in (4, 16, 32, 64)),
    Case("query, key, value, output", targets=ATTENTION),
    Case("query, key, value, output, rank 16", targets=ATTENTION, rank=16),
    Case("every linear layer", targets=ALL_LINEAR),
    Case("every linear layer, rank 16", targets=ALL_LINEAR, rank=16),
    *(Case(f"texts of {length}", length=length) for length in (8, 32, 64, 128, 256, 512)),
)


def bundle_of(targets: tuple[str, ...]) -> Bundle:
    """Return the exported bundle with these targets."""
    names = {QUERY_VALUE: "query-value", ATTENTION: "attention", ALL_LINEAR: "all-linear"}
    return exported(names[targets], targets)


def table(provider: str, rounds: int) -> dict[str, tuple[Case, Rates]]:
    """Measure every case against the same engine without LoRA."""
    plain_bundle = bare(bundle_of(QUERY_VALUE))
    found = {}
    for number, case in enumerate(CASES, 1):
        bundle = with_max_rank(bundle_of(case.targets), max(16, case.rank))
        adapters = random_adapters(bundle.manifest, case.adapters, case.rank)
        work = batches(case.length, case.adapters)
        banked = Engine(bundle, adapters, provider)
        plain = Engine(plain_bundle, [without_lora(adapter) for adapter in adapters], provider)
        contestants = {
            "banked": engine_passes(banked, work),
            "bare": engine_passes(plain, work),
        }
        title = f"case {number} of {len(CASES)}, {case.words}"
        found[case.words] = (case, interleave(contestants, rounds, title=title))
        del banked, plain, adapters, contestants
        gc.collect()
    return found


def _contest_rows(rates: Rates) -> Rows:
    rows = []
    for name in rates.by_round:
        speed = rates.median(name)
        ours = "" if name == OURS else str(rates.ratio(OURS, name))
        rows.append((name, f"{speed:,.0f}", f"{speed / LENGTH:,.0f}", ours))
    columns = ("512 tokens: 32 texts of 16", "tokens/s", "texts/s", "banked / this (quartiles)")
    return Rows("one pass, 32 adapters, query and value, rank 8", columns, rows)


def _table_rows(found: dict[str, tuple[Case, Rates]]) -> Rows:
    rows = []
    for words, (case, rates) in found.items():
        speeds = [f"{rates.median(name):,.0f}" for name in ("banked", "bare")]
        rows.append((words, str(case.rank), *speeds, str(rates.ratio("banked", "bare"))))
    columns = ("case", "rank", "tokens/s", "no LoRA, tokens/s", "ratio (quartiles)")
    title = (
        "512 tokens a pass; 32 adapters, query and value, texts of 16 where nothing else is said"
    )
    return Rows(title, columns, rows)


def main() -> None:
    """Run the benchmark."""
    options = arguments("Mixed passes against no LoRA at all and against others.").parse_args()
    bundle = bundle_of(QUERY_VALUE)
    provider = chosen_provider(bundle, options.provider)
    report = Report(
        "engine_mixed",
        "What does it cost to answer 32 tenants in one pass?",
        {
            "model": "all-MiniLM-L6-v2, random LoRA, heads of 77 labels",
            "pass": f"{TOKENS} tokens in texts of {LENGTH}, each of another adapter; plan, feed,"
            " graph and heads are timed",
            "provider": provider,
        },
    )
    rates = contest(bundle, provider, 3 if options.quick else 40, report)
    found = table(provider, 2 if options.quick else 8)
    best = max((peft_of(dtype) for dtype in DTYPES), key=rates.median)
    report.bars = [
        Bar("banked / no LoRA at all", rates.ratio(OURS, BARE).median, 0.9),
        Bar(
            f"banked / {best}", rates.ratio(OURS, best).median, 3.5, applies=report.machine.has_amx
        ),
    ]
    report.tables = [_contest_rows(rates), _table_rows(found)]
    report.notes += [
        "A batch of 32 texts holds at most 32 adapters; with 128 and 1,024 each pass takes others.",
        (
            "LoraAdapter: one adapter a run, so a mixed batch is a run per adapter, and by its"
            " documentation it has no effect with IO binding; its figures leave the heads out."
        ),
    ]
    report.measured = {
        "contest": rates.document(),
        "table": {words: rates.document() for words, (_, rates) in found.items()},
    }
    publish(report, options)


if __name__ == "__main__":
    main()
