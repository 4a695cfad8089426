"""Distillation from a teacher to an answer, and through every way in which it can be stopped."""

import json
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import IO, Any

import httpx
import numpy as np
import pytest
import torch
from safetensors import SafetensorError
from safetensors.numpy import load_file
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    BertConfig,
    BertForSequenceClassification,
)

from exporter.distill.distillation import Request, distil
from exporter.distill.losses import Weights
from exporter.distill.training import Recipe
from exporter.errors import DistillationFailed, UnreadableModel, UnsupportedModel, UnusableData
from service import command
from service.engine.adapter import FloatArray
from service.engine.bundle import open_bundle
from tests.fakes.checkpoints import make_checkpoint
from tests.fakes.distilling import request_of
from tests.fakes.image_checkpoints import make_image_checkpoint
from tests.fakes.packages import zip_of
from tests.fakes.teachers import LABELS, make_teacher, write_texts
from tests.fakes.tuned import HEADS, make_tuned
from tests.fakes.tuned import Recipe as Adapter
from tests.integration.test_serve import serving, wait_until_ready

pytestmark = pytest.mark.usefixtures("one_thread")

ROOT = Path(__file__).resolve().parents[2]
COMMANDS = [EntryPoint("distill", "exporter.distill.command:distill", command.GROUP)]


def quiet(*_: object) -> None:
    """Show nothing."""


def weights(folder: Path) -> dict[str, FloatArray]:
    return load_file(folder / "model.safetensors")


def same(first: Path, second: Path) -> bool:
    one, other = weights(first), weights(second)
    return set(one) == set(other) and all(np.array_equal(one[n], other[n]) for n in one)


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_teacher(tmp_path_factory.mktemp("teacher") / "tuned")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_texts(tmp_path_factory.mktemp("data") / "texts.jsonl", 120)


@pytest.fixture(scope="module")
def uninterrupted(teacher: Path, data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("whole") / "student"
    torch.set_num_threads(1)  # as in the processes that are killed
    distil(request_of(teacher, data, out), quiet)
    return out


class Distillations:
    """A process that distils in processes of its own."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.fakes.distilling"],
            cwd=ROOT,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert self.said() == ["ready"]

    @property
    def _ends(self) -> tuple[IO[str], IO[str]]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        return self._process.stdin, self._process.stdout

    def said(self) -> list[str]:
        line = self._ends[1].readline()
        assert line, "the process died"
        return line.split()

    def begin(self, teacher: Path, data: Path, out: Path) -> int:
        print(teacher, data, out, sep="\t", file=self._ends[0], flush=True)
        word, pid = self.said()
        assert word == "pid"
        return int(pid)

    def rest(self) -> list[list[str]]:
        lines = []
        while (line := self.said()) != ["over"]:
            lines.append(line)
        return lines

    def close(self) -> None:
        for end in self._ends:
            end.close()
        self._process.wait(30)


@pytest.fixture(scope="module")
def distillations() -> Iterator[Distillations]:
    made = Distillations()
    yield made
    made.close()


def test_a_run_that_is_killed_again_and_again_comes_to_the_same_student(
    distillations: Distillations, uninterrupted: Path, teacher: Path, data: Path, tmp_path: Path
) -> None:
    out = tmp_path / "student"
    work = tmp_path / ".student.distilling"
    points = [["read", "1", "1"], ["ask"], ["train", "1"], ["train", "7"], ["train", "8"]]
    points += [["train", "21"], ["measure", "0", "1"], ["measure", "1", "1"]]
    for point in points:
        pid = distillations.begin(teacher, data, out)
        while distillations.said()[: len(point)] != point:
            pass
        os.kill(pid, signal.SIGKILL)
        assert ["done"] not in distillations.rest()
        assert not out.exists()
        assert len(list(work.glob("checkpoint-?????????"))) <= 2
    distillations.begin(teacher, data, out)
    lines = distillations.rest()
    assert lines[-1] == ["done"], lines[-3:]
    first = next(line for line in lines if line[0] == "train")
    assert int(first[1]) > 20, "it began where it was, not anew"
    assert same(out, uninterrupted)
    losses = [
        json.loads((o / "report.json").read_text())["loss_by_epoch"] for o in (out, uninterrupted)
    ]
    assert losses[0] == losses[1]
    assert not work.exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["student"]


def test_a_seed_decides_the_student(teacher: Path, data: Path, tmp_path: Path) -> None:
    def student(name: str, seed: int) -> Path:
        recipe = Recipe(epochs=1, batch=16, seed=seed)
        distil(Request(str(teacher), data, tmp_path / name, student_layers=1, recipe=recipe), quiet)
        return tmp_path / name

    first, again, other = student("a", 1), student("b", 1), student("c", 2)
    assert same(first, again)
    assert not same(first, other)


def test_the_report_says_how_both_do_on_texts_that_were_held_out(uninterrupted: Path) -> None:
    report = json.loads((uninterrupted / "report.json").read_text())
    rows, measured = report["run"]["data"], report["measured"]
    assert rows["training_rows"] + rows["held_out_rows"] == 120
    assert measured["texts"] == rows["held_out_rows"]
    assert 0 < measured["labelled"] < measured["texts"]
    assert (measured["teacher"]["layers"], measured["student"]["layers"]) == (2, 1)
    assert measured["teacher"]["parameters"] > measured["student"]["parameters"]
    for who in ("teacher", "student"):
        value, lower, upper = measured[who]["accuracy"]
        assert 0 <= lower <= value <= upper <= 1
        assert measured[who]["tokens_per_second"] > 0
    assert report["loss_by_epoch"][0] > report["loss_by_epoch"][-1]
    assert report["labels"] == list(LABELS)
    card = (uninterrupted / "README.md").read_text()
    assert "| accuracy |" in card
    assert "tenantry distill --teacher" in card


def test_a_student_learns_what_its_teacher_says(
    uninterrupted: Path, teacher: Path, tmp_path: Path
) -> None:
    """A student of no training agrees with its teacher less than a trained one does."""
    texts = write_texts(tmp_path / "new.jsonl", 200).read_text().splitlines()
    tokenizer = AutoTokenizer.from_pretrained(teacher)
    encoded = tokenizer([json.loads(t)["text"] for t in texts], return_tensors="pt", padding=True)

    def ask(folder: Path) -> torch.Tensor:
        model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
        with torch.inference_mode():
            return torch.as_tensor(model(**encoded).logits.log_softmax(-1))

    wanted, found = ask(teacher), ask(uninterrupted)
    apart = (wanted.exp() * (wanted - found)).sum(-1).mean()
    flat = (wanted.exp() * (wanted - wanted.mean(0))).sum(-1).mean()
    assert apart < 0.8 * flat


def test_a_student_is_exported_served_and_asked(
    teacher: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, bundle = tmp_path / "student", tmp_path / "bundle"
    document = run(
        capsys, "--teacher", teacher, "--student-layers", 1, "--data", data, "--out", out,
        "--epochs", 1, "--export", bundle, "--json",
    )  # fmt: skip
    opened = open_bundle(bundle)
    assert document["bundle"] == {"path": str(bundle), "digest": opened.digest}
    assert opened.manifest.dedicated is not None
    assert opened.manifest.dedicated.labels == LABELS
    tokenizer = AutoTokenizer.from_pretrained(out)
    model = AutoModelForSequenceClassification.from_pretrained(out).eval()
    with torch.inference_mode():
        encoded = tokenizer("where is my parcel", return_tensors="pt")
        expected = model(**encoded).logits.softmax(-1)[0].tolist()
    with serving(opened, tmp_path / "state") as served:
        url = served.address()
        wait_until_ready(url)
        path = "/v1/tenants/acme/adapters/support"
        with httpx.Client(base_url=url, timeout=30) as client:
            client.put("/v1/tenants/acme", json={})
            form = {"package": ("p", zip_of({})), "metadata": (None, b'{"dedicated": true}')}
            assert client.post(f"{path}/versions", files=form).status_code == 201
            assert client.put(f"{path}/rollout", json={"live": 1}).status_code == 200
            answer = client.post(f"{path}/predict", json={"inputs": ["where is my parcel"]}).json()
    scores = answer["predictions"][0]["scores"]
    assert [scores[label] for label in LABELS] == pytest.approx(expected, abs=1e-5)


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> Any:
    with pytest.raises(SystemExit) as stopped:
        command.run(["distill", *map(str, arguments)], COMMANDS)
    said = capsys.readouterr()
    assert stopped.value.code in (0, None), said.err
    return json.loads(said.out)


def test_a_base_with_its_adapter_teaches_a_checkpoint_of_another_family(
    tmp_path: Path, data: Path
) -> None:
    base = make_checkpoint("bert", tmp_path / "base")
    lora = {"r": 4, "target_modules": ["query"], "modules_to_save": list(HEADS["bert"])}
    make_tuned(base, Adapter(3, lora)).save_pretrained(str(tmp_path / "adapter"))
    labels = tmp_path / "labels.txt"
    labels.write_text("\n".join(LABELS))
    small = make_checkpoint("roberta", tmp_path / "small")
    held_out = write_texts(tmp_path / "held-out.jsonl", 30, labelled=0.0)
    request = Request(
        str(base),
        data,
        tmp_path / "student",
        student=str(small),
        teacher_adapter=tmp_path / "adapter",
        labels=labels,
        held_out=held_out,
        recipe=Recipe(epochs=1),
    )
    distilled = distil(request, quiet)
    run = distilled.report["run"]
    assert run["data"]["held_out"] == "held-out.jsonl"
    assert distilled.comparison.texts == 30
    assert distilled.comparison.student.accuracy is None, "no text has a label"
    assert distilled.report["measured"]["student"]["calibration_error"] is None
    assert "| accuracy | - | - |" in (tmp_path / "student" / "README.md").read_text()
    saved = AutoModelForSequenceClassification.from_pretrained(tmp_path / "student")
    assert saved.config.model_type == "roberta"
    assert list(saved.config.id2label.values()) == list(LABELS)


def test_another_request_does_not_continue_an_unfinished_run(
    teacher: Path, data: Path, tmp_path: Path
) -> None:
    def stop(stage: str, *_: object) -> None:
        if stage == "train":
            raise KeyboardInterrupt

    out = tmp_path / "student"
    request = Request(str(teacher), data, out, student_layers=1, recipe=Recipe(epochs=1))
    with pytest.raises(KeyboardInterrupt):
        distil(request, stop)
    other = Request(str(teacher), data, out, student_layers=1, recipe=Recipe(epochs=2))
    with pytest.raises(
        DistillationFailed, match=r"unfinished run that differs in recipe\.\w+ \(was"
    ):
        distil(other, quiet)
    distil(request, quiet)
    with pytest.raises(DistillationFailed, match="holds a student that is finished"):
        distil(request, quiet)


def test_two_processes_do_not_work_on_one_student(
    distillations: Distillations, teacher: Path, data: Path, tmp_path: Path
) -> None:
    out = tmp_path / "student"
    pid = distillations.begin(teacher, data, out)
    while distillations.said()[0] != "train":
        pass
    os.kill(pid, signal.SIGSTOP)
    try:
        with pytest.raises(DistillationFailed, match="another process distils there"):
            distil(request_of(teacher, data, out), quiet)
    finally:
        os.kill(pid, signal.SIGCONT)
    assert distillations.rest()[-1] == ["done"]


def test_what_cannot_be_distilled_is_refused_before_any_work(
    teacher: Path, data: Path, tmp_path: Path
) -> None:
    out = tmp_path / "student"
    bare = make_checkpoint("bert", tmp_path / "bare")
    broken = tmp_path / "broken.jsonl"
    broken.write_text('{"text": "fine"}\n{"text": "x", "label": "unknown"}\n')
    with pytest.raises(UnreadableModel, match="holds no trained classifier"):
        distil(Request(str(bare), data, out, student_layers=1), quiet)
    with pytest.raises(UnsupportedModel, match="either --student or --student-layers"):
        distil(Request(str(teacher), data, out), quiet)
    with pytest.raises(UnsupportedModel, match="it can have 1 to 1"):
        distil(Request(str(teacher), data, out, student_layers=2), quiet)
    with pytest.raises(UnsupportedModel, match="--max-length 161: the models take 4 to 160"):
        distil(Request(str(teacher), data, out, student_layers=1, max_length=161), quiet)
    with pytest.raises(UnusableData, match=r"line 2: label 'unknown'"):
        distil(Request(str(teacher), broken, out, student_layers=1), quiet)
    many = make_teacher(tmp_path / "many")
    config = json.loads((many / "config.json").read_text())
    config["problem_type"] = "multi_label_classification"
    (many / "config.json").write_text(json.dumps(config))
    with pytest.raises(UnsupportedModel, match="multi_label_classification"):
        distil(Request(str(many), data, out, student_layers=1), quiet)
    assert not out.exists()
    assert not (tmp_path / ".student.distilling").exists()


def test_a_model_of_images_is_refused_before_anything_is_read(
    teacher: Path, tmp_path: Path
) -> None:
    images = make_image_checkpoint("vit", tmp_path / "vit")
    (images / "model.safetensors").write_bytes(b"")
    data, out = tmp_path / "no such data", tmp_path / "student"
    for request in (
        Request(str(images), data, out, student_layers=1),
        Request(str(images), data, out, student_layers=1, teacher_adapter=tmp_path / "adapter"),
        Request(str(teacher), data, out, student=str(images)),
    ):
        with pytest.raises(UnsupportedModel, match="vit is a model of images; teachers and stud"):
            distil(request, quiet)


def test_a_place_that_cannot_be_written_is_told(teacher: Path, data: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    out = tmp_path / "file" / "student"
    with pytest.raises(DistillationFailed, match=r"could not be written: .*; make room there"):
        distil(Request(str(teacher), data, out, student_layers=1), quiet)


def test_a_disk_that_is_full_is_told_and_the_same_command_continues(
    teacher: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise SafetensorError("Error while serializing: No space left on device (os error 28)")

    request = Request(
        str(teacher), data, tmp_path / "student", student_layers=1, recipe=Recipe(epochs=1)
    )
    with monkeypatch.context() as patch:
        patch.setattr("exporter.distill.distillation.save_student", full)
        with pytest.raises(DistillationFailed, match=r"No space left.*the same command continues"):
            distil(request, quiet)
    distil(request, quiet)
    assert [path.name for path in tmp_path.iterdir()] == ["student"]


def test_a_training_that_diverges_says_so(teacher: Path, data: Path, tmp_path: Path) -> None:
    recipe = Recipe(epochs=3, rate=1e12)
    with pytest.raises(DistillationFailed, match="try a lower --rate"):
        distil(Request(str(teacher), data, tmp_path / "s", student_layers=1, recipe=recipe), quiet)


def test_the_command_says_what_failed_and_ends_with_1(
    teacher: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    full = tmp_path / "full"
    full.mkdir()
    (full / "file").touch()
    words = ["distill", "--teacher", teacher, "--data", data, "--out", tmp_path / "student"]
    for more, what in (
        (["--student-layers", "1", "--export", full], "is not an empty directory"),
        (["--student-layers", "5"], "the teacher has 2"),
        (["--student-layers", "1", "--device", "abacus"], "there are auto, cpu and cuda"),
    ):
        with pytest.raises(SystemExit) as stopped:
            command.run([str(word) for word in (*words, *more)], COMMANDS)
        assert stopped.value.code == 1
        assert what in " ".join(capsys.readouterr().err.split())
    with pytest.raises(SystemExit) as stopped:
        command.run([*map(str, words), "--student-layers", "1", "--seed", str(2**32)], COMMANDS)
    assert stopped.value.code == 2
    assert "4294967295" in capsys.readouterr().err
    assert not (tmp_path / "student").exists()


def test_embeddings_of_other_widths_have_no_distance(
    teacher: Path, data: Path, tmp_path: Path
) -> None:
    small = BertForSequenceClassification(
        BertConfig(
            vocab_size=400, hidden_size=16, num_hidden_layers=1, num_attention_heads=2,
            intermediate_size=16, max_position_embeddings=160,
        )
    )  # fmt: skip
    small.save_pretrained(tmp_path / "small")
    AutoTokenizer.from_pretrained(teacher).save_pretrained(tmp_path / "small")
    out, student = tmp_path / "student", str(tmp_path / "small")
    far = Recipe(epochs=1, weights=Weights(states=1.0))
    with pytest.raises(UnsupportedModel, match="embeddings have 32 numbers and the student's 16"):
        distil(Request(str(teacher), data, out, student=student, recipe=far), quiet)
    distil(Request(str(teacher), data, out, student=student, recipe=Recipe(epochs=1)), quiet)
    assert (out / "model.safetensors").is_file()


def test_the_command_of_a_request_asks_for_the_same_again(tmp_path: Path) -> None:
    request = Request(
        "a teacher",
        tmp_path / "texts.jsonl",
        tmp_path / "out",
        student_layers=2,
        held_out=tmp_path / "held-out.jsonl",
        recipe=Recipe(epochs=2, batch=4, rate=0.01, weights=Weights(3.0, 0.25, 1.0), seed=9),
    )
    words = shlex.split(request.command())
    assert words[:2] == ["tenantry", "distill"]
    assert dict(zip(words[2::2], words[3::2], strict=True)) == {
        "--teacher": "a teacher",
        "--student-layers": "2",
        "--data": str(tmp_path / "texts.jsonl"),
        "--held-out": str(tmp_path / "held-out.jsonl"),
        "--epochs": "2",
        "--batch": "4",
        "--rate": "0.01",
        "--temperature": "3.0",
        "--label-weight": "0.25",
        "--state-weight": "1.0",
        "--seed": "9",
        "--device": "auto",
        "--out": "out",
    }
