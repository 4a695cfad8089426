"""`tenantry distill`: a smaller student that answers as its teacher does."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import orjson
import typer
from rich.console import Console
from rich.markdown import Markdown
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from service.engine.errors import TenantryError

if TYPE_CHECKING:
    from exporter.distill.distillation import Distilled, Request

SEED_MAX = 2**32 - 1  # as numpy and torch take it

_STAGES = {
    "read": "reading",
    "ask": "asking the teacher",
    "train": "training",
    "measure": "measuring both",
}


def distill(
    teacher: Annotated[
        str, typer.Option(help="Fine-tuned model: a local directory, or a name on the hub.")
    ],
    data: Annotated[
        Path, typer.Option(help='Texts to learn from: {"text": ..., "label"?: ...} a line.')
    ],
    out: Annotated[
        Path, typer.Option(help="Where the student goes, as `transformers` writes models.")
    ],
    student: Annotated[
        str | None, typer.Option(help="Smaller model to begin with: a directory, or a name.")
    ] = None,
    student_layers: Annotated[
        int | None, typer.Option(min=1, help="Or begin with so many of the teacher's layers.")
    ] = None,
    teacher_adapter: Annotated[
        Path | None, typer.Option(help="Folder of a peft adapter that makes --teacher one.")
    ] = None,
    labels: Annotated[
        Path | None,
        typer.Option(help="File with a label a line, where the teacher does not name them."),
    ] = None,
    held_out: Annotated[
        Path | None, typer.Option(help="Texts to measure on. Default: a share of --data.")
    ] = None,
    held_out_share: Annotated[
        float, typer.Option(min=0.001, max=0.9, help="Share of --data that is measured on.")
    ] = 0.1,
    max_length: Annotated[
        int | None, typer.Option(help="Longest text in tokens. Default: what both models take.")
    ] = None,
    epochs: Annotated[int, typer.Option(min=1, help="How often each text is learnt.")] = 5,
    batch: Annotated[int, typer.Option(min=1, help="Texts of a step.")] = 32,
    rate: Annotated[float, typer.Option(min=0.0, help="Learning rate at its highest.")] = 1e-4,
    temperature: Annotated[
        float, typer.Option(min=0.1, max=100.0, help="Softens answers before they are compared.")
    ] = 2.0,
    label_weight: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="Share of the loss that true labels have.")
    ] = 0.5,
    state_weight: Annotated[
        float, typer.Option(min=0.0, help="Weight of the distance between embeddings.")
    ] = 0.0,
    seed: Annotated[
        int, typer.Option(min=0, max=SEED_MAX, help="Decides split, order and dropout.")
    ] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    checkpoint_steps: Annotated[
        int, typer.Option(min=1, help="Steps between two checkpoints.")
    ] = 100,
    export: Annotated[
        Path | None, typer.Option(help="Make the student's dedicated bundle there, too.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Train a smaller model to answer as a fine-tuned one does, and compare the two.

    A run that was stopped, however it was, continues with the same command.
    """
    from exporter.distill.distillation import Request
    from exporter.distill.losses import Weights
    from exporter.distill.training import Recipe

    request = Request(
        teacher=teacher,
        data=data,
        out=out,
        student=student,
        student_layers=student_layers,
        teacher_adapter=teacher_adapter,
        labels=labels,
        held_out=held_out,
        held_out_share=held_out_share,
        max_length=max_length,
        recipe=Recipe(
            epochs=epochs,
            batch=batch,
            rate=rate,
            weights=Weights(temperature, label_weight, state_weight),
            seed=seed,
            checkpoint_steps=checkpoint_steps,
        ),
        device=device,
    )
    console = Console(stderr=True)
    try:
        if export is not None:
            _refuse_full(export)
        distilled = _distil(request, console)
        bundle = None if export is None else _export(out, export)
    except TenantryError as error:
        console.print(
            f"[red]distill failed:[/red] {escape(str(error))}", highlight=False, soft_wrap=True
        )
        raise typer.Exit(1) from error
    except KeyboardInterrupt as error:
        console.print("stopped; the same command continues", highlight=False)
        raise typer.Exit(130) from error
    if json:
        document = {"path": str(out), **distilled.report, "bundle": bundle}
        sys.stdout.buffer.write(orjson.dumps(document) + b"\n")
        return
    _tell(console, distilled, export, bundle)


def _refuse_full(export: Path) -> None:
    """Raise `DistillationFailed` where a bundle could not be made: before it is trained."""
    from exporter.errors import DistillationFailed
    from exporter.parts import telling

    with telling(DistillationFailed, f"--export {export}", "choose another"):
        if export.exists() and (export.is_file() or any(export.iterdir())):
            raise DistillationFailed(f"--export {export} is not an empty directory; choose another")


def _distil(request: "Request", console: Console) -> "Distilled":
    from exporter.distill.distillation import distil

    columns = (
        TextColumn("{task.description:20}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(elapsed_when_finished=True),
    )
    with Progress(*columns, console=console) as bars:
        tasks = {stage: bars.add_task(words, total=None) for stage, words in _STAGES.items()}

        def progress(stage: str, done: int, of: int) -> None:
            bars.update(tasks[stage], completed=done, total=of)

        return distil(request, progress)


def _export(student: Path, out: Path) -> dict[str, str]:
    """Make the student's dedicated bundle; return its path and digest."""
    from exporter.export import Request as Export
    from exporter.export import export_bundle

    bundle = export_bundle(Export(model=str(student), out=out, dedicated=True), lambda *_: None)
    return {"path": str(out), "digest": bundle.digest}


def _tell(
    console: Console, distilled: "Distilled", export: Path | None, bundle: dict[str, str] | None
) -> None:
    from exporter.distill.report import comparison_lines

    found = distilled.comparison
    console.print(Markdown("\n".join(comparison_lines(distilled.report))))
    console.print(
        f"[green]{distilled.path}[/green]: the same label as the teacher for"
        f" {found.agreement.value:.1%} of {found.texts:,} held-out texts,"
        f" {found.speed_ratio:.2f} times as fast in torch",
        highlight=False,
    )
    if bundle is not None:
        console.print(
            f"[green]{export}[/green] {bundle['digest']}\n"
            f"next: tenantry serve --bundle {export} --state DIR",
            highlight=False,
        )
        return
    console.print(
        f"next: tenantry export {distilled.path} --dedicated --out BUNDLE", highlight=False
    )
