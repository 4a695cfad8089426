"""The guide to adding a family: what it lists is there, and its example can be exported."""

import re
from pathlib import Path

import pytest
import torch
from transformers import RemBertConfig, RemBertModel

from exporter.errors import UnsupportedModel
from exporter.export import ALL_LINEAR, Request, export_bundle
from exporter.families import catalogue
from exporter.families.family import Family
from tests.fakes.checkpoints import _tokenizer

GUIDE = Path(__file__).resolve().parents[2] / "docs" / "guides" / "adding-a-family.md"
TEXT = GUIDE.read_text(encoding="utf-8")

pytestmark = pytest.mark.usefixtures("one_thread")


def nothing(*_: object) -> None:
    pass


def example() -> Family:
    """Return an instance of the class that the guide shows."""
    (code,) = re.findall(r"^```python\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
    names: dict[str, type[Family]] = {}
    exec(compile(code, str(GUIDE), "exec"), names)
    return names["RemBert"]()


def checkpoint(folder: Path) -> Path:
    torch.manual_seed(0)
    tokenizer = _tokenizer("bert")
    config = RemBertConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=48,
        input_embedding_size=24,
        max_position_embeddings=160,
    )
    model = RemBertModel(config)
    for parameter in model.parameters():
        parameter.data += 0.2 * torch.randn_like(parameter)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def test_the_guides_table_has_every_model_type() -> None:
    table = TEXT.partition("| built |")[2].partition("\n\n")[0]
    cells = [line.rpartition(" | ")[2] for line in table.splitlines()[2:]]
    listed = [name for cell in cells for name in re.findall(r"`([\w-]+)`", cell)]
    assert sorted(listed) == sorted(
        name for family in catalogue.FAMILIES for name in family.model_types
    )


def test_the_guides_example_is_exported_and_proven(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = Request(
        str(checkpoint(tmp_path / "checkpoint")), tmp_path / "bundle", targets=(ALL_LINEAR,)
    )
    with pytest.raises(UnsupportedModel, match=r"'rembert' is not supported; .*adding-a-family"):
        export_bundle(request, nothing)
    monkeypatch.setattr(catalogue, "FAMILIES", (*catalogue.FAMILIES, example()))
    manifest = export_bundle(request, nothing).manifest
    assert manifest.family == "rembert"
    assert manifest.parity.passed
    assert manifest.targets[0].name == "encoder.embedding_hidden_mapping_in"
    assert [step.module for step in manifest.head.steps] == [
        "rembert.pooler.dense",
        "",
        "classifier",
    ]
