"""What the batcher gives: answers to callers, a look at itself, and counts."""

from dataclasses import dataclass
from typing import Literal, Protocol

from service.engine.adapter import FloatArray

ShadowOutcome = Literal["answered", "dropped", "failed"]


class BatchMetrics(Protocol):
    """What the batcher reports; `service/metrics.py` has the real one."""

    def batch_ran(
        self,
        *,
        texts: int,
        tokens: int,
        capacity: int,
        adapters: int,
        seconds: float,
        trace_id: str | None = None,
    ) -> None:
        """Count a pass; `trace_id` is of the trace that tells of it, where one does."""
        ...

    def adapter_loaded(self, seconds: float) -> None:
        """Count an adapter's way from the store to host memory."""
        ...

    def adapter_evicted(self) -> None:
        """Count an adapter that left its slot for another."""
        ...

    def quarantined(self) -> None:
        """Count an adapter taken out of service for non-finite numbers."""
        ...

    def shadowed(self, texts: int, outcome: ShadowOutcome) -> None:
        """Count texts that a shadow answered, or did not."""
        ...

    def base_embedded(self, texts: int, outcome: ShadowOutcome) -> None:
        """Count texts that the bare backbone answered beside an adapter, or did not."""
        ...


@dataclass(frozen=True, slots=True)
class Answer:
    """What a job's caller gets; arrays are in the order of its texts."""

    digest: str  # read from the slots that computed the rows
    labels: tuple[str, ...]
    probabilities: FloatArray  # [texts, labels]
    embeddings: FloatArray  # [texts, hidden], mean-pooled, not normalised
    queue_s: float
    compute_s: float


@dataclass(frozen=True, slots=True)
class BatcherStatus:
    """A look at the batcher, for pages and gauges."""

    queue_texts: int
    queue_tokens: int
    running_texts: int
    slots: int
    slots_used: int
    quarantined: tuple[str, ...]
    provider: str
    precision: str
    reason: str
