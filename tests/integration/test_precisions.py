"""Exports with other precisions: what is shipped, what is not, and what is said of each."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import orjson
import pytest
import typer
from typer.testing import CliRunner

from exporter.command import export
from exporter.errors import ProofFailed, UnsupportedModel, UnusableData
from exporter.export import Request, export_bundle
from exporter.precision import catalogue
from exporter.precision.calibration import read_calibration
from service.engine.bundle import Bundle, open_bundle
from tests.fakes.checkpoints import make_checkpoint

WORDS = {"parcel": "delivery", "card": "payment", "seat": "travel"}


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_checkpoint("bert", tmp_path_factory.mktemp("checkpoint"))


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rows = [
        {"text": f"please send the {word} number {number} back", "label": label}
        for number in range(40)
        for word, label in WORDS.items()
    ]
    file = tmp_path_factory.mktemp("texts") / "texts.jsonl"
    file.write_bytes(b"\n".join(map(orjson.dumps, rows)))
    return file


def exported(
    checkpoint: Path, out: Path, precisions: Sequence[str], calibration: Path | None = None
) -> Bundle:
    request = Request(str(checkpoint), out, precisions=precisions, calibration=calibration)
    return export_bundle(request, lambda *_: None)


@pytest.fixture(scope="module")
def whole(checkpoint: Path, texts: Path, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """fp16 and int8, measured on labelled texts."""
    out = tmp_path_factory.mktemp("whole") / "bundle"
    names = ("fp32", "fp16", "int8-static")
    return exported(checkpoint, out, names, texts)


def test_a_bundle_holds_what_was_asked_for_with_its_report(whole: Bundle) -> None:
    variants = whole.manifest.variants
    assert variants.keys() == {"fp32", "fp16", "int8-static"}
    assert variants["fp16"].bank == "fp16"
    assert variants["int8-static"].compute == "int8"
    for name in ("fp16", "int8-static"):
        variant = variants[name]
        assert variant.passed
        assert f"{variant.file}.data" in whole.manifest.files
        for measured in variant.measured.values():
            assert measured.data == "texts.jsonl"
            assert measured.inputs == 60
            assert measured.accuracy is not None
            assert measured.accuracy_fp32 is not None
            assert measured.accuracy_fp32 > 0.8, "the fitted heads tell nothing apart"
            assert measured.tokens_per_second > 0
            assert measured.milliseconds > 0
    assert open_bundle(whole.path).digest == whole.digest


def test_a_precision_takes_less_room(whole: Bundle) -> None:
    def size(name: str) -> int:
        return (whole.path / f"model.{name}.onnx.data").stat().st_size

    assert size("fp16") < 0.6 * size("fp32")
    assert size("int8-static") < size("fp32")


def test_the_card_says_what_each_precision_costs(whole: Bundle) -> None:
    card = (whole.path / "MODEL_CARD.md").read_text()
    assert "## Precisions" in card
    assert "| int8-static | cpu | shipped |" in card
    assert "60 inputs of texts.jsonl, 4 adapters" in card


def test_without_a_set_auto_measures_on_random_texts(checkpoint: Path, tmp_path: Path) -> None:
    bundle = exported(checkpoint, tmp_path / "bundle", ("auto",))
    assert "fp32" in bundle.manifest.variants
    assert bundle.manifest.variants.keys() <= {"fp32", "bf16"}
    for variant in bundle.manifest.variants.values():
        for measured in variant.measured.values():
            assert measured.data == "random"
            assert measured.accuracy is None
            assert measured.calibration_error is None


def strict(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Let nothing be good enough."""
    precision = catalogue.PRECISIONS[name]
    tolerance = dataclasses.replace(precision.tolerance, max_probability_error=0.0)
    changed = dataclasses.replace(precision, tolerance=tolerance)
    monkeypatch.setitem(catalogue.PRECISIONS, name, changed)


def test_auto_leaves_out_what_does_not_pass_and_keeps_the_figures(
    checkpoint: Path, texts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    strict(monkeypatch, "int8-static")
    bundle = exported(checkpoint, tmp_path / "bundle", ("auto",), texts)
    assert "int8-static" not in bundle.manifest.variants
    refused = bundle.manifest.refused["int8-static"]
    assert "max probability error" in refused.reasons[0]
    assert refused.measured["cpu"].label_agreement > 0.5
    assert not [name for name in bundle.manifest.files if "int8" in name]
    card = (bundle.path / "MODEL_CARD.md").read_text()
    assert "`int8-static` was not shipped: cpu: max probability error" in card


def test_a_precision_asked_for_by_name_that_does_not_pass_ends_the_export(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    strict(monkeypatch, "int8-dynamic")
    with pytest.raises(ProofFailed, match="int8-dynamic: cpu: max probability error") as failed:
        exported(checkpoint, tmp_path / "bundle", ("fp16", "int8-dynamic"))
    assert "--precisions fp32,fp16" in str(failed.value)
    assert not (tmp_path / "bundle").exists()
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_made_is_refused_before_the_model_is_read(tmp_path: Path) -> None:
    nowhere = tmp_path / "no model"
    with pytest.raises(UnsupportedModel, match="--calibration FILE"):
        exported(nowhere, tmp_path / "bundle", ("int8-static",))
    with pytest.raises(UnusableData, match="no such file"):
        exported(nowhere, tmp_path / "bundle", ("auto",), tmp_path / "absent.jsonl")


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([{"text": "a"}] * 3, "3 rows"),
        ([{"text": "a"}] * 32 + [{"words": "b"}], "line 33"),
        ([{"text": "a", "label": "x"}] * 32 + [{"text": "b"}], "some have none"),
        ([{"text": "a", "label": "x"}] * 40, "every row has the label"),
    ],
)
def test_a_calibration_set_that_will_not_do_says_where(
    rows: list[dict[str, str]], words: str, whole: Bundle, tmp_path: Path
) -> None:
    file = tmp_path / "set.jsonl"
    file.write_bytes(b"\n".join(map(orjson.dumps, rows)))
    with pytest.raises(UnusableData, match=words):
        read_calibration(file, whole)


def test_the_same_set_is_read_the_same_way(whole: Bundle, texts: Path) -> None:
    first, again = (read_calibration(texts, whole) for _ in range(2))
    assert first.classes is not None
    assert again.classes is not None
    assert (first.classes == again.classes).all()
    assert first.labels == ("delivery", "payment", "travel")
    left, right = first.halves()
    assert len(left) + len(right) == 120


def test_the_command_takes_precisions_and_reports_them(checkpoint: Path, tmp_path: Path) -> None:
    out = tmp_path / "bundle"
    words = ["--out", str(out), "--precisions", "fp16", "--json"]
    app = typer.Typer()
    app.command()(export)
    result = CliRunner().invoke(app, [str(checkpoint), *words])
    assert result.exit_code == 0, result.output
    report = orjson.loads(result.stdout)
    assert report["precisions"]["fp16"]["shipped"] is True
    assert report["precisions"]["fp16"]["measured"]
