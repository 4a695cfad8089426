"""What a batcher reports, counted."""

import threading
from collections import Counter
from typing import Literal


class FakeBatchMetrics:
    """Counts; called from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.passes: list[tuple[int, int, int, int]] = []  # texts, tokens, capacity, adapters
        self.trace_ids: list[str | None] = []  # of traced passes
        self.loads = 0
        self.evictions = 0
        self.quarantines = 0
        self.shadows: Counter[str] = Counter()  # texts by outcome
        self.bases: Counter[str] = Counter()  # of the bare backbone's shadows

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
        assert seconds >= 0
        self.trace_ids.append(trace_id)
        self.passes.append((texts, tokens, capacity, adapters))

    def adapter_loaded(self, seconds: float) -> None:
        assert seconds >= 0
        with self._lock:
            self.loads += 1

    def adapter_evicted(self) -> None:
        self.evictions += 1

    def quarantined(self) -> None:
        self.quarantines += 1

    def shadowed(self, texts: int, outcome: Literal["answered", "dropped", "failed"]) -> None:
        with self._lock:
            self.shadows[outcome] += texts

    def base_embedded(self, texts: int, outcome: Literal["answered", "dropped", "failed"]) -> None:
        with self._lock:
            self.bases[outcome] += texts
