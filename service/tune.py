"""`tenantry tune`: measures what a bundle runs best with on this machine, and writes it down."""

import sys
from pathlib import Path
from tempfile import TemporaryFile
from typing import Annotated

import orjson
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from threadpoolctl import threadpool_limits

from service.engine.bundle import Bundle, open_bundle
from service.engine.errors import ProviderUnavailable
from service.engine.execution.provider import DeviceOptions
from service.engine.tuning import search
from service.engine.tuning.choice import pairs_for
from service.engine.tuning.memory import (
    ENGINES,
    MEMORY,
    key_of,
    merged,
    recall,
    remember,
    trial_document,
)
from service.engine.tuning.plot import bars
from service.engine.tuning.search import Found, Wanted
from service.engine.tuning.texts import own_workload
from service.engine.tuning.trial import Bench, Trial
from service.engine.tuning.workload import Workload, random_workload
from service.errors import InvalidSettings, StoreFull

PLOT = "tuning.svg"  # in the state directory
_SHOWN = 12  # trials of the table


def tune(
    bundle: Annotated[
        Path,
        typer.Option(envvar="TENANTRY_BUNDLE", help="Directory of the exported backbone."),
    ],
    state: Annotated[
        Path,
        typer.Option(envvar="TENANTRY_STATE", help="Directory that `tenantry serve` reads."),
    ],
    data: Annotated[
        Path | None,
        typer.Option(help='Your own texts, JSON Lines with a "text" each. Default: random ones.'),
    ] = None,
    count: Annotated[int, typer.Option(min=16, help="Inputs of one round.")] = 512,
    rounds: Annotated[int, typer.Option(min=1, help="Rounds, of which the fastest counts.")] = 3,
    provider: Annotated[str | None, typer.Option(help="This provider alone.")] = None,
    variant: Annotated[str | None, typer.Option(help="This precision alone.")] = None,
    threads: Annotated[
        int | None, typer.Option(min=1, help="So many threads; default: what is best.")
    ] = None,
    slots: Annotated[
        int, typer.Option(min=1, envvar="TENANTRY_BANK_SLOTS", help="Adapters in the bank.")
    ] = 128,
    gpu_memory_bytes_max: Annotated[
        int | None,
        typer.Option(envvar="TENANTRY_GPU_MEMORY_BYTES_MAX", help="As the service has it."),
    ] = None,
    cuda_graphs: Annotated[
        bool, typer.Option(envvar="TENANTRY_CUDA_GRAPHS", help="As the service has it.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON.")] = False,
) -> None:
    """Measure precisions, providers, threads and shapes on this machine; `serve` uses the best.

    Nothing else should run meanwhile. What is found is valid until the bundle, the processor or a
    version of a library changes.
    """
    threadpool_limits(limits=1, user_api="blas")  # as in the service
    console = Console(stderr=True)
    backbone = open_bundle(bundle)
    work = random_workload(backbone, count) if data is None else own_workload(backbone, data, count)
    _require_writable(state)
    device = DeviceOptions(gpu_memory_bytes_max, cuda_graphs, state / ENGINES)
    bench = Bench(backbone, work, slots, device, rounds)
    wanted = Wanted(provider, variant, threads)
    pairs_for(backbone, wanted)  # refuses what cannot be
    found = _searched(bench, wanted, console)
    if found.best is None:
        raise ProviderUnavailable(
            "; ".join(
                f"{t.setup.variant} on {t.setup.provider}: {t.words()}"
                for t in found.trials
                if wanted.allows(t.setup)
            )
        )
    _write(state, backbone, work, wanted, found)
    if json:
        _print_json(work, found)
    else:
        console.print(_table(found), highlight=False)
        console.print(_summary(found, work, state, wanted), highlight=False, markup=False)


def _searched(bench: Bench, wanted: Wanted, console: Console) -> Found:
    columns = (
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.description}"),
    )
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("looking for providers", total=None)

        def show(words: str, done: int, of: int) -> None:
            progress.update(task, description=words, completed=done, total=of)

        found = search.tune(bench, wanted, show)
        progress.update(task, description="done", completed=len(found.trials))
    return found


def _require_writable(state: Path) -> None:
    """Raise `InvalidSettings` where nothing can be written: before it is measured for minutes."""
    try:
        state.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=state):
            pass
    except OSError as error:
        raise InvalidSettings(
            f"--state {state} cannot be written: {error.strerror}; give a folder that this user may"
            " write, the one that `tenantry serve` is started with"
        ) from error


def _write(state: Path, bundle: Bundle, work: Workload, wanted: Wanted, found: Found) -> None:
    """Keep the findings; those of a part of the setups are added to what is known of all."""
    assert found.best is not None, "only what runs is written down"
    key = key_of(bundle)
    before = None if wanted.anything else recall(state / MEMORY, key)
    record = merged(before, wanted, "tune", work.about, found)
    title = f"{bundle.manifest.source.name}: {work.about}"
    try:
        remember(state / MEMORY, key, record)
        plot = bars(record.trials, found.best.setup, title)
        (state / PLOT).write_text(plot, encoding="utf-8")
    except OSError as error:
        raise StoreFull(
            f"what was found cannot be written to {state}: {error.strerror}; make room there and"
            " run the same command again"
        ) from error


def _table(found: Found) -> Table:
    table = Table(title="fastest first", title_justify="left", box=None, pad_edge=False)
    table.add_column("what", no_wrap=True)
    for name in ("threads", "pass", "block", "step", "tokens/s", "alone", "error", "labels"):
        table.add_column(name, justify="right", no_wrap=True)
    ran = sorted((t for t in found.trials if t.tokens_per_second), key=lambda t: -t.speed)
    for trial in ran[:_SHOWN]:
        style = "bold" if found.best is not None and trial.setup == found.best.setup else None
        table.add_row(*_cells(trial), style=style)
    return table


def _cells(trial: Trial) -> list[str]:
    setup, layout = trial.setup, trial.setup.shaping.layout
    return [
        f"{setup.variant} {setup.provider}",
        str(setup.threads),
        str(setup.shaping.token_budget),
        str(layout.block_tokens),
        str(layout.column_step),
        f"{trial.speed:,.0f}",
        "" if trial.milliseconds is None else f"{trial.milliseconds:.1f} ms",
        "" if trial.error is None else f"{trial.error:.0e}",
        "" if trial.agreement is None else f"{trial.agreement:.1%}",
    ]


def _summary(found: Found, work: Workload, state: Path, wanted: Wanted) -> str:
    assert found.best is not None, "only what runs is shown"
    gain = "" if found.gain is None else f", {found.gain:.2f} times the best of the defaults"
    refused = [
        f"{trial.setup.variant} on {trial.setup.provider}: {trial.words()}\n"
        for trial in found.trials
        if not trial.usable
    ]
    return "".join(refused) + (
        f"{found.best.setup}: {found.best.speed:,.0f} tokens/s{gain}\n"
        f"measured with {work.about}; written to {state / MEMORY}, drawn in {state / PLOT}\n"
        f"{_used_by(wanted)}"
    )


def _used_by(wanted: Wanted) -> str:
    """Return how `tenantry serve` is started to use what was found."""
    options = [
        f"--{name} {value}" for name, value in wanted.document().items() if value is not None
    ]
    uses = f"`{' '.join(['tenantry serve', *options])}` uses it from its next start on"
    if wanted.anything:
        return uses
    return f"{uses}; a plain `tenantry serve` goes on as before"


def _print_json(work: Workload, found: Found) -> None:
    assert found.best is not None, "only what runs is printed"
    document = {
        "workload": work.about,
        "best": found.best.setup.document(),
        "gain": found.gain,
        "trials": [trial_document(trial) for trial in found.trials],
    }
    sys.stdout.buffer.write(orjson.dumps(document) + b"\n")
