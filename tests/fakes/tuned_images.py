"""Image adapters that `peft` itself makes, saves and answers with."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import AutoModelForImageClassification

from exporter.source import fresh_heads_expected
from service.engine.adapter import FloatArray
from service.engine.bundle import Manifest
from service.engine.pixels import ImageFigures, Pixels
from tests.fakes.tuned import Recipe


def make_tuned_images(checkpoint: Path, recipe: Recipe, seed: int = 0) -> PeftModel:
    """Return a `peft` model on the checkpoint, with every weight of its own drawn at random."""
    torch.manual_seed(seed)
    with fresh_heads_expected():
        model = AutoModelForImageClassification.from_pretrained(
            checkpoint,
            num_labels=recipe.labels,
            use_safetensors=True,
            ignore_mismatched_sizes=True,
            dtype="float32",
        )
    tuned = get_peft_model(model, LoraConfig(modules_to_save=["classifier"], **recipe.lora))
    assert isinstance(tuned, PeftModel)
    with torch.no_grad():
        for name, parameter in tuned.named_parameters():
            if "lora_" in name:
                parameter.normal_(0.0, 0.1)
            elif "modules_to_save" in name:
                parameter.normal_(0.0, 0.3)
    return tuned.eval()


def random_pixels(manifest: Manifest, count: int, seed: int = 0) -> list[Pixels]:
    """Return random images as a pass takes them."""
    image = manifest.image
    assert image is not None
    random = np.random.default_rng(seed)
    size = (count, image.channels, image.height, image.width)
    values = random.standard_normal(size, np.float32) + random.standard_normal(
        (count, image.channels, 1, 1), np.float32
    )
    figures = ImageFigures(image.width, image.height, 0, 0.5, 0.0, seed)
    return [Pixels(each, image.tokens, figures) for each in values]


def ask_peft_images(
    tuned: PeftModel, images: Sequence[Pixels], manifest: Manifest
) -> list[tuple[FloatArray, FloatArray]]:
    """Return probabilities and embedding of each image, asked one by one."""
    states: list[torch.Tensor] = []
    encoder = tuned.get_submodule(f"base_model.model.{manifest.encoder}")
    hook = encoder.register_forward_hook(lambda _module, _inputs, output: states.append(output[0]))
    found = []
    with torch.inference_mode():
        for image in images:
            logits = tuned(pixel_values=torch.from_numpy(image.values)[None]).logits
            state = states.pop()
            mean = state.mean(1) if state.dim() == 3 else state.mean((2, 3))
            found.append((logits.softmax(-1)[0].numpy(), mean[0].numpy()))
    hook.remove()
    return found
