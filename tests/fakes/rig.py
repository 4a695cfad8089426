"""A batcher over an exact runtime, with everything around it that a test may look at or bend."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import TypeVar

import numpy as np
import pytest

from service.batching.answers import Answer
from service.batching.batcher import Batcher
from service.batching.jobs import Job, Shadow
from service.engine.adapter import Adapter
from service.engine.forward import Forward
from service.engine.heads import softmax
from service.engine.tokens import Text, Windowed
from service.engine.windows import pooled_over
from service.errors import (
    AdapterUnreadable,
)
from tests.fakes.adapters import digest_of
from tests.fakes.metrics import FakeBatchMetrics
from tests.fakes.passes import FakePassTracing
from tests.fakes.runtime import (
    FakeRuntime,
    answer_alone,
    text_of,
    whole_adapter,
    whole_bundle,
)

T = TypeVar("T")
SOON_S = 10.0  # how long a test waits for what must happen


class Rig:
    """A batcher, and everything around it that a test may look at or bend."""

    def __init__(
        self,
        slots: int = 4,
        *,
        texts_max: int = 1000,
        tokens_max: int = 100_000,
        tenant_ratio: float = 1.0,
    ) -> None:
        bundle = whole_bundle()
        self.runtime = FakeRuntime(bundle, slots)
        self.metrics = FakeBatchMetrics()
        self.store: dict[str, Adapter] = {}
        self.loads: list[str] = []
        self.slow: dict[str, threading.Event] = {}  # loads that wait for their event
        self.quarantined: list[str] = []
        self.tracing = FakePassTracing()
        self.batcher = Batcher(
            lambda: Forward(bundle, self.runtime),
            self.load,
            self.metrics,
            queue_texts_max=texts_max,
            queue_tokens_max=tokens_max,
            host_cache_bytes_max=1 << 20,
            tenant_queue_ratio=tenant_ratio,
            reason=lambda: "there is no other",
            on_quarantine=self.quarantined.append,
            tracing=self.tracing,
        )

    def put(self, *found: str | Adapter) -> None:
        for adapter in found:
            made = whole_adapter(adapter) if isinstance(adapter, str) else adapter
            self.store[made.digest] = made

    def load(self, digest: str) -> Adapter:
        self.loads.append(digest)
        if digest in self.slow:
            assert self.slow[digest].wait(SOON_S)
        if digest not in self.store:
            raise AdapterUnreadable(f"{digest} is not on the shelf")
        return self.store[digest]

    async def ask(
        self,
        name: str,
        *texts: Text,
        deadline_s: float | None = None,
        tenant: str = "",
        weight: float = 1.0,
        shadows: Sequence[Shadow] = (),
        trace: object | None = None,
    ) -> Answer:
        asked = texts or (text_of(3, 1, 4),)
        job = Job(
            digest_of(name),
            asked,
            deadline_s,
            tenant=tenant,
            weight=weight,
            shadows=tuple(shadows),
            trace=trace,
        )
        answer = await asyncio.wait_for(self.batcher.answer(job), SOON_S)
        assert answer.digest == digest_of(name)
        self.check(answer, asked)
        return answer

    def check(self, answer: Answer, texts: Sequence[Text]) -> None:
        """Compare an answer with the loop, for the digest that it says."""
        adapter = self.store[answer.digest]
        assert answer.labels == adapter.labels
        for text, row, embedding in zip(
            texts, answer.probabilities, answer.embeddings, strict=True
        ):
            if isinstance(text, Windowed):
                parts = [answer_alone(adapter, window) for window in text.windows]
                lengths = list(map(len, text.windows))
                pooled = pooled_over(np.stack([state for state, _ in parts]), lengths, "first")
                mean = pooled_over(np.stack([mean for _, mean in parts]), lengths, "mean")
            else:
                pooled, mean = answer_alone(adapter, text)
            assert (embedding == mean).all()
            logits = pooled @ adapter.head["classifier.weight"].T + adapter.head["classifier.bias"]
            assert row == pytest.approx(softmax(logits), abs=1e-6)

    async def passing(self) -> None:
        """Wait until a pass is held at its beginning."""
        await until(self.runtime.inside.is_set)


async def until(true: Callable[[], bool]) -> None:
    ends = time.monotonic() + SOON_S
    while not true():
        assert time.monotonic() < ends, "it did not happen"
        await asyncio.sleep(0.002)


@asynccontextmanager
async def started(rig: Rig) -> AsyncIterator[Rig]:
    await rig.batcher.start()
    try:
        yield rig
    finally:
        await rig.batcher.stop(SOON_S)


def serve(rig: Rig, work: Callable[[Rig], Awaitable[T]]) -> T:
    """Run `work` on a started batcher, stop it, and see that nothing is left over."""

    async def run() -> T:
        async with started(rig):
            result = await work(rig)
        status = rig.batcher.status()
        assert (status.queue_texts, status.queue_tokens, status.running_texts) == (0, 0, 0)
        assert not len(rig.batcher._callers)
        assert not rig.batcher._callers._observers
        assert not rig.batcher._thread.is_alive()
        return result

    return asyncio.run(run())
