"""An adapter as the engine holds it: weights at their own rank, scaling folded in."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from service.engine.bundle import Manifest
from service.engine.findings import Findings
from service.engine.lora_config import read_config
from service.engine.lora_tensors import (
    SortedTensors,
    check_labels,
    read_deltas,
    read_head,
    refuse_foreign,
    sort_tensors,
    wider_export,
)
from service.engine.safetensors_file import FloatArray, read_tensors

# An adapter's deltas would have nowhere to go, and its head would see states it was not trained on.
DEDICATED = (
    "holds an adapter, and this server's bundle is dedicated: it is one fine-tuned model, and takes"
    " no adapters. `tenantry adapters push TENANT.ADAPTER --dedicated` publishes the model's own"
    " classifier; for adapters, export their backbone without --dedicated and serve that"
)

__all__ = ["Adapter", "FloatArray", "examine", "read_adapter", "read_tensors"]


@dataclass(frozen=True, slots=True)
class Adapter:
    """One adapter's weights, ready to be written into a bank.

    `deltas` maps a target's name to A [r, in] and B [r, out]: `y += (x @ A.T) @ B`, the scaling
    folded into B. `head` holds only the modules that the adapter itself brings. `rank` is the
    largest rank over its targets, which is how many bank rows it takes; 0 for a head alone.
    """

    digest: str
    rank: int
    deltas: Mapping[str, tuple[FloatArray, FloatArray]]
    head: Mapping[str, FloatArray]
    labels: tuple[str, ...]
    temperature: float = 1.0

    @property
    def nbytes(self) -> int:
        """Return the bytes of all its tensors."""
        deltas = sum(a.nbytes + b.nbytes for a, b in self.deltas.values())
        return deltas + sum(tensor.nbytes for tensor in self.head.values())


@dataclass(frozen=True, slots=True)
class Weights:
    """The tensors of an adapter before it has a digest, copied from the file's bytes."""

    deltas: Mapping[str, tuple[FloatArray, FloatArray]]
    head: Mapping[str, FloatArray]

    def named(self, digest: str, labels: Sequence[str], temperature: float = 1.0) -> Adapter:
        """Return the adapter with these weights."""
        rank = max((len(a) for a, _ in self.deltas.values()), default=0)
        return Adapter(digest, rank, self.deltas, self.head, tuple(labels), temperature)


def examine(
    config: Mapping[str, object] | None,
    tensors: Mapping[str, FloatArray] | None,
    labels: Sequence[str] | None,
    manifest: Manifest,
    findings: Findings,
) -> Weights:
    """Add everything that keeps an adapter from being served by the bundle to the findings.

    None stands for a part that could not be read, which is a finding of the caller's; the other
    parts are still judged. The weights are whole only where there are no findings.
    """
    if manifest.dedicated is not None:
        findings.add("package", DEDICATED)
        return Weights({}, {})
    lora = None if config is None else read_config(config, findings)
    found = SortedTensors() if tensors is None else sort_tensors(tensors, manifest, findings)
    command = wider_export(found, labels, manifest)
    if labels is not None:
        check_labels(labels, manifest, command, findings)
    if tensors is None:
        return Weights({}, {})
    refuse_foreign(found, manifest, command, findings)
    deltas = read_deltas(found.sides, lora, manifest, command, findings)
    count = None if labels is None else len(labels)
    return Weights(deltas, read_head(found.head, lora, count, manifest, findings))


def read_adapter(
    digest: str,
    config: Mapping[str, object],
    tensors: Mapping[str, FloatArray],
    labels: Sequence[str],
    manifest: Manifest,
    temperature: float = 1.0,
) -> Adapter:
    """Return the adapter of an upload's parts, in arrays of its own.

    `config` is the parsed `adapter_config.json`, `tensors` what `read_tensors` gave. Raises
    `InvalidAdapter` with every problem, each with the key that it concerns.
    """
    findings = Findings()
    weights = examine(config, tensors, labels, manifest, findings)
    findings.settle()
    return weights.named(digest, labels, temperature)
