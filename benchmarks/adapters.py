"""Random adapters: in memory as the engine holds them, and packed as `peft` saves them."""

import io
import json
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from safetensors.numpy import save

from service.engine.adapter import Adapter, FloatArray
from service.engine.bundle import Manifest

CONFIG = "adapter_config.json"
WEIGHTS = "adapter_model.safetensors"
_PREFIX = "base_model.model."
_LORA_SCALE = 0.03  # of trained weights' order: answers change, and nothing saturates
_HEAD_SCALE = 0.1


def random_adapter(manifest: Manifest, number: int, rank: int, labels: int = 77) -> Adapter:
    """Return the adapter of that number: LoRA on every target, and the head's missing modules."""
    rng = np.random.default_rng([20260101, number])

    def normal(scale: float, *shape: int) -> FloatArray:
        return rng.standard_normal(shape, dtype=np.float32) * np.float32(scale)

    deltas = {
        target.name: (
            normal(_LORA_SCALE, rank, target.in_features),
            normal(_LORA_SCALE, rank, target.out_features),
        )
        for target in manifest.targets
    }
    head = {}
    for step in manifest.head.steps:
        if step.kind == "linear" and step.module in manifest.head.missing:
            rows = step.out_features or labels
            head[f"{step.module}.weight"] = normal(_HEAD_SCALE, rows, step.in_features)
            if step.bias:
                head[f"{step.module}.bias"] = normal(_HEAD_SCALE, rows)
    names = tuple(f"label {n}" for n in range(labels))
    return Adapter(f"benchmark:{number}", rank, deltas, head, names)


def random_adapters(manifest: Manifest, count: int, rank: int, labels: int = 77) -> list[Adapter]:
    """Return so many different adapters of one rank."""
    return [random_adapter(manifest, number, rank, labels) for number in range(count)]


def without_lora(adapter: Adapter) -> Adapter:
    """Return the adapter's head alone."""
    return Adapter(adapter.digest, 0, {}, adapter.head, adapter.labels)


def files_of(adapter: Adapter, manifest: Manifest) -> dict[str, bytes]:
    """Return the two files that `save_pretrained` would write for it."""
    tensors: dict[str, FloatArray] = {}
    for name, (a, b) in adapter.deltas.items():
        module = f"{_PREFIX}{manifest.encoder}.{name}"
        tensors[f"{module}.lora_A.weight"] = a
        tensors[f"{module}.lora_B.weight"] = np.ascontiguousarray(b.T)
    for name, tensor in adapter.head.items():
        tensors[_PREFIX + name] = tensor
    config = {
        "peft_type": "LORA",
        "task_type": "SEQ_CLS" if manifest.task == "text" else None,
        "r": adapter.rank,
        "lora_alpha": adapter.rank,  # a scaling of 1
        "target_modules": sorted(adapter.deltas),
        "modules_to_save": sorted({name.split(".")[0] for name in adapter.head}),
        "bias": "none",
        "inference_mode": True,
    }
    return {CONFIG: json.dumps(config).encode(), WEIGHTS: save(tensors)}


def save_folder(adapter: Adapter, manifest: Manifest, folder: Path) -> Path:
    """Write the adapter as `save_pretrained` would; return the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in files_of(adapter, manifest).items():
        (folder / name).write_bytes(data)
    return folder


def zipped(adapter: Adapter, manifest: Manifest) -> bytes:
    """Return the adapter as an upload's package."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, data in files_of(adapter, manifest).items():
            archive.writestr(name, data)
    return buffer.getvalue()


def metadata_of(labels: Sequence[str]) -> bytes:
    """Return an upload's metadata."""
    return json.dumps({"labels": list(labels)}).encode()
