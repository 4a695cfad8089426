"""What setups are measured with: inputs of many lengths, and adapters that take turns."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from service.engine.adapter import Adapter, FloatArray
from service.engine.bundle import Bundle, Manifest
from service.engine.pixels import ImageFigures, Pixels, Prepared
from service.engine.tokens import Tokens

# Of short messages with a few long ones among them, in tokens: 24 on average.
LENGTHS = (5, 7, 8, 9, 10, 11, 12, 13, 14, 16, 18, 20, 24, 30, 48, 140)
_ADAPTERS = 8
_LABELS = 16
_RANK = 8
_WORDS = 200  # token ids that every vocabulary has


@dataclass(frozen=True, slots=True)
class Workload:
    """Inputs in their order of arrival, and the number of each one's adapter."""

    about: str
    inputs: tuple[Prepared, ...]
    numbers: tuple[int, ...]
    adapters: tuple[Adapter, ...]

    @property
    def tokens(self) -> int:
        """Return the tokens of all inputs."""
        return sum(map(len, self.inputs))


def random_workload(bundle: Bundle, count: int) -> Workload:
    """Return so many random inputs: texts of `LENGTHS` in turn, or pictures of noise."""
    image = bundle.manifest.image
    rng = np.random.default_rng(0)
    if image is not None:
        figures = ImageFigures(image.width, image.height, 0, 0.5, 0.0, 0)
        size = (image.channels, image.height, image.width)
        drawn = (rng.standard_normal(size, dtype=np.float32) for _ in range(count))
        pictures = [Pixels(values, image.tokens, figures) for values in drawn]
        return workload_of(bundle, pictures, f"{count} pictures of noise")
    longest = bundle.manifest.max_length
    lengths = [min(LENGTHS[i % len(LENGTHS)], longest) for i in rng.permutation(count)]
    texts = [Tokens(rng.integers(1, _WORDS, n).tolist(), None, False, 0) for n in lengths]
    mean = sum(lengths) / count
    about = f"{count} texts of random tokens, {min(lengths)} to {max(lengths)} and {mean:.0f} on"
    return workload_of(bundle, texts, f"{about} average")


def workload_of(bundle: Bundle, inputs: Sequence[Prepared], about: str) -> Workload:
    """Return these inputs with random adapters in turn, as every tenant's would come."""
    rng = np.random.default_rng(1)
    adapters = tuple(_adapter(bundle.manifest, number, rng) for number in range(_ADAPTERS))
    numbers = tuple(int(n) for n in rng.integers(0, _ADAPTERS, len(inputs)))
    return Workload(about, tuple(inputs), numbers, adapters)


def _adapter(manifest: Manifest, number: int, rng: np.random.Generator) -> Adapter:
    rank = min(_RANK, manifest.max_rank) if manifest.targets else 0

    def normal(scale: float, *shape: int) -> FloatArray:
        return rng.standard_normal(shape, dtype=np.float32) * np.float32(scale)

    deltas = {
        target.name: (
            normal(0.02, rank, target.in_features),
            normal(0.02, rank, target.out_features),
        )
        for target in manifest.targets
    }
    count = manifest.head.labels or min(_LABELS, manifest.max_labels)
    head: dict[str, FloatArray] = {}
    for step in manifest.head.steps:
        if step.module not in manifest.head.missing:
            continue
        rows = step.out_features or count
        if step.kind == "layer_norm":
            head[f"{step.module}.weight"] = np.ones(rows, dtype=np.float32)
        else:
            head[f"{step.module}.weight"] = normal(0.1, rows, step.in_features)
        if step.bias:
            head[f"{step.module}.bias"] = np.zeros(rows, dtype=np.float32)
    labels = tuple(f"label {n}" for n in range(count))
    return Adapter(f"tuning:{number}", rank, deltas, head, labels)
