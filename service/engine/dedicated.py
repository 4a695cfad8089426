"""A dedicated bundle's own head, as the adapter that it is to everything above the engine.

A dedicated bundle (a merged or fully fine-tuned model) answers by itself. Its head becomes an
adapter of rank 0 that brings no weights: batching, gate, rollouts and prediction ids then treat
it as they treat any version, and a tenant gets an answer only from a version that it published.
"""

from collections.abc import Sequence

from service.engine.adapter import Adapter, Weights
from service.engine.bundle import Manifest
from service.engine.findings import Findings, shown

_SHOWN = 3  # labels that differ, in one message


def examine_own_head(
    labels: Sequence[str] | None, manifest: Manifest, findings: Findings
) -> Weights:
    """Return no weights; find why the bundle's own head cannot answer with these labels.

    None stands for labels that could not be read, which is a finding of the caller's.
    """
    if manifest.dedicated is None:
        findings.add(
            "metadata/dedicated",
            "is true, and this server's bundle is a backbone without a classifier of its own; send"
            " the folder that save_pretrained wrote, or serve what"
            " `tenantry export MODEL --dedicated` makes",
        )
    elif labels is not None and tuple(labels) != manifest.dedicated.labels:
        findings.add("metadata/labels", _difference(labels, manifest.dedicated.labels))
    return Weights({}, {})


def own_head(
    digest: str, labels: Sequence[str], manifest: Manifest, temperature: float = 1.0
) -> Adapter:
    """Return the bundle's own head under a digest; raise `InvalidAdapter` where it has none such.

    `labels` must be the bundle's, in their order.
    """
    findings = Findings()
    weights = examine_own_head(labels, manifest, findings)
    findings.settle()
    return weights.named(digest, labels, temperature)


def _difference(labels: Sequence[str], own: Sequence[str]) -> str:
    advice = "leave `labels` out, or give the bundle's in their order"
    if len(labels) != len(own):
        return f"has {len(labels)}, and the bundle's model has {len(own)}; {advice}"
    pairs = [(i, found, o) for i, (found, o) in enumerate(zip(labels, own, strict=True))]
    wrong = [f"{i} is {shown(a)!r}, not {shown(o)!r}" for i, a, o in pairs if a != o]
    more = f" and {len(wrong) - _SHOWN} more" if len(wrong) > _SHOWN else ""
    return f"is not what the bundle's model answers: {', '.join(wrong[:_SHOWN])}{more}; {advice}"
