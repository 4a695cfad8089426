"""Adapters of a game day, made by hand as `save_pretrained` would write them: good and bad."""

import io
import json
import zipfile
from collections.abc import Mapping, Sequence

import numpy as np
from safetensors.numpy import save

from service.engine.adapter import FloatArray
from service.engine.bundle import Manifest

LABELS = ("billing", "delivery", "praise")
ADAPTER = "triage"
_RANK = 4
_PREFIX = "base_model.model."
_SHARPNESS = 0.9  # of the head: probabilities between a third and one


def weights_of(manifest: Manifest, seed: int) -> dict[str, FloatArray]:
    """Return LoRA on every target and every module of the head, drawn from a seed."""
    draw = np.random.default_rng(seed)

    def normal(scale: float, *shape: int) -> FloatArray:
        return np.float32(scale) * draw.standard_normal(shape, np.float32)

    tensors = {}
    for target in manifest.targets:
        module = f"{_PREFIX}{manifest.encoder}.{target.name}"
        tensors[f"{module}.lora_A.weight"] = normal(0.2, _RANK, target.in_features)
        tensors[f"{module}.lora_B.weight"] = normal(0.2, target.out_features, _RANK)
    modules = [step for step in manifest.head.steps if step.module]
    for step in modules:
        module = f"{_PREFIX}{step.module}"
        scale = _SHARPNESS if step is modules[-1] else 0.3
        rows = step.out_features or len(LABELS)
        tensors[f"{module}.weight"] = normal(scale, rows, step.in_features)
        tensors[f"{module}.bias"] = np.zeros(rows, np.float32)
    return tensors


def package_of(
    manifest: Manifest,
    weights: Mapping[str, FloatArray],
    holdout: Sequence[tuple[str, str]] = (),
) -> bytes:
    """Return an archive to upload: config, weights, and texts with their labels, where given."""
    modules = [step.module for step in manifest.head.steps if step.module]
    config = {
        "peft_type": "LORA",
        "task_type": "SEQ_CLS",
        "r": _RANK,
        "lora_alpha": _RANK,
        "target_modules": sorted({target.name.rsplit(".", 1)[-1] for target in manifest.targets}),
        "exclude_modules": modules,
        "modules_to_save": modules,
        "bias": "none",
    }
    files = {
        "adapter_config.json": json.dumps(config).encode(),
        "adapter_model.safetensors": save(dict(weights)),
    }
    if holdout:
        lines = (json.dumps({"text": text, "label": label}) for text, label in holdout)
        files["holdout.jsonl"] = "\n".join(lines).encode()
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def metadata_of(temperature: float | None = None) -> dict[str, object]:
    """Return what is said of an upload; below 1 a temperature makes answers surer of themselves."""
    told: dict[str, object] = {"labels": list(LABELS), "license": "CC0-1.0", "owner": "ml"}
    if temperature is not None:
        told |= {"calibrated": True, "temperature": temperature}
    return told
