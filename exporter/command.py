"""`tenantry export`: a Hugging Face model in, a proven bundle out."""

import getpass
import sys
from pathlib import Path
from typing import Annotated

import orjson
import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from service.engine.errors import TenantryError

_STAGES = {
    "load": "reading the model",
    "trace": "tracing the graph",
    "prove": "proving it",
    "precisions": "other precisions",
}


def export(
    model: Annotated[str, typer.Argument(help="A local directory, or a name on the hub.")],
    out: Annotated[Path, typer.Option(help="Where the bundle goes; a new or empty directory.")],
    targets: Annotated[
        str,
        typer.Option(
            help="Layers that LoRA may change: ends of their paths, comma-separated, or"
            " all-linear. Default: the attention's query, key, value and output; of a"
            " convolutional network the layers of its stages."
        ),
    ] = "",
    max_rank: Annotated[int, typer.Option(min=1, max=256, help="Largest rank taken.")] = 16,
    max_labels: Annotated[int, typer.Option(min=2, help="Most labels an adapter has.")] = 256,
    max_length: Annotated[
        int | None, typer.Option(help="Longest text in tokens. Default: the model's own limit.")
    ] = None,
    revision: Annotated[str | None, typer.Option(help="Revision on the hub.")] = None,
    licence: Annotated[str | None, typer.Option(help="Licence, where the card is silent.")] = None,
    dedicated: Annotated[
        bool,
        typer.Option(
            "--dedicated",
            help="The model answers by itself with its own classifier: no bank, no adapters.",
        ),
    ] = False,
    merge: Annotated[
        Path | None,
        typer.Option(help="Folder of a peft adapter to merge into MODEL; dedicated, too."),
    ] = None,
    labels: Annotated[
        Path | None,
        typer.Option(help="File with a label a line, where a dedicated model does not name them."),
    ] = None,
    precisions: Annotated[
        str,
        typer.Option(
            help="Precisions beside fp32, comma-separated: bf16, fp16, int8-dynamic, int8-static."
            " One that does not pass ends the export. auto: bf16, and with --calibration"
            " int8-static, leaving out what does not pass or run here."
        ),
    ] = "auto",
    calibration: Annotated[
        Path | None,
        typer.Option(
            help='Real inputs, a line {"text": ..., "label": ...} or {"image": PATH, ...} each:'
            " int8-static is fitted to them, and every precision measured on them."
        ),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Convert a model to an ONNX bundle, prove it against transformers and peft, write it.

    The bundle is a backbone with a bank for adapters. With --dedicated it is one fine-tuned model
    that answers by itself; with --merge that model is MODEL with an adapter merged into it.
    """
    from exporter.export import Request, export_bundle
    from exporter.precision.card import precision_document, precision_lines
    from exporter.tensorrt.check import check_bundle
    from exporter.tensorrt.report import tensorrt_document, tensorrt_lines

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
        dedicated=dedicated,
        merge=merge,
        labels=labels,
        precisions=tuple(p.strip() for p in precisions.split(",") if p.strip()),
        calibration=calibration,
    )
    columns = (TextColumn("{task.description:20}"), BarColumn(), TimeElapsedColumn())
    try:
        with Progress(*columns, console=console) as bars:
            tasks = {stage: bars.add_task(words, total=1) for stage, words in _STAGES.items()}

            def progress(stage: str, done: int, of: int) -> None:
                bars.update(tasks[stage], completed=done, total=of)

            bundle = export_bundle(request, progress)
    except TenantryError as error:
        console.print(
            f"[red]export failed:[/red] {escape(str(error))}", highlight=False, soft_wrap=True
        )
        raise typer.Exit(1) from error
    parity = bundle.manifest.parity
    findings = check_bundle(bundle)
    if json:
        report = {
            "path": str(out),
            "digest": bundle.digest,
            **parity.model_dump(mode="json"),
            "precisions": precision_document(bundle.manifest),
            "tensorrt": tensorrt_document(findings),
        }
        sys.stdout.buffer.write(orjson.dumps(report) + b"\n")
        return
    whose, reference = f" of {parity.adapters} adapters", "peft"
    if bundle.manifest.dedicated is not None:
        whose, reference = "", "transformers"
    console.print(
        f"[green]{out}[/green] {bundle.digest}\n"
        f"proven on {parity.texts} {bundle.manifest.task}s{whose}: probabilities within"
        f" {parity.max_probability_error:.1e} of {reference}, alone against mixed"
        f" {parity.max_neighbour_error:.1e}\n"
        + "".join(f"{line}\n" for line in precision_lines(bundle.manifest))
        + "".join(f"{line}\n" for line in tensorrt_lines(findings))
        + f"next: tenantry serve --bundle {out} --state DIR",
        highlight=False,
    )
