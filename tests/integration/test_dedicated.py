"""Dedicated bundles, from a checkpoint to an answer: exported, merged, published, asked."""

import json
import logging
from collections.abc import Callable
from pathlib import Path

import httpx
import numpy as np
import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch import nn
from transformers import AutoModelForSequenceClassification, AutoTokenizer, PreTrainedModel

from exporter.errors import UnreadableModel, UnsupportedModel
from exporter.export import Request, export_bundle
from exporter.merge import load_merged
from exporter.source import load_model
from service.engine.adapter import FloatArray
from service.engine.bundle import Bundle
from tests.fakes.checkpoints import make_checkpoint
from tests.fakes.image_checkpoints import make_image_checkpoint
from tests.fakes.packages import zip_of
from tests.fakes.tuned import HEADS, Recipe, make_tuned
from tests.integration.test_serve import serving, wait_until_ready

pytestmark = pytest.mark.usefixtures("one_thread")

LABELS = ("refund", "delivery", "other")
TEXTS = [
    "where is my parcel",
    "I want my money back",
    "",
    "my card was charged twice and nobody answers the telephone",
    "a long letter " * 80,
]
ADAPTER = "/v1/tenants/acme/adapters/support"


def quiet(request: Request) -> Bundle:
    logging.getLogger("torch.__trace").propagate = False
    return export_bundle(request, lambda *_: None)


def named(model: PreTrainedModel) -> PreTrainedModel:
    model.config.id2label = dict(enumerate(LABELS))
    model.config.label2id = {label: i for i, label in enumerate(LABELS)}
    return model


@pytest.fixture(scope="module")
def fine_tuned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a tiny BERT that was fine-tuned as a whole, to three classes."""
    folder = make_checkpoint("bert", tmp_path_factory.mktemp("fine") / "tuned")
    torch.manual_seed(3)
    model = AutoModelForSequenceClassification.from_pretrained(folder, num_labels=3)
    for parameter in model.parameters():
        parameter.data += 0.05 * torch.randn_like(parameter)
    torch.nn.init.normal_(model.classifier.weight, std=0.5)
    named(model).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def dedicated(fine_tuned: Path, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return quiet(Request(str(fine_tuned), tmp_path_factory.mktemp("b") / "own", dedicated=True))


def asked(folder: Path, model: nn.Module) -> FloatArray:
    """Return what `transformers` answers to each text alone."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    rows = []
    with torch.inference_mode():
        for text in TEXTS:
            encoded = tokenizer(text, return_tensors="pt", truncation=True, max_length=160)
            rows.append(model.eval()(**encoded).logits.softmax(-1)[0].numpy())
    return np.stack(rows)


def publish(client: httpx.Client, files: dict[str, bytes], **metadata: object) -> httpx.Response:
    form = {
        "package": ("p.zip", zip_of(files)),
        "metadata": (None, json.dumps({"dedicated": True, **metadata}).encode()),
    }
    return client.post(f"{ADAPTER}/versions", files=form)


def test_a_dedicated_bundle_answers_as_the_model_does_and_only_who_published_it(
    dedicated: Bundle, fine_tuned: Path, tmp_path: Path
) -> None:
    expected = asked(fine_tuned, AutoModelForSequenceClassification.from_pretrained(fine_tuned))
    question = {"inputs": TEXTS}
    with serving(dedicated, tmp_path / "state") as served:
        url = served.address()
        wait_until_ready(url)
        with httpx.Client(base_url=url, timeout=30) as client:
            assert client.put("/v1/tenants/acme", json={}).status_code == 201
            assert client.post(f"{ADAPTER}/predict", json=question).status_code == 404
            assert publish(client, {}, labels=["yes", "no", "other"]).status_code == 422
            rows = [{"text": text, "label": "other"} for text in TEXTS if text] * 12
            holdout = "\n".join(map(json.dumps, rows)).encode()
            made = publish(client, {"holdout.jsonl": holdout})
            assert made.status_code == 201, made.text
            report = made.json()["report"]
            right = float((expected[[0, 1, 3, 4]].argmax(1) == 2).mean())
            assert report["measured"]["accuracy"]["value"] == pytest.approx(right)
            # nothing answers before a rollout names it, and then what is live does
            assert client.post(f"{ADAPTER}/predict", json=question).status_code == 404
            forced = {"live": 1, "force": {"reason": "a test"}}
            assert client.put(f"{ADAPTER}/rollout", json=forced).status_code == 200
            answer = client.post(f"{ADAPTER}/predict", json=question).json()
    assert answer["model"]["backbone"] == dedicated.digest
    assert answer["model"]["digest"] == made.json()["digest"]
    for row, prediction in zip(expected, answer["predictions"], strict=True):
        found = [prediction["scores"][label] for label in LABELS]
        assert found == pytest.approx(row.tolist(), abs=1e-5)


def test_its_manifest_has_no_bank_and_names_its_classes(dedicated: Bundle) -> None:
    manifest = dedicated.manifest
    assert manifest.dedicated is not None
    assert manifest.dedicated.labels == LABELS
    assert (manifest.targets, manifest.max_rank, manifest.head.missing) == ((), 0, ())
    assert manifest.parity.adapters == 0
    assert manifest.parity.max_probability_error < 1e-5
    assert "--dedicated" in manifest.command
    assert "--max-rank" not in manifest.command
    assert "answers by itself" in (dedicated.path / "MODEL_CARD.md").read_text()


@pytest.mark.parametrize("family", ["bert", "distilbert"])
def test_a_merged_adapter_answers_as_peft_does_without_merging(family: str, tmp_path: Path) -> None:
    base = make_checkpoint(family, tmp_path / "base")
    targets = "all-linear"
    lora = {
        "r": 4,
        "lora_alpha": 16,
        "target_modules": targets,
        "modules_to_save": list(HEADS[family]),
    }
    lora["use_rslora"] = True
    tuned = make_tuned(base, Recipe(3, lora), seed=5)
    folder = tmp_path / "adapter"
    tuned.save_pretrained(str(folder))
    (folder / "metadata.json").write_text(json.dumps({"labels": LABELS}))
    expected = asked(base, tuned)
    bundle = quiet(Request(str(base), tmp_path / "bundle", merge=folder))
    assert bundle.manifest.dedicated is not None
    assert bundle.manifest.dedicated.labels == LABELS
    assert set(bundle.manifest.source.files) > {
        "adapter/adapter_config.json",
        "adapter/adapter_model.safetensors",
    }
    assert bundle.manifest.command.count("--merge") == 1
    merged = load_merged(str(base), folder)
    assert np.abs(asked(base, merged.model) - expected).max() < 1e-5


def test_a_model_of_images_answers_by_itself_too(tmp_path: Path) -> None:
    folder = make_image_checkpoint("vit", tmp_path / "tuned", head=True)
    names = tmp_path / "labels.txt"
    names.write_text("cat\ndog\n")
    request = Request(str(folder), tmp_path / "bundle", dedicated=True, labels=names)
    manifest = quiet(request).manifest
    assert manifest.dedicated is not None
    assert manifest.dedicated.labels == ("cat", "dog")
    assert (manifest.task, manifest.targets) == ("image", ())
    assert manifest.parity.max_probability_error < 1e-5


def test_an_adapter_of_images_is_merged(tmp_path: Path) -> None:
    base = load_model(str(make_image_checkpoint("vit", tmp_path / "base")))
    torch.manual_seed(0)
    lora = LoraConfig(r=2, target_modules=["query"], modules_to_save=["classifier"])
    tuned = get_peft_model(base.model, lora)
    for name, parameter in tuned.named_parameters():
        if "lora_" in name or "modules_to_save" in name:
            torch.nn.init.normal_(parameter, std=0.3)
    tuned.save_pretrained(str(tmp_path / "adapter"))
    pixels = torch.randn(2, 3, *[base.model.config.image_size] * 2)
    with torch.inference_mode():
        expected = tuned.eval()(pixel_values=pixels).logits
    merged = load_merged(str(tmp_path / "base"), tmp_path / "adapter", None, ("cat", "dog")).model
    with torch.inference_mode():
        found = merged(pixel_values=pixels).logits
    assert torch.allclose(found, expected, atol=1e-5)


@pytest.fixture
def adapter(tmp_path: Path) -> Callable[..., tuple[Path, Path]]:
    def make(**changes: object) -> tuple[Path, Path]:
        base = make_checkpoint("bert", tmp_path / "base")
        lora = {"r": 2, "target_modules": ["query"], "modules_to_save": list(HEADS["bert"])}
        folder = tmp_path / "adapter"
        make_tuned(base, Recipe(3, lora)).save_pretrained(str(folder))
        config = json.loads((folder / "adapter_config.json").read_text())
        (folder / "adapter_config.json").write_text(json.dumps({**config, **changes}))
        (folder / "metadata.json").write_text(json.dumps({"labels": LABELS}))
        return base, folder

    return make


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"use_dora": True}, "use_dora"),
        ({"something_new": 1}, "something_new"),
        ({"target_modules": ["query", "value"]}, "do not go together"),
        ({"r": 3}, "fit the base model"),
    ],
)
def test_a_config_that_cannot_be_merged_is_refused_by_name(
    adapter: Callable[..., tuple[Path, Path]], changes: dict[str, object], what: str
) -> None:
    base, folder = adapter(**changes)
    with pytest.raises(UnsupportedModel, match=what):
        load_merged(str(base), folder)


def test_a_pickle_is_never_read(adapter: Callable[..., tuple[Path, Path]]) -> None:
    base, folder = adapter()
    (folder / "adapter_model.safetensors").rename(folder / "adapter_model.bin")
    with pytest.raises(UnreadableModel, match=r"adapter_model\.safetensors"):
        load_merged(str(base), folder)


def test_classes_without_names_are_refused_until_they_are_named(
    fine_tuned: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "unnamed"
    model = AutoModelForSequenceClassification.from_pretrained(fine_tuned)
    model.config.id2label = {i: f"LABEL_{i}" for i in range(3)}
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(fine_tuned).save_pretrained(folder)
    with pytest.raises(UnreadableModel, match="--labels"):
        quiet(Request(str(folder), tmp_path / "out", dedicated=True))
    names = tmp_path / "labels.txt"
    names.write_text("a\nb\n")
    with pytest.raises(UnsupportedModel, match="2 labels are named"):
        quiet(Request(str(folder), tmp_path / "out", dedicated=True, labels=names))
    assert not (tmp_path / "out").exists()


def test_a_backbone_without_a_classifier_cannot_answer_by_itself(tmp_path: Path) -> None:
    base = make_checkpoint("bert", tmp_path / "base")
    with pytest.raises(UnreadableModel, match="no trained classifier"):
        quiet(Request(str(base), tmp_path / "out", dedicated=True))


@pytest.mark.parametrize(
    "asked_for",
    [{"dedicated": True, "targets": ("query",)}, {"dedicated": True, "max_rank": 8}],
)
def test_a_bank_and_no_bank_cannot_both_be_asked_for(
    asked_for: dict[str, object], tmp_path: Path
) -> None:
    with pytest.raises(UnsupportedModel, match="has no bank"):
        quiet(Request("anything", tmp_path / "out", **asked_for))  # type: ignore[arg-type]
