"""The adapters that a measurement switches in: random LoRA, and heads that mean something.

Without labels a head is random. With labels the head's last layer is a logistic regression on the
states that fp32 pools for this very adapter, so that accuracy and calibration are those of a
classifier, though not of the best one.
"""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from service.engine.adapter import Adapter, FloatArray
from service.engine.bundle import Head, Manifest
from service.engine.dedicated import own_head
from service.engine.heads import features

COUNT = 4
# A and B of this spread change most labels of a random head, as trained ones do, and leave the
# states of trained models such that a linear head still tells classes apart.
_LORA_SPREAD = 0.03
_HEAD_SPREAD = 0.1
_RANDOM_LABELS = (7, 2, 3, 77)
_SHRINKAGE = 1e-3  # of a head's weights, per row
_STEPS = 150  # of the fit
_SEED = 20260101

Deltas = dict[str, tuple[FloatArray, FloatArray]]


def random_adapters(manifest: Manifest, kind: str) -> list[Adapter]:
    """Return adapters of different ranks with random heads; other ones for another `kind`.

    A dedicated bundle has one: its own head.
    """
    if manifest.dedicated is not None:
        return [own_head(f"{kind}:own", manifest.dedicated.labels, manifest)]
    return [_random(manifest, kind, number) for number in range(COUNT)]


def adversary(manifest: Manifest, like: Adapter, magnitude: float) -> Adapter:
    """Return an adapter of one huge magnitude everywhere, with another's head."""
    rng = np.random.default_rng(_SEED)

    def signs(*shape: int) -> FloatArray:
        return (magnitude * rng.choice([-1.0, 1.0], shape)).astype(np.float32)

    deltas: Deltas = {
        t.name: (signs(1, t.in_features), signs(1, t.out_features)) for t in manifest.targets
    }
    return Adapter(f"adversary:{magnitude:g}", int(bool(deltas)), deltas, like.head, like.labels)


def fitted(
    manifest: Manifest,
    adapter: Adapter,
    held: dict[str, FloatArray],
    pooled: FloatArray,
    classes: NDArray[np.int64],
    labels: Sequence[str],
) -> Adapter:
    """Return the adapter with its head's last layer fitted to classes of pooled states [rows, n].

    `held` are the head's tensors that the bundle brings.
    """
    head = dict(adapter.head)
    last = manifest.head.steps[-1]
    x = features(manifest.head, {**held, **head}, pooled)
    weight, bias = logistic(x, classes, len(labels))
    head[f"{last.module}.weight"] = weight
    if last.bias:
        head[f"{last.module}.bias"] = bias
    return Adapter(adapter.digest, adapter.rank, adapter.deltas, head, tuple(labels))


def logistic(
    x: FloatArray, classes: NDArray[np.int64], count: int
) -> tuple[FloatArray, FloatArray]:
    """Return weight [count, n] and bias [count] of a shrunk multinomial logistic regression."""
    mean, spread = x.mean(axis=0), x.std(axis=0) + 1e-6
    z = torch.from_numpy(((x - mean) / spread).astype(np.float64))
    y = torch.from_numpy(classes)
    weight = torch.zeros((count, z.shape[1]), dtype=torch.float64, requires_grad=True)
    bias = torch.zeros(count, dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.LBFGS(
        [weight, bias], max_iter=_STEPS, line_search_fn="strong_wolfe", tolerance_grad=1e-6
    )

    def loss() -> Tensor:
        optimiser.zero_grad()
        value = torch.nn.functional.cross_entropy(z @ weight.T + bias, y)
        value = value + _SHRINKAGE * weight.square().sum()
        value.backward()
        return value

    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # steps so small that threads would only wait for each other
    try:
        optimiser.step(loss)
    finally:
        torch.set_num_threads(threads)
    scaled = weight.detach().numpy() / spread
    shifted = bias.detach().numpy() - scaled @ mean
    return scaled.astype(np.float32), shifted.astype(np.float32)


def _random(manifest: Manifest, kind: str, number: int) -> Adapter:
    seed = [_SEED, number, *kind.encode()]
    rng = np.random.default_rng(seed)
    half = max(1, manifest.max_rank // 2)
    rank = (manifest.max_rank, half, 1, half)[number]

    def normal(spread: float, *shape: int) -> FloatArray:
        return (spread * rng.standard_normal(shape)).astype(np.float32)

    chosen = manifest.targets[:: 2 if number == 2 else 1]
    deltas: Deltas = {
        target.name: (
            normal(_LORA_SPREAD, rank, target.in_features),
            normal(_LORA_SPREAD, rank, target.out_features),
        )
        for target in chosen
    }
    count = min(_RANDOM_LABELS[number], manifest.max_labels)
    head = _random_head(manifest.head, count, normal)
    names = tuple(f"label {i}" for i in range(count))
    return Adapter(f"{kind}:{number}", rank if deltas else 0, deltas, head, names)


def _random_head(
    head: Head, labels: int, normal: Callable[..., FloatArray]
) -> dict[str, FloatArray]:
    """Return the last layer, and the modules that the bundle does not hold."""
    made: dict[str, FloatArray] = {}
    for step in head.steps:
        last = step is head.steps[-1]
        if not step.module or not (last or step.module in head.missing):
            continue
        rows = step.out_features or labels
        if step.kind == "layer_norm":
            weight: FloatArray = np.ones(rows, dtype=np.float32)
        else:
            spread = _HEAD_SPREAD if last else 1 / np.sqrt(step.in_features)
            weight = normal(float(spread), rows, step.in_features)
        made[f"{step.module}.weight"] = weight
        if step.bias:
            made[f"{step.module}.bias"] = np.zeros(rows, dtype=np.float32)
    return made
