"""What a student of half the layers loses and brings: MiniLM fine-tuned on BANKING77, and 3 layers.

python -m benchmarks.distill [--quick]
"""

import shutil
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from benchmarks.fine_tuning import Banking, banking, fine_tune
from benchmarks.report import Report, Rows, arguments, publish
from benchmarks.rounds import Contestant, Rates, interleave, show
from benchmarks.texts import NoData
from exporter.distill.distillation import Distilled, Request, distil
from exporter.distill.losses import Weights
from exporter.distill.training import Recipe
from exporter.export import Request as Export
from exporter.export import export_bundle
from exporter.proof import tokens_per_second
from service.engine.bundle import Bundle
from service.engine.dedicated import own_head
from service.engine.forward import Forward, Member
from service.engine.runtime import OnnxRuntime

LAYERS = 3
_RATE = 3e-4  # the model is small
_ROUNDS = 7


@dataclass(frozen=True, slots=True)
class Size:
    """How much is trained."""

    labelled: int
    more: int  # texts without labels
    teacher_epochs: int
    epochs: int


@dataclass(frozen=True, slots=True)
class Lesson:
    """What a student is trained on; all students begin alike."""

    name: str
    more: bool  # with the texts that have no labels
    weights: Weights = field(default_factory=Weights)


FULL = Size(labelled=3000, more=3000, teacher_epochs=8, epochs=5)
QUICK = Size(labelled=320, more=320, teacher_epochs=1, epochs=1)

LESSONS = (
    Lesson("distilled, with texts that have no label", more=True),
    Lesson("distilled, labelled texts alone", more=False),
    Lesson("labels alone, not the teacher's answers", more=False, weights=Weights(labels=1.0)),
)


def train_all(data: Banking, size: Size, folder: Path) -> dict[str, Distilled]:
    """Fine-tune the teacher, and train the students on the same texts, one after the other."""
    labelled = b"".join(row.line(labelled=True) for row in data.training)
    training, everything, test = (folder / f"{n}.jsonl" for n in ("labelled", "all", "test"))
    training.write_bytes(labelled)
    everything.write_bytes(labelled + b"".join(row.line(labelled=False) for row in data.more))
    test.write_bytes(b"".join(row.line(labelled=True) for row in data.test))
    teacher = fine_tune(data.training, data.labels, size.teacher_epochs, folder / "teacher")
    request = Request(
        teacher=str(teacher),
        data=training,
        out=folder,
        student_layers=LAYERS,
        held_out=test,
        max_length=64,
        recipe=Recipe(epochs=size.epochs, rate=_RATE),
        device="cpu",
    )
    found = {}
    for number, lesson in enumerate(LESSONS):
        chosen = replace(
            request,
            out=folder / f"student-{number}",
            data=everything if lesson.more else training,
            recipe=replace(request.recipe, weights=lesson.weights),
        )
        found[lesson.name] = distil(chosen, _progress(lesson.name))
    return found


def _progress(name: str) -> Callable[[str, int, int], None]:
    def shown(stage: str, done: int, of: int) -> None:
        show(f"{name}: {stage} {done} of {of}", last=done == of)

    return shown


def served_speeds(folder: Path, rounds: int) -> Rates:
    """Return tokens a second of both models' bundles, fp32 on the CPU provider, full passes."""
    contestants = {}
    for name, model in (("teacher", "teacher"), ("student", "student-0")):
        request = Export(
            str(folder / model), folder / f"{model}-bundle", dedicated=True, precisions=("fp32",)
        )
        contestants[name] = _contestant(export_bundle(request, lambda *_: None))
    return interleave(contestants, rounds, title="bundles")


def _contestant(bundle: Bundle) -> Contestant:
    runtime = OnnxRuntime(bundle, "cpu", slots=1)
    forward = Forward(bundle, runtime)
    assert bundle.manifest.dedicated is not None, "it was exported as one"
    adapter = own_head("benchmark", bundle.manifest.dedicated.labels, bundle.manifest)
    members = [Member(adapter, runtime.write(1, adapter))]
    return lambda: tokens_per_second(forward, members)


def _table(found: dict[str, Distilled]) -> Rows:
    first = next(iter(found.values()))
    columns = (
        "",
        "accuracy",
        "calibration error",
        "Brier",
        "same label as teacher",
        "nats from teacher",
        "parameters",
    )
    rows = [_cells("teacher, 6 layers", first.report["measured"]["teacher"], None)]
    rows += [
        _cells(f"{name}, {LAYERS} layers", one.report["measured"]["student"], one)
        for name, one in found.items()
    ]
    return Rows("on the test texts; intervals of 95 %", columns, rows)


def _cells(name: str, figures: dict[str, Any], one: Distilled | None) -> tuple[str, ...]:
    accuracy, error, brier = (figures[k] for k in ("accuracy", "calibration_error", "brier"))
    return (
        name,
        f"{accuracy[0]:.3f} ({accuracy[1]:.3f} to {accuracy[2]:.3f})",
        f"{error[0]:.3f} ({error[1]:.3f} to {error[2]:.3f})",
        f"{brier[0]:.3f}",
        "" if one is None else f"{one.comparison.agreement.value:.3f}",
        "" if one is None else f"{one.comparison.divergence:.3f}",
        f"{figures['parameters']:,}",
    )


def _speeds(rates: Rates, first: Distilled) -> Rows:
    in_torch = first.comparison
    return Rows(
        "speed of teacher and student",
        ("", "teacher, tokens/s", "student, tokens/s", "student / teacher"),
        [
            (
                "bundles, fp32, CPU provider, full passes",
                f"{rates.median('teacher'):,.0f}",
                f"{rates.median('student'):,.0f}",
                str(rates.ratio("student", "teacher")),
            ),
            (
                first.report["measured_with"] + ", padded batches",
                f"{in_torch.teacher.tokens_per_second:,.0f}",
                f"{in_torch.student.tokens_per_second:,.0f}",
                f"{in_torch.speed_ratio:.2f}",
            ),
        ],
    )


def _kept(one: Distilled) -> dict[str, Any]:
    """Return a student's report without its command, whose folders were temporary."""
    return {key: value for key, value in one.report.items() if key != "command"}


def main() -> None:
    """Measure and report."""
    options = arguments(__doc__ or "").parse_args()
    size = QUICK if options.quick else FULL
    try:
        data = banking(size.labelled, size.more)
    except NoData as error:
        sys.stderr.write(f"skipped: {error}\n")
        raise SystemExit(0) from error
    report = Report(
        "distill",
        "What does a student of half the layers lose, and what does it bring?",
        {
            "teacher": f"all-MiniLM-L6-v2 fine-tuned as a whole on {size.labelled:,} training texts"
            f" of BANKING77 (of 10,003, drawn by a seed), {size.teacher_epochs} epochs",
            "student": f"{LAYERS} of its layers, trained on the same texts and, where it says so,"
            f" {size.more:,} more without their labels, {size.epochs} epochs at {_RATE:g}; each row"
            " of the table is a training of its own from the same start",
            "measured on": f"{len(data.test):,} test texts that no training text repeats",
        },
    )
    folder = Path(tempfile.mkdtemp(prefix="tenantry-distill-"))
    try:
        found = train_all(data, size, folder)
        rates = served_speeds(folder, 2 if options.quick else _ROUNDS)
    finally:
        shutil.rmtree(folder)
    report.tables.append(_table(found))
    report.tables.append(_speeds(rates, found[LESSONS[0].name]))
    report.measured = {
        "reports": {name: _kept(one) for name, one in found.items()},
        "rates": rates.document(),
    }
    publish(report, options)


if __name__ == "__main__":
    main()
