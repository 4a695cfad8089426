"""Adapters that mean harm: as large as an upload may be, or larger, or not numbers at all."""

from collections.abc import Callable

import numpy as np

from service.engine.adapter import Adapter, FloatArray
from service.engine.bundle import Manifest, Target
from service.engine.lora_tensors import MAGNITUDE_MAX
from tests.fakes.adapters import adapter_of

Delta = tuple[FloatArray, FloatArray]


def _with(manifest: Manifest, name: str, made: Callable[[Target], Delta | None]) -> Adapter:
    plain = adapter_of(manifest, name, seed=77)
    found = {target.name: made(target) for target in manifest.targets}
    deltas = {target: delta for target, delta in found.items() if delta is not None}
    rank = max(len(a) for a, _ in deltas.values())
    return Adapter(plain.digest, rank, deltas, plain.head, plain.labels)


def loud(manifest: Manifest, name: str, magnitude: float = MAGNITUDE_MAX) -> Adapter:
    """Return random signs of one magnitude everywhere: by default the most an upload may have."""
    random = np.random.default_rng(len(name))

    def signs(*shape: int) -> FloatArray:
        return (magnitude * random.choice([-1.0, 1.0], shape)).astype(np.float32)

    return _with(manifest, name, lambda t: (signs(4, t.in_features), signs(4, t.out_features)))


def reader(manifest: Manifest, name: str, magnitude: float = MAGNITUDE_MAX) -> Adapter:
    """Return one whose keys are its queries turned round, so that a token abhors itself.

    The scores of its own text then lie far below any that a mask might stand for; were a mask just
    a large negative number, this adapter would look at everything but its own text.
    """

    def made(target: Target) -> Delta | None:
        width = target.out_features
        b = np.zeros((1, width), np.float32)
        last = target.name.rpartition(".")[2]
        if last in ("query", "q_lin", "q", "query_proj"):
            b[:] = magnitude
        elif last in ("key", "k_lin", "k", "key_proj"):
            b[:] = -magnitude
        elif last == "Wqkv":
            b[:, : width // 3] = magnitude
            b[:, width // 3 : 2 * width // 3] = -magnitude
        else:
            return None
        signs = np.random.default_rng(3).choice([-1.0, 1.0], (1, target.in_features))
        return (magnitude * signs).astype(np.float32), b

    return _with(manifest, name, made)


def broken(manifest: Manifest, name: str, side: int, value: float) -> Adapter:
    """Return an ordinary adapter with one number of every A (side 0) or B (1) replaced."""
    plain = adapter_of(manifest, name, seed=5)
    for delta in plain.deltas.values():
        delta[side][0, 1] = value
    return plain
