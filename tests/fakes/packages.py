"""Uploads made by hand: what `save_pretrained` would write, without torch."""

import io
import json
import tarfile
import zipfile
from collections.abc import Mapping

import numpy as np
from safetensors.numpy import save

from service.engine.adapter import FloatArray
from service.engine.bundle import Manifest
from service.uploads.limits import UploadLimits
from service.uploads.package import Package, open_package
from tests.fakes.manifests import BACKBONE

CONFIG = "adapter_config.json"
WEIGHTS = "adapter_model.safetensors"
PREFIX = "base_model.model."


def config_of(manifest: Manifest, *, rank: int = 4, **changes: object) -> dict[str, object]:
    """Return a config that targets every target of the manifest."""
    endings = sorted({target.name.rsplit(".", 1)[-1] for target in manifest.targets})
    modules = [step.module for step in manifest.head.steps if step.module]
    config: dict[str, object] = {
        "peft_type": "LORA",
        "task_type": "SEQ_CLS",
        "r": rank,
        "lora_alpha": 2 * rank,
        "target_modules": endings,
        "exclude_modules": modules,
        "modules_to_save": modules,
        "bias": "none",
        "use_dora": False,
        "base_model_name_or_path": "/somewhere/else",
    }
    return {**config, **changes}


def tensors_of(
    manifest: Manifest, *, rank: int = 4, labels: int = 3, seed: int = 0
) -> dict[str, FloatArray]:
    """Return LoRA on every target and every module of the head, drawn from a seed."""
    random = np.random.default_rng(seed)

    def draw(*shape: int) -> FloatArray:
        return random.standard_normal(shape, np.float32)

    tensors = {}
    for target in manifest.targets:
        module = f"{PREFIX}{manifest.encoder}.{target.name}"
        tensors[f"{module}.lora_A.weight"] = draw(rank, target.in_features)
        tensors[f"{module}.lora_B.weight"] = draw(target.out_features, rank)
    for step in manifest.head.steps:
        if step.module:
            module = f"{PREFIX}{step.module}"
            rows = step.out_features or labels
            normed = step.kind == "layer_norm"
            tensors[f"{module}.weight"] = draw(rows) if normed else draw(rows, step.in_features)
            if step.bias:
                tensors[f"{module}.bias"] = draw(rows)
    return tensors


def labels_of(count: int = 3) -> list[str]:
    """Return labels."""
    return [f"label {i}" for i in range(count)]


def metadata_of(count: int = 3, **changes: object) -> bytes:
    """Return a metadata document."""
    return json.dumps({"labels": labels_of(count), **changes}).encode()


def files_of(
    manifest: Manifest, *, rank: int = 4, labels: int = 3, seed: int = 0, **config: object
) -> dict[str, bytes]:
    """Return the two files of an adapter."""
    return {
        CONFIG: json.dumps(config_of(manifest, rank=rank, **config)).encode(),
        WEIGHTS: save(tensors_of(manifest, rank=rank, labels=labels, seed=seed)),
    }


def zip_of(files: Mapping[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    """Return the files zipped."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def tar_of(files: Mapping[str, bytes]) -> bytes:
    """Return the files as tar.gz."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


def package_of(
    manifest: Manifest,
    *,
    seed: int = 0,
    rank: int = 4,
    labels: int = 3,
    backbone: str = BACKBONE,
    others: Mapping[str, bytes] | None = None,
    **metadata: object,
) -> Package:
    """Return a valid upload, opened; another seed has another digest."""
    files = {**files_of(manifest, rank=rank, labels=labels, seed=seed), **(others or {})}
    return open_package(
        zip_of(files, zipfile.ZIP_STORED),
        metadata_of(labels, **metadata),
        manifest,
        backbone,
        UploadLimits(),
    )
