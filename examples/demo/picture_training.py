"""A small vision transformer made on the spot, and a LoRA adapter for it by plain `peft`.

Nothing is downloaded: the backbone learns shape and colour together from pictures that the demo
draws, and a tenant's adapter then learns shapes alone. Nothing in this file knows Tenantry.
"""

import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from PIL import Image
from transformers import ViTConfig, ViTForImageClassification, ViTImageProcessor

from examples.demo.pictures import COLOURS, SHAPES, Drawing, draw_many

SIDE = 48
LABELS = SHAPES  # of the adapter
_KINDS = [f"{colour} {shape}" for colour in sorted(COLOURS) for shape in SHAPES]
_BATCH = 64

# (epochs done, in all, mean loss of the last one)
OnEpoch = Callable[[int, int, float], None]


def make_backbone(folder: Path, on_epoch: OnEpoch, epochs: int = 18) -> None:
    """Train a vision transformer from nothing, and write it without its classifier."""
    torch.manual_seed(0)
    config = ViTConfig(
        hidden_size=64,
        num_hidden_layers=3,
        num_attention_heads=4,
        intermediate_size=128,
        image_size=SIDE,
        patch_size=8,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        num_labels=len(_KINDS),
    )
    processor = ViTImageProcessor(size={"height": SIDE, "width": SIDE})
    drawings = draw_many(1600, seed=1)
    pixels = _pixels(processor, drawings)
    targets = [_KINDS.index(f"{one.colour} {one.shape}") for one in drawings]
    model = ViTForImageClassification(config)
    _fit(model, pixels, targets, rate=2e-3, epochs=epochs, on_epoch=on_epoch)
    model.vit.save_pretrained(folder)
    processor.save_pretrained(folder)


def train_adapter(
    backbone: Path, drawings: Sequence[Drawing], out: Path, on_epoch: OnEpoch, epochs: int = 10
) -> None:
    """Train a LoRA adapter that tells shapes, and write what `save_pretrained` writes."""
    torch.manual_seed(0)
    processor = ViTImageProcessor.from_pretrained(backbone)
    model: Any = get_peft_model(
        ViTForImageClassification.from_pretrained(backbone, num_labels=len(LABELS)),
        LoraConfig(
            r=8,
            lora_alpha=16,
            target_modules=["query", "value", "dense"],
            modules_to_save=["classifier"],
        ),
    )
    targets = [LABELS.index(one.shape) for one in drawings]
    _fit(model, _pixels(processor, drawings), targets, rate=3e-3, epochs=epochs, on_epoch=on_epoch)
    model.save_pretrained(out)


def peft_probabilities(
    backbone: Path, adapter: Path, drawings: Sequence[Drawing]
) -> npt.NDArray[np.float32]:
    """Return what `peft` answers, [pictures, labels]."""
    processor = ViTImageProcessor.from_pretrained(backbone)
    base = ViTForImageClassification.from_pretrained(backbone, num_labels=len(LABELS))
    model = PeftModel.from_pretrained(base, str(adapter)).eval()
    with torch.inference_mode():
        logits = model(pixel_values=_pixels(processor, drawings)).logits
    found: npt.NDArray[np.float32] = torch.softmax(logits, dim=1).numpy()
    return found


def _pixels(processor: Any, drawings: Sequence[Drawing]) -> torch.Tensor:
    images = [Image.open(io.BytesIO(one.file)) for one in drawings]
    pixels: torch.Tensor = processor(images, return_tensors="pt")["pixel_values"]
    return pixels


def _fit(
    model: Any,
    pixels: torch.Tensor,
    targets: Sequence[int],
    *,
    rate: float,
    epochs: int,
    on_epoch: OnEpoch,
) -> None:
    wanted = torch.tensor(targets)
    steps = epochs * -(-len(targets) // _BATCH)
    trained = [weight for weight in model.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=rate, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min((step + 1) / (0.1 * steps), (steps - step) / (0.9 * steps))
    )
    model.train()
    for epoch in range(epochs):
        losses = []
        for batch in torch.randperm(len(targets)).split(_BATCH):
            loss = model(pixel_values=pixels[batch], labels=wanted[batch]).loss
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            losses.append(loss.item())
        on_epoch(epoch + 1, epochs, sum(losses) / len(losses))
