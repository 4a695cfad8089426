"""Series of the batcher: its passes, what waits for them, and the adapters in its bank."""

from collections.abc import Callable, Collection
from typing import Protocol

from service.series.families import Families
from service.series.histograms import SECONDS, exemplar

_LOAD_SECONDS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.5, 2.5)
_TEXTS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
_TOKENS = (16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384)
_ADAPTERS = (1, 2, 4, 8, 16, 32, 64, 128)
_RATIOS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 1.0)


class Load(Protocol):
    """How busy the batcher is, as gauges read it at each scrape."""

    @property
    def queue_texts(self) -> int:
        """Return the number of texts that wait."""
        ...

    @property
    def queue_tokens(self) -> int:
        """Return the number of their tokens."""
        ...

    @property
    def quarantined(self) -> tuple[str, ...]:
        """Return the digests of the adapters that are out of service."""
        ...

    @property
    def running_texts(self) -> int:
        """Return the number of texts in the pass that runs."""
        ...

    @property
    def slots(self) -> int:
        """Return the number of slots of the bank."""
        ...

    @property
    def slots_used(self) -> int:
        """Return the number of slots that hold an adapter."""
        ...


class BatcherSeries:
    """Forward passes, the queue before them, and the bank."""

    def __init__(self, families: Families) -> None:
        self._declare_passes(families)
        self._declare_bank(families)

    def _declare_passes(self, families: Families) -> None:
        self._batch_seconds = families.histogram(
            "batch_seconds", "Time of one forward pass, heads included.", SECONDS
        )
        self._batch_texts = families.histogram("batch_texts", "Texts in one forward pass.", _TEXTS)
        self._batch_tokens = families.histogram(
            "batch_tokens", "Tokens in one forward pass, padding not counted.", _TOKENS
        )
        self._batch_fill = families.histogram(
            "batch_fill_ratio", "Tokens in one forward pass over the places it had.", _RATIOS
        )
        self._batch_adapters = families.histogram(
            "batch_adapters", "Different adapters in one forward pass.", _ADAPTERS
        )
        self._quarantines = families.counter(
            "quarantines", "Adapters put out of service for non-finite outputs."
        )

    def _declare_bank(self, families: Families) -> None:
        self._queue_texts = families.gauge("queue_texts", "Texts that wait for a forward pass.")
        self._queue_texts_max = families.reading(
            "queue_texts_max", "Texts that may wait; beyond that requests get 503."
        )
        self._queue_tokens = families.gauge("queue_tokens", "Tokens that wait for a forward pass.")
        self._queue_tokens_max = families.reading(
            "queue_tokens_max", "Tokens that may wait; beyond that requests get 503."
        )
        self._quarantined_adapters = families.gauge(
            "quarantined_adapters",
            "Live versions and canaries that are out of service for non-finite outputs.",
        )
        self._running_texts = families.gauge("running_texts", "Texts in the pass that runs now.")
        self._slots = families.gauge("bank_slots", "Slots of the adapter bank.")
        self._slots_used = families.gauge("bank_slots_used", "Slots that hold an adapter.")
        self._load_seconds = families.histogram(
            "bank_load_seconds", "Time to read an adapter and write its slot.", _LOAD_SECONDS
        )
        self._loads = families.counter("bank_loads", "Adapters written into a slot.")
        self._evictions = families.counter("bank_evictions", "Adapters that lost their slot.")

    def watch(
        self, load: Callable[[], Load], answering: Callable[[Collection[str]], int] = len
    ) -> None:
        """Let the gauges read the batcher's load at each scrape.

        `answering` counts those of the quarantined digests that a rollout sends requests to.
        """
        self._queue_texts.set_function(lambda: load().queue_texts)
        self._queue_tokens.set_function(lambda: load().queue_tokens)
        self._quarantined_adapters.set_function(lambda: answering(load().quarantined))
        self._running_texts.set_function(lambda: load().running_texts)
        self._slots.set_function(lambda: load().slots)
        self._slots_used.set_function(lambda: load().slots_used)

    def limits(self, queue_texts_max: int, queue_tokens_max: int) -> None:
        """Say how much may wait."""
        self._queue_texts_max.read = lambda: queue_texts_max
        self._queue_tokens_max.read = lambda: queue_tokens_max

    def batch_ran(
        self,
        texts: int,
        tokens: int,
        capacity: int,
        adapters: int,
        seconds: float,
        trace_id: str | None = None,
    ) -> None:
        """Observe one forward pass; `capacity` counts its places for tokens, filled or not.

        `trace_id` is of the trace that tells of it, where one is recorded.
        """
        self._batch_seconds.observe(seconds, exemplar(trace_id))
        self._batch_texts.observe(texts)
        self._batch_tokens.observe(tokens)
        self._batch_fill.observe(tokens / capacity)
        self._batch_adapters.observe(adapters)

    def adapter_loaded(self, seconds: float) -> None:
        """Count an adapter that was read and written into a slot."""
        self._loads.inc()
        self._load_seconds.observe(seconds)

    def adapter_evicted(self) -> None:
        """Count an adapter that lost its slot to another."""
        self._evictions.inc()

    def quarantined(self) -> None:
        """Count an adapter that was put out of service."""
        self._quarantines.inc()
