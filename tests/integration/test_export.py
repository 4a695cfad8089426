"""Exporting: all of a bundle or nothing of it, and what is refused by name."""

import contextlib
import errno
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

import numpy as np
import orjson
import pytest
import torch
import typer
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file
from transformers import FNetConfig, FNetForSequenceClassification
from typer.testing import CliRunner

from exporter.command import export as export_command
from exporter.errors import ExportFailed, ProofFailed, UnreadableModel, UnsupportedModel
from exporter.export import Request, export_bundle
from service.engine.bundle import CARD_FILE, MANIFEST, Bundle, open_bundle
from service.engine.errors import InvalidBundle
from tests.fakes.checkpoints import FAMILIES, make_checkpoint
from tests.fixtures_bundles import ROOT, BundleCache

pytestmark = pytest.mark.usefixtures("one_thread")

WEIGHTS = "model.safetensors"
FROM_TWO = ("roberta", "xlm-roberta", "mpnet")  # the position of a text's first token
OF_PAIRS = ("bert", "electra", "albert")  # families that take token types


def nothing(*_: object) -> None:
    pass


@pytest.fixture
def checkpoint(bundle_cache: BundleCache, tmp_path: Path) -> Path:
    """A copy of a tiny checkpoint, to be spoiled."""
    return Path(shutil.copytree(bundle_cache.checkpoint("bert"), tmp_path / "checkpoint"))


def is_empty(folder: Path) -> bool:
    return not any(folder.iterdir())


@pytest.fixture
def shelf(tmp_path: Path) -> Path:
    """The folder in which a bundle would appear."""
    folder = tmp_path / "shelf"
    folder.mkdir()
    return folder


# --- what a bundle is --------------------------------------------------------------------


@pytest.mark.parametrize("family", FAMILIES)
def test_a_bundle_says_what_it_takes_and_that_it_was_proven(
    family: str, bundle_of: Callable[[str], Bundle]
) -> None:
    bundle = bundle_of(family)
    manifest = bundle.manifest
    parity = manifest.parity
    assert parity.passed
    assert parity.max_probability_error < parity.tolerance == 1e-4
    assert parity.max_neighbour_error < parity.tolerance
    assert (parity.texts, parity.adapters) == (64, 4)
    assert manifest.max_length == 160
    assert manifest.position_offset == (2 if family in FROM_TWO else 0)
    assert manifest.token_types == (family in OF_PAIRS)
    assert manifest.licence == "Apache-2.0"
    files = {path.name for path in bundle.path.iterdir()} - {MANIFEST}
    assert set(manifest.files) == files
    card = (bundle.path / CARD_FILE).read_text(encoding="utf-8")
    assert manifest.command in card


def test_the_heads_modules_are_those_of_the_family(bundle_of: Callable[[str], Bundle]) -> None:
    missing = {family: bundle_of(family).manifest.head.missing for family in FAMILIES}
    assert missing == {
        "bert": ("classifier",),
        "roberta": ("classifier.dense", "classifier.out_proj"),
        "xlm-roberta": ("classifier.dense", "classifier.out_proj"),
        "distilbert": ("pre_classifier", "classifier"),
        "modernbert": ("classifier",),
        "electra": ("classifier.dense", "classifier.out_proj"),
        "albert": ("classifier",),
        "mpnet": ("classifier.dense", "classifier.out_proj"),
        "deberta-v2": ("pooler.dense", "classifier"),
    }


def test_a_trained_classifier_of_the_checkpoint_comes_along(tmp_path: Path) -> None:
    made = make_checkpoint("bert", tmp_path / "checkpoint", head=True)
    request = Request(str(made), tmp_path / "bundle", targets=("query",), max_rank=1, max_labels=2)
    bundle = export_bundle(request, nothing)
    assert bundle.manifest.head.held == ("bert.pooler.dense", "classifier")
    assert bundle.manifest.head.missing == ()
    assert {name.rpartition(".")[2] for name in (t.name for t in bundle.manifest.targets)} == {
        "query"
    }
    own = load_file(made / WEIGHTS)["classifier.weight"]
    assert (bundle.head["classifier.weight"] == own).all()


# --- what is refused ---------------------------------------------------------------------


def refused(request: Request, error: type[Exception], words: str) -> None:
    before = set(request.out.parent.iterdir())
    with pytest.raises(error, match=words):
        export_bundle(request, nothing)
    assert set(request.out.parent.iterdir()) == before, "something was left behind"


def test_a_checkpoint_that_could_hold_code_is_refused(checkpoint: Path, shelf: Path) -> None:
    tensors = load_file(checkpoint / WEIGHTS)
    torch.save(
        {k: torch.from_numpy(v) for k, v in tensors.items()}, checkpoint / "pytorch_model.bin"
    )
    (checkpoint / WEIGHTS).unlink()
    refused(Request(str(checkpoint), shelf / "bundle"), UnreadableModel, r"no \*\.safetensors")


def test_a_family_that_is_not_supported_is_named_beside_those_that_are(
    checkpoint: Path, shelf: Path
) -> None:
    config = FNetConfig(vocab_size=400, hidden_size=16, num_hidden_layers=1, intermediate_size=16)
    FNetForSequenceClassification(config).save_pretrained(checkpoint)
    words = r"'fnet' is not supported: its texts cannot share rows.*supported are albert, bert, "
    refused(Request(str(checkpoint), shelf / "bundle"), UnsupportedModel, words)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"model_type": "quux"}, "'quux' is not supported; supported are .*adding-a-family"),
        (
            {"model_type": "nomic_bert", "auto_map": {"AutoModel": "modeling_nomic.NomicBert"}},
            "'nomic_bert' comes with code of its own .*and nothing of a checkpoint is ever run",
        ),
    ],
)
def test_a_folder_of_an_unknown_kind_is_refused(
    change: dict[str, object], words: str, checkpoint: Path, shelf: Path
) -> None:
    config = json.loads((checkpoint / "config.json").read_text())
    (checkpoint / "config.json").write_text(json.dumps({**config, **change}))
    refused(Request(str(checkpoint), shelf / "bundle"), UnsupportedModel, words)


@pytest.mark.parametrize("text", ["not json", "[1]", '{"model_type": "bert", "model_type": "x"}'])
def test_a_config_that_cannot_be_read_is_refused(text: str, checkpoint: Path, shelf: Path) -> None:
    (checkpoint / "config.json").write_text(text)
    refused(Request(str(checkpoint), shelf / "bundle"), UnreadableModel, "config.json: ")


def test_a_target_that_does_not_exist_is_named_beside_those_that_do(
    checkpoint: Path, shelf: Path
) -> None:
    request = Request(str(checkpoint), shelf / "bundle", targets=("query", "Wqkv"))
    refused(request, UnsupportedModel, "called Wqkv; there are dense, key, query, value")


def test_a_checkpoint_without_the_encoders_weights_is_refused(
    checkpoint: Path, shelf: Path
) -> None:
    tensors = load_file(checkpoint / WEIGHTS)
    kept = {k: v for k, v in tensors.items() if "layer.1.attention.self.key" not in k}
    assert len(kept) == len(tensors) - 2
    save_file(kept, checkpoint / WEIGHTS, {"format": "pt"})
    words = r"no weights of bert\.encoder\.layer\.1\.attention\.self\.key"
    refused(Request(str(checkpoint), shelf / "bundle"), UnreadableModel, words)


@pytest.mark.parametrize("name", ["nowhere", "./nowhere", "a file"])
def test_a_model_that_is_not_there_is_refused(name: str, tmp_path: Path, shelf: Path) -> None:
    (tmp_path / "a file").touch()
    model = str(tmp_path / name) if name != "./nowhere" else name
    refused(Request(model, shelf / "bundle"), UnreadableModel, "not a directory")


def test_a_length_beyond_the_models_own_is_refused(checkpoint: Path, shelf: Path) -> None:
    request = Request(str(checkpoint), shelf / "bundle", max_length=161)
    refused(request, UnsupportedModel, "--max-length 161: the model takes 4 to 160")


@pytest.mark.parametrize("kind", ["a folder with a file", "a file"])
def test_nothing_is_ever_overwritten(kind: str, checkpoint: Path, shelf: Path) -> None:
    out = shelf / "bundle"
    mine = out / "mine" if kind == "a folder with a file" else out
    mine.parent.mkdir(exist_ok=True)
    mine.write_text("precious")
    refused(Request(str(checkpoint), out), ExportFailed, "not an empty directory")
    assert mine.read_text() == "precious"


def test_a_place_that_cannot_be_made_is_refused(checkpoint: Path, shelf: Path) -> None:
    (shelf / "file").touch()
    out = shelf / "file" / "bundle"
    with pytest.raises(ExportFailed, match=f"{out} could not be written: "):
        export_bundle(Request(str(checkpoint), out), nothing)


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)),
        SafetensorError("Error while serializing: No space left on device (os error 28)"),
    ],
)
def test_a_disk_that_is_full_is_told_and_nothing_is_left(
    error: Exception, checkpoint: Path, shelf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise error

    monkeypatch.setattr("exporter.export.save_file", full)
    request = Request(str(checkpoint), shelf / "bundle")
    refused(request, ExportFailed, "could not be written: .*No space left.*; make room there")
    assert is_empty(shelf)


def test_a_graph_that_answers_otherwise_than_the_model_is_not_written(
    checkpoint: Path, shelf: Path
) -> None:
    def perturb(stage: str, done: int, of: int) -> None:
        if stage == "trace" and done == of:  # the graph has its weights; now change the model's
            tensors = load_file(checkpoint / WEIGHTS)
            name = "encoder.layer.0.intermediate.dense.weight"
            tensors[name] = tensors[name] * np.float32(1.01)
            save_file(tensors, checkpoint / WEIGHTS, {"format": "pt"})

    with pytest.raises(ProofFailed, match="no bundle was written: worst probability error"):
        export_bundle(Request(str(checkpoint), shelf / "bundle"), perturb)
    assert is_empty(shelf)


# --- interrupted -------------------------------------------------------------------------


class Exports:
    """A process that exports in processes of its own."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.fakes.exporting"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
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

    def begin(self, model: Path, out: Path) -> int:
        print(model, out, sep="\t", file=self._ends[0], flush=True)
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
def exports() -> Iterator[Exports]:
    made = Exports()
    yield made
    made.close()


POINTS = [
    (signal.SIGINT, ["trace", "0", "1"]),
    (signal.SIGKILL, ["trace", "0", "1"]),
    (signal.SIGTERM, ["trace", "1", "1"]),
    (signal.SIGINT, ["prove", "2", "7"]),
    (signal.SIGKILL, ["prove", "7", "7"]),
]


@pytest.mark.parametrize(("number", "point"), POINTS, ids=lambda x: getattr(x, "name", None))
def test_an_interrupted_export_leaves_no_half_bundle(
    number: signal.Signals,
    point: list[str],
    exports: Exports,
    bundle_cache: BundleCache,
    shelf: Path,
) -> None:
    out = shelf / "bundle"
    pid = exports.begin(bundle_cache.checkpoint("distilbert"), out)
    while (line := exports.said()) != point:
        assert line != ["over"], "it ended before it came so far"
    time.sleep(random.uniform(0.0, 0.3))  # anywhere in what follows
    with contextlib.suppress(ProcessLookupError):  # it was faster
        os.kill(pid, number)
    rest = exports.rest()
    if rest and rest[-1] == ["done"]:
        assert open_bundle(out).manifest.parity.passed
        return
    assert not out.exists()
    for left in shelf.iterdir():
        assert left.name.startswith(".bundle.part-")
        assert number != signal.SIGINT, "an interrupt leaves nothing at all"
        try:
            whole = open_bundle(left)
        except InvalidBundle:
            continue
        # Killed between its last byte and its name: all of it is there, which is no half either.
        assert whole.manifest.parity.passed


# --- the command -------------------------------------------------------------------------


def test_the_command_prints_its_report_as_json(bundle_cache: BundleCache, tmp_path: Path) -> None:
    out = tmp_path / "bundle"
    program = Path(sys.executable).with_name("tenantry")
    checkpoint = bundle_cache.checkpoint("distilbert")
    ran = subprocess.run(
        [program, "export", checkpoint, "--out", out, "--targets", "q_lin, v_lin", "--json"],
        capture_output=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr.decode()
    report = orjson.loads(ran.stdout)
    bundle = open_bundle(out)
    assert report["digest"] == bundle.digest
    assert report["path"] == str(out)
    assert report["passed"] is True
    assert report["max_probability_error"] < 1e-4
    assert len(bundle.manifest.targets) == 4
    assert "--targets q_lin,v_lin" in bundle.manifest.command


def test_the_command_says_why_it_failed_and_exits_with_one(tmp_path: Path) -> None:
    app = typer.Typer()
    app.command()(export_command)
    ran = CliRunner().invoke(app, [str(tmp_path), "--out", str(tmp_path / "bundle")])
    assert ran.exit_code == 1
    assert "export failed:" in ran.output
    assert "no config.json there" in " ".join(ran.output.split())
    assert not (tmp_path / "bundle").exists()


def test_the_command_tells_of_a_disk_in_one_line_that_leaves_names_as_they_are(
    checkpoint: Path, tmp_path: Path
) -> None:
    place = tmp_path / "[bold]file"
    place.touch()
    app = typer.Typer()
    app.command()(export_command)
    ran = CliRunner().invoke(app, [str(checkpoint), "--out", str(place / "bundle")])
    assert ran.exit_code == 1
    [line] = [line for line in ran.output.splitlines() if "export failed:" in line]
    assert f"{place / 'bundle'} could not be written: " in line
    assert line.endswith("; make room there, or choose another --out")
