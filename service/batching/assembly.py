"""Putting the batcher together: setup chosen, runtime, heads, loader."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from threadpoolctl import threadpool_limits

from service.batching.answers import BatchMetrics
from service.batching.batcher import Batcher
from service.batching.traces import PassTracing
from service.engine.adapter import Adapter
from service.engine.bundle import Bundle
from service.engine.execution.provider import AS_IT_COMES, DeviceOptions
from service.engine.forward import Forward
from service.engine.runtime import OnnxRuntime
from service.engine.tuning.choice import AUTO, Choice, Chooser
from service.engine.tuning.search import Wanted

logger = logging.getLogger(__name__)


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
    variant: str = AUTO,
    device: DeviceOptions = AS_IT_COMES,
    memory: Path | None = None,
    on_quarantine: Callable[[str], object] | None = None,
    on_failure: Callable[[], object] | None = None,
    tracing: PassTracing | None = None,
    progress: Callable[[str], None] = lambda _: None,
) -> tuple[Batcher, Choice]:
    """Choose the setup and return a batcher that is not started yet, and the choice.

    `provider` and `variant` are names, or `auto`. `load(digest)` reads the store; `memory` is the
    file that remembers what was measured. Raises `ProviderUnavailable`. The heads' small matrices
    run on one thread: more would only fight with the runtime's own.
    """
    threadpool_limits(limits=1, user_api="blas")
    wanted = Wanted(
        None if provider == AUTO else provider,
        None if variant == AUTO else variant,
        limits.threads,
    )
    chooser = Chooser(bundle, memory, limits.slots, wanted, device, progress)
    opener = _Opener(chooser, chooser.choose())
    batcher = Batcher(
        opener.open,
        load,
        metrics,
        queue_texts_max=limits.queue_texts_max,
        queue_tokens_max=limits.queue_tokens_max,
        host_cache_bytes_max=limits.host_cache_bytes_max,
        tenant_queue_ratio=limits.tenant_queue_ratio,
        reason=lambda: opener.choice.reason,
        on_quarantine=on_quarantine,
        on_failure=on_failure,
        tracing=tracing,
    )
    return batcher, opener.choice


class _Opener:
    """Opens what was chosen; where a remembered choice opens no more, what is chosen anew."""

    def __init__(self, chooser: Chooser, choice: Choice) -> None:
        self.chooser = chooser
        self.choice = choice

    def open(self) -> Forward:
        """Return the forward pass of the choice; called on the runtime's thread."""
        chooser = self.chooser
        try:
            runtime = self._runtime()
        except Exception as error:  # each library raises errors of its own
            if not self.choice.remembered:
                raise
            why = f"{self.choice.setup.provider}, which was remembered, cannot be opened: {error}"
            self.choice = chooser.choose_again(why)
            logger.warning("provider %s: %s", self.choice.provider, self.choice.reason)
            runtime = self._runtime()
        return Forward(chooser.bundle, runtime)

    def _runtime(self) -> OnnxRuntime:
        chooser = self.chooser
        return self.choice.setup.open(chooser.bundle, chooser.slots, chooser.device)
