"""Adapters made by hand, without files: weights drawn from a seed."""

from collections.abc import Callable, Sequence

import numpy as np

from service.engine.adapter import Adapter, FloatArray
from service.engine.bundle import Manifest
from tests.fakes.packages import labels_of


def digest_of(name: str) -> str:
    """Return a digest that can be read in a failure."""
    return f"sha256:{name}"


def adapter_of(
    manifest: Manifest,
    name: str,
    *,
    rank: int = 4,
    labels: int = 3,
    seed: int = 0,
    targets: Sequence[str] | None = None,
    scale: float = 0.3,
    temperature: float = 1.0,
) -> Adapter:
    """Return an adapter with LoRA on `targets` (names; None: all) and every module of the head."""
    random = np.random.default_rng(seed)

    def draw(*shape: int) -> FloatArray:
        return (scale * random.standard_normal(shape)).astype(np.float32)

    chosen = [t for t in manifest.targets if targets is None or t.name in targets]
    deltas = {t.name: (draw(rank, t.in_features), draw(rank, t.out_features)) for t in chosen}
    return Adapter(
        digest=digest_of(name),
        rank=rank if rank and chosen else 0,
        deltas=deltas if rank else {},
        head=_head_of(manifest, labels, draw),
        labels=tuple(labels_of(labels)),
        temperature=temperature,
    )


def _head_of(
    manifest: Manifest, labels: int, draw: Callable[..., FloatArray]
) -> dict[str, FloatArray]:
    head: dict[str, FloatArray] = {}
    for step in manifest.head.steps:
        if not step.module:
            continue
        rows = step.out_features or labels
        normed = step.kind == "layer_norm"
        head[f"{step.module}.weight"] = draw(rows) if normed else draw(rows, step.in_features)
        if step.bias:
            head[f"{step.module}.bias"] = draw(rows)
    return head
