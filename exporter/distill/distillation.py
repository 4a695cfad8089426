"""Distilling: read, ask the teacher, train the student, measure both, and only then write it.

What is under way lies beside `--out`, in `.<name>.distilling`: which run it is, the teacher's
answers, the newest checkpoints. The same command finds it and continues; another one is refused.
"""

import fcntl
import shlex
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import orjson
import torch
from transformers import PreTrainedModel

from exporter.backbone import wire
from exporter.banked import Banks
from exporter.class_names import read_names
from exporter.dedicated import own_classes
from exporter.distill.answers import ask_all
from exporter.distill.batches import Encoded, encode
from exporter.distill.checkpoint import Checkpoints
from exporter.distill.compute import Compute, choose
from exporter.distill.examples import Example, Split, apart, read_examples, split
from exporter.distill.measurement import Comparison, Contestant, compare
from exporter.distill.report import CARD_FILE, REPORT_FILE, card, report
from exporter.distill.student import save_student, student_of_folder, student_of_layers
from exporter.distill.training import Material, Recipe, Training
from exporter.errors import DistillationFailed, UnreadableModel, UnsupportedModel
from exporter.merge import load_merged
from exporter.parts import part_beside, put_in_place, telling
from exporter.source import LoadedModel, load_model, refuse_images
from service.engine import digest

RUN_FILE = "run.json"

# (stage, steps done, steps in all)
OnProgress = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class Request:
    """What to distil, from what, and how."""

    teacher: str
    data: Path
    out: Path
    student: str | None = None  # a checkpoint; else `student_layers` of the teacher's
    student_layers: int | None = None
    teacher_adapter: Path | None = None
    labels: Path | None = None  # names the teacher's classes, where its config does not
    held_out: Path | None = None  # measured on; else a share of the data
    held_out_share: float = 0.1
    max_length: int | None = None  # tokens; None: the smaller limit of both models
    recipe: Recipe = field(default_factory=Recipe)
    device: str = "auto"

    def command(self) -> str:
        """Return the command line that asks for this."""
        recipe, weights = self.recipe, self.recipe.weights
        flags: dict[str, object] = {
            "--teacher": self.teacher,
            "--teacher-adapter": self.teacher_adapter,
            "--labels": self.labels,
            "--student": self.student,
            "--student-layers": self.student_layers,
            "--data": self.data,
            "--held-out": self.held_out,
            "--held-out-share": None if self.held_out else self.held_out_share,
            "--max-length": self.max_length,
            "--epochs": recipe.epochs,
            "--batch": recipe.batch,
            "--rate": recipe.rate,
            "--temperature": weights.temperature,
            "--label-weight": weights.labels,
            "--state-weight": weights.states,
            "--seed": recipe.seed,
            "--device": self.device,
            "--out": self.out.name,
        }
        words = [w for flag, value in flags.items() if value is not None for w in (flag, value)]
        return shlex.join(["tenantry", "distill", *map(str, words)])


@dataclass(frozen=True, slots=True)
class Distilled:
    """A student that was written, and how it compares."""

    path: Path
    report: dict[str, Any]
    comparison: Comparison


@dataclass(frozen=True, slots=True)
class _Parts:
    """What a run works with."""

    teacher: LoadedModel
    classes: tuple[str, ...]
    student: PreTrainedModel
    student_source: LoadedModel  # whose tokenizer the student takes
    data: Split
    compute: Compute
    max_length: int


def distil(request: Request, progress: OnProgress) -> Distilled:
    """Train a student and return what was written at `request.out`.

    Raises `UnsupportedModel`, `UnreadableModel`, `UnusableData` or `DistillationFailed`. A run that
    ended early, however it ended, continues with the same request.
    """
    work = request.out.parent / f".{request.out.name}.distilling"
    with _writing(request.out):
        _refuse_finished(request.out, work)
    progress("read", 0, 1)
    parts = _read(request)
    run = _run_document(request, parts)
    progress("read", 1, 1)
    with _writing(request.out), _own_work(work, run):
        teacher_texts, student_texts = _encode(parts, parts.data.training)
        answers = ask_all(
            parts.teacher.model.to(parts.compute.device),  # type: ignore[arg-type]
            teacher_texts,
            parts.compute,
            work,
            lambda n, of: progress("ask", n, of),
            states=request.recipe.weights.states > 0,
        )
        labels = [example.label for example in parts.data.training]
        training = Training(
            parts.student,
            Material(student_texts, labels, answers),
            request.recipe,
            parts.compute,
            Checkpoints(work),
        )
        losses = training.run(lambda n, of: progress("train", n, of))
        progress("measure", 0, 1)
        comparison = _compare(parts)
        progress("measure", 1, 1)
        document = report(request.command(), run, parts.classes, comparison, losses, parts.compute)
        _write(request.out, parts, document)
        shutil.rmtree(work, ignore_errors=True)  # what is left there goes the next time
    return Distilled(request.out, document, comparison)


def _refuse_finished(out: Path, work: Path) -> None:
    """Raise `DistillationFailed` where there is something already."""
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return
    if (out / REPORT_FILE).is_file():
        shutil.rmtree(work, ignore_errors=True)  # of a run that ended just before it was tidied
        raise DistillationFailed(
            f"{out} holds a student that is finished; choose another --out, or remove it"
        )
    raise DistillationFailed(f"{out} is not an empty directory; choose another --out or remove it")


def _read(request: Request) -> _Parts:
    if (request.student is None) == (request.student_layers is None):
        raise UnsupportedModel("give either --student or --student-layers")
    compute = choose(request.device)
    for model in (request.teacher, request.student):
        if model is not None:
            refuse_images(model)
    names = () if request.labels is None else read_names(request.labels)
    if request.teacher_adapter is None:
        teacher = load_model(request.teacher)
    else:
        teacher = load_merged(request.teacher, request.teacher_adapter, None, names)
    if teacher.missing:
        raise UnreadableModel(
            f"{teacher.path}: the teacher holds no trained {', '.join(sorted(teacher.missing)[:3])}"
            "; give a fine-tuned model, or its adapter with --teacher-adapter"
        )
    classes = own_classes(teacher, wire(teacher, Banks(frozenset()), None).head, names)
    examples = read_examples(request.data, classes)
    if request.held_out is None:
        data = split(examples, request.held_out_share, request.recipe.seed)
    else:
        data = apart(examples, read_examples(request.held_out, classes))
    if request.student_layers is not None:
        source = teacher
        student = student_of_layers(teacher, request.student_layers, classes)
    else:
        assert request.student is not None, "one of both is given"
        source = load_model(request.student)
        student = student_of_folder(source, classes, request.recipe.seed)
    widths = (teacher.model.config.hidden_size, student.config.hidden_size)
    if request.recipe.weights.states and widths[0] != widths[1]:
        raise UnsupportedModel(
            f"--state-weight: the teacher's embeddings have {widths[0]} numbers and the student's"
            f" {widths[1]}, so there is no distance between them; leave it at 0"
        )
    limit = min(_limit(one) for one in (teacher, replace(source, model=student)))
    if request.max_length is not None and not 4 <= request.max_length <= limit:
        raise UnsupportedModel(f"--max-length {request.max_length}: the models take 4 to {limit}")
    length = request.max_length or limit
    return _Parts(teacher, classes, student, source, data, compute, length)


def _limit(loaded: LoadedModel) -> int:
    """Return the tokens of the longest text that a model takes."""
    return wire(loaded, Banks(frozenset()), None).traits.max_length


def _run_document(request: Request, parts: _Parts) -> dict[str, Any]:
    """Return everything that the student's weights depend on, but for the machine."""
    recipe = asdict(request.recipe)
    del recipe["checkpoint_steps"]
    student = parts.student_source
    return {
        "teacher": {"name": parts.teacher.name, "files": parts.teacher.files},
        "student": {
            "name": student.name if request.student_layers is None else "layers of the teacher",
            "files": student.files if request.student_layers is None else {},
            "layers": int(parts.student.config.num_hidden_layers),
        },
        "data": {
            "file": request.data.name,
            "digest": digest.of_file(request.data),
            "training_rows": len(parts.data.training),
            "training_labelled": sum(e.label is not None for e in parts.data.training),
            "held_out_rows": len(parts.data.held_out),
            "held_out": "a share of the data, by a hash of text and seed"
            if request.held_out is None
            else request.held_out.name,
            "held_out_digest": None
            if request.held_out is None
            else digest.of_file(request.held_out),
            "held_out_share": request.held_out_share if request.held_out is None else None,
        },
        "max_length": parts.max_length,
        "recipe": recipe,
        "precision": parts.compute.precision,
        "torch": torch.__version__,
    }


@contextmanager
def _own_work(work: Path, run: dict[str, Any]) -> Iterator[None]:
    """Hold the folder of what is under way; raise where it is another run's, or in use."""
    work.mkdir(parents=True, exist_ok=True)
    with (work / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise DistillationFailed(f"{work} is in use: another process distils there") from error
        file = work / RUN_FILE
        data = orjson.dumps(run, option=orjson.OPT_SORT_KEYS | orjson.OPT_INDENT_2)
        if not file.is_file():
            part = file.with_suffix(".part")
            part.write_bytes(data)
            part.rename(file)
        elif file.read_bytes() != data:
            raise DistillationFailed(
                f"{work} holds an unfinished run that differs in {_difference(file, run)}; give the"
                " same as then to continue it, or remove that folder"
            )
        yield


def _difference(file: Path, run: dict[str, Any]) -> str:
    try:
        before = orjson.loads(file.read_bytes())
    except orjson.JSONDecodeError:
        return "everything: its run.json is damaged"
    was, now = _flat(before), _flat(run)
    keys = sorted(key for key in {*was, *now} if was.get(key) != now.get(key))
    return ", ".join(f"{key} (was {was.get(key)}, is {now.get(key)})" for key in keys)


def _flat(run: dict[str, Any], above: str = "") -> dict[str, Any]:
    """Return the settings by their dotted names."""
    found: dict[str, Any] = {}
    for key, value in run.items():
        found |= _flat(value, f"{above}{key}.") if isinstance(value, dict) else {above + key: value}
    return found


def _encode(parts: _Parts, examples: Sequence[Example]) -> tuple[Encoded, Encoded]:
    """Return the texts as the teacher's and as the student's tokenizer cut them."""
    texts = [example.text for example in examples]
    first = encode(parts.teacher.tokenizer, texts, parts.max_length)
    if parts.student_source is parts.teacher:
        return first, first
    return first, encode(parts.student_source.tokenizer, texts, parts.max_length)


def _compare(parts: _Parts) -> Comparison:
    teacher, student = _encode(parts, parts.data.held_out)
    return compare(
        Contestant(parts.teacher.model, teacher),
        Contestant(parts.student, student),
        [example.label for example in parts.data.held_out],
        parts.compute,
    )


def _write(out: Path, parts: _Parts, document: dict[str, Any]) -> None:
    """Write the student's folder, all of it or nothing."""
    with part_beside(out) as part:
        save_student(parts.student.cpu(), parts.student_source, part)
        (part / CARD_FILE).write_text(card(document, parts.teacher.licence), encoding="utf-8")
        data = orjson.dumps(document, option=orjson.OPT_INDENT_2)
        (part / REPORT_FILE).write_bytes(data + b"\n")
        put_in_place(part, out)


def _writing(out: Path) -> AbstractContextManager[None]:
    return telling(DistillationFailed, str(out), "make room there, and the same command continues")
