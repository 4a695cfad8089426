"""Putting the batcher together: provider chosen, runtime, heads, loader."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from threadpoolctl import threadpool_limits

from service.batching.answers import BatchMetrics
from service.batching.batcher import Batcher
from service.engine.adapter import Adapter
from service.engine.bundle import Bundle
from service.engine.forward import Forward
from service.engine.runtime import OnnxRuntime
from service.engine.selection import Choice, choose


@dataclass(frozen=True, slots=True)
class EngineLimits:
    """How large the engine may grow."""

    slots: int  # adapters in the bank at once
    threads: int | None  # of one forward pass; None: every processor
    queue_texts_max: int
    queue_tokens_max: int
    host_cache_bytes_max: int
    tenant_queue_ratio: float = 1.0  # a tenant's waiting work over what is free, at weight 1


def assemble(
    bundle: Bundle,
    provider: str,
    limits: EngineLimits,
    load: Callable[[str], Adapter],
    metrics: BatchMetrics,
    *,
    memory: Path | None = None,
    on_quarantine: Callable[[str], object] | None = None,
    on_failure: Callable[[], object] | None = None,
    progress: Callable[[str], None] = lambda _: None,
) -> tuple[Batcher, Choice]:
    """Choose the provider and return a batcher that is not started yet, and the choice.

    `load(digest)` reads the store; `memory` is the file that remembers what `auto` chose. Raises
    `ProviderUnavailable`. The heads' small matrices run on one thread: more would only fight with
    the runtime's own.
    """
    threadpool_limits(limits=1, user_api="blas")
    choice = choose(bundle, provider, memory, limits.threads, progress)

    def open_forward() -> Forward:
        runtime = OnnxRuntime(bundle, choice.provider, limits.slots, limits.threads)
        return Forward(bundle, runtime)

    batcher = Batcher(
        open_forward,
        load,
        metrics,
        queue_texts_max=limits.queue_texts_max,
        queue_tokens_max=limits.queue_tokens_max,
        host_cache_bytes_max=limits.host_cache_bytes_max,
        tenant_queue_ratio=limits.tenant_queue_ratio,
        reason=choice.reason,
        on_quarantine=on_quarantine,
        on_failure=on_failure,
    )
    return batcher, choice
