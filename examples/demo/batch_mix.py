"""How the service put its batches together, read from its metrics as Prometheus would read them."""

import math
from dataclasses import dataclass

from prometheus_client.parser import text_string_to_metric_families


@dataclass(frozen=True, slots=True)
class BatchMix:
    """The forward passes between two readings; means are NaN where there was none."""

    batches: int
    texts: float  # mean a batch
    tokens: float  # mean a batch
    adapters: float  # mean a batch, different ones
    mixed: float  # share of batches with two adapters or more
    fill: float  # mean share of a batch's places that held a token
    seconds: float  # mean of one forward pass


def batch_mix(before: str, after: str) -> BatchMix:
    """Return what happened between two readings of `/metrics`."""
    first, last = _samples(before), _samples(after)
    change = {key: value - first.get(key, 0.0) for key, value in last.items()}
    batches = round(change["tenantry_batch_adapters_count", ""])

    def mean(name: str) -> float:
        return change[f"tenantry_{name}_sum", ""] / batches if batches else math.nan

    alone = change["tenantry_batch_adapters_bucket", "1.0"]
    return BatchMix(
        batches=batches,
        texts=mean("batch_texts"),
        tokens=mean("batch_tokens"),
        adapters=mean("batch_adapters"),
        mixed=1 - alone / batches if batches else math.nan,
        fill=mean("batch_fill_ratio"),
        seconds=mean("batch_seconds"),
    )


def _samples(text: str) -> dict[tuple[str, str], float]:
    """Return every series without other labels, by its name and its bucket's upper end."""
    return {
        (sample.name, sample.labels.get("le", "")): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if not sample.labels.keys() - {"le"}
    }
