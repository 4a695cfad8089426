"""`tenantry export`: a Hugging Face model in, a proven bundle out."""

import getpass
import sys
from pathlib import Path
from typing import Annotated

import orjson
import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from service.engine.errors import TenantryError

_STAGES = {"load": "reading the model", "trace": "tracing the graph", "prove": "proving it"}


def export(
    model: Annotated[str, typer.Argument(help="A local directory, or a name on the hub.")],
    out: Annotated[Path, typer.Option(help="Where the bundle goes; a new or empty directory.")],
    targets: Annotated[
        str,
        typer.Option(
            help="Layers that LoRA may change: ends of their paths, comma-separated, or"
            " all-linear. Default: the attention's query, key, value and output."
        ),
    ] = "",
    max_rank: Annotated[int, typer.Option(min=1, max=256, help="Largest rank taken.")] = 16,
    max_labels: Annotated[int, typer.Option(min=2, help="Most labels an adapter has.")] = 256,
    max_length: Annotated[
        int | None, typer.Option(help="Longest text in tokens. Default: the model's own limit.")
    ] = None,
    revision: Annotated[str | None, typer.Option(help="Revision on the hub.")] = None,
    licence: Annotated[str | None, typer.Option(help="Licence, where the card is silent.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Convert a model to a banked ONNX bundle, prove it against transformers and peft, write it."""
    from exporter.export import Request, export_bundle

    console = Console(stderr=True)
    request = Request(
        model=model,
        out=out,
        targets=tuple(t.strip() for t in targets.split(",") if t.strip()),
        max_rank=max_rank,
        max_labels=max_labels,
        max_length=max_length,
        revision=revision,
        licence=licence,
        exported_by=getpass.getuser(),
    )
    columns = (TextColumn("{task.description:20}"), BarColumn(), TimeElapsedColumn())
    try:
        with Progress(*columns, console=console) as bars:
            tasks = {stage: bars.add_task(words, total=1) for stage, words in _STAGES.items()}

            def progress(stage: str, done: int, of: int) -> None:
                bars.update(tasks[stage], completed=done, total=of)

            bundle = export_bundle(request, progress)
    except TenantryError as error:
        console.print(f"[red]export failed:[/red] {error}", highlight=False)
        raise typer.Exit(1) from error
    parity = bundle.manifest.parity
    if json:
        report = {"path": str(out), "digest": bundle.digest, **parity.model_dump(mode="json")}
        sys.stdout.buffer.write(orjson.dumps(report) + b"\n")
        return
    console.print(
        f"[green]{out}[/green] {bundle.digest}\n"
        f"proven on {parity.texts} texts of {parity.adapters} adapters: probabilities within"
        f" {parity.max_probability_error:.1e} of peft, alone against mixed"
        f" {parity.max_neighbour_error:.1e}\n"
        f"next: tenantry serve --bundle {out} --state DIR",
        highlight=False,
    )
