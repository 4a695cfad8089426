"""Clothing: small photographs of garments, a backbone trained on them, and tenants' adapters.

No pretrained image backbone comes as a package, so a small ViT is trained here on the training part
itself. That makes the accuracies modest; what is asked is whether they survive export and serving.
"""

import io
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from peft import LoraConfig, get_peft_model
from PIL import Image, ImageFilter
from torch import nn
from transformers import PreTrainedModel, ViTConfig, ViTForImageClassification, ViTImageProcessor

from benchmarks.bundles import cache_folder
from benchmarks.machine import ROOT
from benchmarks.rounds import show

SIDE = 32  # pixels
_SEED = 20260401
_BATCH = 128
_EPOCHS = 20  # of the backbone
_ADAPTER_EPOCHS = 12
_RATE = 2e-3

_GROUPS = {  # the second tenant's question: where is it worn?
    "dress": "body",
    "outwear": "body",
    "longsleeve": "body",
    "shirt": "body",
    "t-shirt": "body",
    "pants": "legs",
    "shorts": "legs",
    "skirt": "legs",
    "hat": "elsewhere",
    "shoes": "elsewhere",
}

Images = NDArray[np.uint8]
Indices = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Part:
    """Some of the photographs, and their class among `labels`."""

    labels: tuple[str, ...]
    images: Images  # [n, 32, 32, 3]
    index: Indices  # [n]

    def as_groups(self) -> "Part":
        """Return the same photographs under the coarser labels."""
        names = tuple(sorted(set(_GROUPS.values())))
        table = np.array([names.index(_GROUPS[label]) for label in self.labels])
        return Part(names, self.images, table[self.index])


def parts() -> tuple[Part, Part, Part]:
    """Return the photographs for training, validation and test."""
    base = Path(os.environ.get("TENANTRY_DATA") or ROOT.parent / "shared" / "data")
    file = base / "clothing_small_32" / "data.npz"
    if not file.is_file():
        raise SystemExit(f"{file} is not there; TENANTRY_DATA names the folder of the data sets")
    with np.load(file, allow_pickle=False) as held:
        labels = tuple(str(name) for name in held["label_names"])
        train, val, test = (
            Part(labels, held[f"x_{name}"], held[f"y_{name}"].astype(np.int64))
            for name in ("train", "val", "test")
        )
    return train, val, test


def png_of(image: Images) -> bytes:
    """Return a photograph as a file."""
    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG")
    return file.getvalue()


def processor() -> ViTImageProcessor:
    """Return the preprocessing that the backbone was trained with."""
    return ViTImageProcessor(size={"height": SIDE, "width": SIDE})


def backbone() -> Path:
    """Return the checkpoint of the trained ViT: trained once, and kept."""
    folder = cache_folder() / "clothing-vit"
    if (folder / "config.json").is_file():
        return folder
    train, _, _ = parts()
    torch.manual_seed(_SEED)
    model = ViTForImageClassification(
        ViTConfig(
            hidden_size=128,
            num_hidden_layers=3,
            num_attention_heads=4,
            intermediate_size=256,
            image_size=SIDE,
            patch_size=4,
            num_labels=len(train.labels),
        )
    )
    _train(model, train, _EPOCHS, "the backbone")
    model.save_pretrained(folder)
    processor().save_pretrained(folder)
    return folder


def adapter(part: Part, folder: Path) -> Path:
    """Train a LoRA adapter with a head of its own on the backbone; return its folder."""
    torch.manual_seed(_SEED)
    model = ViTForImageClassification.from_pretrained(
        backbone(), num_labels=len(part.labels), ignore_mismatched_sizes=True
    )
    config = LoraConfig(
        r=8, lora_alpha=16, target_modules=["query", "value"], modules_to_save=["classifier"]
    )
    tuned = get_peft_model(model, config)
    _train(tuned, part, _ADAPTER_EPOCHS, folder.name)
    tuned.save_pretrained(str(folder))
    return folder


def _train(model: nn.Module | PreTrainedModel, part: Part, epochs: int, name: str) -> None:
    """Train with AdamW on a cosine, photographs flipped and shifted by up to three pixels."""
    rng = np.random.default_rng(_SEED)
    learnt = [each for each in model.parameters() if each.requires_grad]
    optimiser = torch.optim.AdamW(learnt, lr=_RATE, weight_decay=0.05)
    steps = epochs * -(-len(part.index) // _BATCH)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    model.train()
    for epoch in range(epochs):
        for chosen in np.array_split(rng.permutation(len(part.index)), steps // epochs):
            pixels = torch.from_numpy(_varied(part.images[chosen], rng))
            found = model(pixel_values=pixels).logits
            loss = nn.functional.cross_entropy(found, torch.from_numpy(part.index[chosen]))
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
        show(f"training {name}: epoch {epoch + 1} of {epochs}", last=epoch + 1 == epochs)
    model.eval()


def _varied(images: Images, rng: np.random.Generator) -> NDArray[np.float32]:
    """Return flipped and shifted photographs as the processor would give them, [n, 3, 32, 32]."""
    flipped = np.where(
        rng.random(len(images))[:, None, None, None] < 0.5, images, images[:, :, ::-1]
    )
    down, right = rng.integers(-3, 4, 2)
    moved = np.roll(flipped, (int(down), int(right)), axis=(1, 2))
    scaled = moved.transpose(0, 3, 1, 2).astype(np.float32) / 127.5 - 1.0
    return np.ascontiguousarray(scaled, dtype=np.float32)


def darkened(images: Images) -> Images:
    """Return the photographs at half their brightness, as by a lamp that failed."""
    return (images // 2).astype(np.uint8)


def blurred(images: Images) -> Images:
    """Return the photographs out of focus."""
    made = [
        np.asarray(Image.fromarray(image).filter(ImageFilter.BoxBlur(2)), dtype=np.uint8)
        for image in images
    ]
    return np.stack(made)
