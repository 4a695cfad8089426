"""Exporting image models: what such a bundle is, and what is refused by name."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import typer
from peft import LoraConfig, get_peft_model
from safetensors.numpy import load_file, save_file
from transformers import (
    AutoModelForImageClassification,
    ViTConfig,
    ViTForImageClassification,
    ViTImageProcessor,
)
from typer.testing import CliRunner

from exporter.command import export as export_command
from exporter.errors import UnreadableModel, UnsupportedModel
from exporter.export import Request, export_bundle
from exporter.source import fresh_heads_expected, load_model
from service.engine.adapter import read_adapter, read_tensors
from service.engine.bundle import CARD_FILE, MANIFEST, PREPROCESSOR_FILE, Bundle
from service.engine.errors import InvalidAdapter
from service.engine.images.recipe import read_recipe
from tests.fakes.image_checkpoints import (
    IMAGE_FAMILIES,
    SIDE,
    SWIN_SIDE,
    TINY_VIT,
    make_image_checkpoint,
)
from tests.fixtures_bundles import BundleCache

pytestmark = pytest.mark.usefixtures("one_thread")

PREPROCESSOR = "preprocessor_config.json"


def nothing(*_: object) -> None:
    pass


@pytest.fixture
def checkpoint(bundle_cache: BundleCache, tmp_path: Path) -> Path:
    """A copy of a tiny checkpoint, to be spoiled."""
    return Path(shutil.copytree(bundle_cache.checkpoint("vit"), tmp_path / "checkpoint"))


def change(file: Path, **changes: Any) -> None:
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))


# --- what a bundle is --------------------------------------------------------------------


@pytest.mark.parametrize("family", IMAGE_FAMILIES)
def test_a_bundle_says_what_it_takes_and_that_it_was_proven(
    family: str, bundle_of: Callable[[str], Bundle]
) -> None:
    bundle = bundle_of(family)
    manifest = bundle.manifest
    image = manifest.image
    assert image is not None
    assert manifest.task == "image"
    assert manifest.head.pooling == "own"
    assert manifest.parity.passed
    assert manifest.parity.max_probability_error < manifest.parity.tolerance == 1e-4
    assert manifest.parity.max_neighbour_error < manifest.parity.tolerance
    assert (manifest.parity.texts, manifest.parity.adapters) == (32, 4)
    side = SWIN_SIDE if family == "swin" else SIDE
    assert (image.channels, image.height, image.width) == (3, side, side)
    assert manifest.max_length == image.tokens
    assert manifest.head.missing == (
        ("classifier.1",) if family.startswith("resnet") else ("classifier",)
    )
    assert set(manifest.files) == {path.name for path in bundle.path.iterdir()} - {MANIFEST}
    recipe = read_recipe(json.loads((bundle.path / PREPROCESSOR_FILE).read_text()))
    assert (recipe.height, recipe.width) == (side, side)
    card = (bundle.path / CARD_FILE).read_text(encoding="utf-8")
    assert f"made {side} x {side} pixels" in card
    assert "32 images, 4 random adapters" in card


def test_heads_take_what_the_family_pools(bundle_of: Callable[[str], Bundle]) -> None:
    widths = {
        family: (bundle_of(family).manifest.hidden_size, bundle_of(family).manifest.head.steps)
        for family in ("vit", "dinov2", "resnet")
    }
    assert {
        family: (hidden, steps[-1].in_features) for family, (hidden, steps) in widths.items()
    } == {"vit": (32, 32), "dinov2": (32, 64), "resnet": (40, 40)}


def test_default_targets_and_a_trained_classifier_come_along(tmp_path: Path) -> None:
    made = make_image_checkpoint("resnet-basic", tmp_path / "checkpoint", head=True)
    bundle = export_bundle(Request(str(made), tmp_path / "bundle", max_rank=2), nothing)
    manifest = bundle.manifest
    assert manifest.head.held == ("classifier.1",)
    assert (manifest.head.missing, manifest.head.labels) == ((), 2)
    own = load_file(made / "model.safetensors")["classifier.1.weight"]
    assert (bundle.head["classifier.1.weight"] == own).all()
    names = [target.name for target in manifest.targets]
    assert all(name.startswith("encoder.stages.") for name in names)
    assert len(names) == 6
    kernels = {target.name: target.kernel for target in manifest.targets}
    assert kernels["encoder.stages.1.layers.0.shortcut.convolution"] == (1, 1)
    assert kernels["encoder.stages.1.layers.0.layer.0.convolution"] == (3, 3)


def test_a_deit_with_a_teacher_is_served_by_its_encoder(checkpoint: Path) -> None:
    made = make_image_checkpoint("deit", checkpoint.parent / "deit")
    change(made / "config.json", architectures=["DeiTForImageClassificationWithTeacher"])
    loaded = load_model(str(made))
    assert type(loaded.model).__name__ == "DeiTForImageClassification"
    assert loaded.task == "image"
    assert loaded.missing == {"classifier"}


# --- what is refused ---------------------------------------------------------------------


def refused(checkpoint: Path, error: type[Exception], words: str, **request: Any) -> None:
    out = checkpoint.parent / "shelf" / "bundle"
    out.parent.mkdir()
    with pytest.raises(error, match=words):
        export_bundle(Request(str(checkpoint), out, **request), nothing)
    assert not any(out.parent.iterdir()), "something was left behind"


def test_a_checkpoint_without_a_preprocessor_is_refused(checkpoint: Path) -> None:
    (checkpoint / PREPROCESSOR).unlink()
    refused(checkpoint, UnreadableModel, "no preprocessor_config.json, which says what is done")


def test_a_preprocessor_that_cannot_be_followed_is_refused(checkpoint: Path) -> None:
    change(checkpoint / PREPROCESSOR, image_processor_type="SamImageProcessor")
    refused(checkpoint, UnsupportedModel, r"preprocessor_config\.json: .*SamImageProcessor")


def test_a_preprocessor_that_is_no_json_is_refused(checkpoint: Path) -> None:
    (checkpoint / PREPROCESSOR).write_text("{'size': 3}")
    refused(checkpoint, UnreadableModel, "not JSON")


def test_a_preprocessor_of_another_size_than_the_models_is_refused(checkpoint: Path) -> None:
    change(checkpoint / PREPROCESSOR, size={"height": 48, "width": 48})
    refused(checkpoint, UnsupportedModel, "takes images of 32 x 32 pixels")


def test_a_model_of_grey_images_is_refused(tmp_path: Path) -> None:
    made = tmp_path / "checkpoint"
    torch.manual_seed(0)
    config = ViTConfig(**{**TINY_VIT, "num_channels": 1})
    ViTForImageClassification(config).save_pretrained(made)
    ViTImageProcessor(size={"height": SIDE, "width": SIDE}).save_pretrained(made)
    refused(made, UnsupportedModel, "num_channels=1 is not supported, only 3")


def test_a_length_limit_has_no_meaning_for_images(checkpoint: Path) -> None:
    refused(checkpoint, UnsupportedModel, "--max-length is of texts", max_length=32)


def test_a_target_that_does_not_exist_is_named_beside_those_that_do(checkpoint: Path) -> None:
    words = "called Wqkv; there are dense, key, query, value, or all-linear"
    refused(checkpoint, UnsupportedModel, words, targets=("Wqkv",))


def test_a_checkpoint_without_the_encoders_weights_is_refused(checkpoint: Path) -> None:
    weights = checkpoint / "model.safetensors"
    tensors = load_file(weights)
    kept = {name: x for name, x in tensors.items() if "layer.1.attention.attention.key" not in name}
    assert len(kept) == len(tensors) - 2
    save_file(kept, weights, {"format": "pt"})
    words = r"no weights of vit\.encoder\.layer\.1\.attention\.attention\.key"
    refused(checkpoint, UnreadableModel, words)


# --- adapters that `peft` makes and the bundle cannot take -------------------------------


def problems_of(bundle: Bundle, checkpoint: Path, folder: Path, **lora: Any) -> str:
    torch.manual_seed(0)
    with fresh_heads_expected():
        model = AutoModelForImageClassification.from_pretrained(checkpoint, num_labels=3)
    tuned = get_peft_model(model, LoraConfig(modules_to_save=["classifier"], **lora))
    tuned.save_pretrained(str(folder))
    with pytest.raises(InvalidAdapter) as caught:
        read_adapter(
            "sha256:0",
            json.loads((folder / "adapter_config.json").read_text()),
            read_tensors(folder / "adapter_model.safetensors"),
            ["a", "b", "c"],
            bundle.manifest,
        )
    return str(caught.value)


@pytest.mark.filterwarnings("ignore:LoRA adapter added to ConvNd layer with groups")
def test_an_adapter_of_a_grouped_convolution_is_refused(
    bundle_cache: BundleCache, tmp_path: Path
) -> None:
    said = problems_of(
        bundle_cache.bundle("convnext"),
        bundle_cache.checkpoint("convnext"),
        tmp_path,
        r=80,
        target_modules=["dwconv"],
    )
    assert "stages.0.layers.0.dwconv, and the bundle's encoder has no such layer" in said
    assert "grouped convolutions" in said


def test_an_adapter_of_the_stem_is_told_which_export_would_take_it(
    bundle_cache: BundleCache, tmp_path: Path
) -> None:
    bundle = bundle_cache.bundle("resnet-basic", ("layer.0.convolution",))
    said = problems_of(
        bundle, bundle_cache.checkpoint("resnet-basic"), tmp_path, target_modules=["convolution"]
    )
    assert "adapts embedder.embedder.convolution, which is not among the bundle's targets" in said
    assert "--targets all-linear" in said


def test_an_adapter_of_patch_embeddings_is_refused(
    bundle_cache: BundleCache, tmp_path: Path
) -> None:
    said = problems_of(
        bundle_cache.bundle("vit"),
        bundle_cache.checkpoint("vit"),
        tmp_path,
        target_modules=["projection"],
    )
    assert "adapts an embedding" in said


def test_the_command_speaks_of_images(checkpoint: Path, tmp_path: Path) -> None:
    app = typer.Typer()
    app.command()(export_command)
    out = tmp_path / "bundle"
    ran = CliRunner().invoke(app, [str(checkpoint), "--out", str(out), "--targets", "query"])
    assert ran.exit_code == 0, ran.output
    assert "proven on 32 images of 4 adapters" in " ".join(ran.output.split())


def test_random_images_of_a_proof_are_of_many_kinds(bundle_of: Callable[[str], Bundle]) -> None:
    from exporter.proof import random_images

    images = random_images(bundle_of("vit").manifest, 16)
    assert all(image.dtype == np.float32 and np.isfinite(image).all() for image in images)
    spreads = [float(image.std(axis=(1, 2)).mean()) for image in images]
    assert max(spreads) > 2 * min(spreads)
