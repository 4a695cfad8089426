"""A batcher without a model: its answers follow from the adapter's digest and the tokens."""

import asyncio
import hashlib
import time
from collections.abc import Mapping, Sequence

import numpy as np

from service.batching.answers import Answer, BatcherStatus
from service.batching.jobs import BACKBONE, Job, Shadow
from service.engine.adapter import Adapter, FloatArray
from service.engine.pixels import Whole
from service.engine.tokens import Tokens, Windowed
from service.errors import DeadlinePassed, Stopping

HIDDEN = 8


def probabilities_of(digest: str, texts: Sequence[Whole], labels: int) -> FloatArray:
    """Return what the fake answers: [texts, labels] float32, different for each adapter."""
    rows = np.empty((len(texts), labels), dtype=np.float32)
    for row, text in enumerate(texts):
        if isinstance(text, Tokens):
            content: object = text.ids
        elif isinstance(text, Windowed):
            content = [window.ids for window in text.windows]
        else:
            content = text.values.tobytes()
        seed = hashlib.sha256(f"{digest} {content!r}".encode()).digest()
        weights = np.random.default_rng(int.from_bytes(seed[:8])).random(labels, dtype=np.float32)
        rows[row] = weights / weights.sum()
    return rows


class FakeBatcher:
    """Answers at once, or when `gate` opens; keeps what it was asked."""

    def __init__(self, labels: Mapping[str, tuple[str, ...]]) -> None:
        self.labels = {BACKBONE: (), **labels}  # by digest
        self.gate = asyncio.Event()
        self.gate.set()
        self.jobs: list[Job] = []
        self.dropped: list[Job] = []
        self.probed: list[Adapter] = []
        self.embedded: list[tuple[str, float, int]] = []  # tenant, weight, texts
        self.forgotten: list[str] = []
        self.error: Exception | None = None
        self.answer_digest: str | None = None  # to answer as another adapter
        self.starts = 0
        self.stopped_after_s: float | None = None
        self.waiting = 0

    async def start(self) -> None:
        self.starts += 1
        if self.error is not None:
            raise self.error

    async def stop(self, drain_s: float) -> None:
        self.stopped_after_s = drain_s

    async def answer(self, job: Job) -> Answer:
        if self.stopped_after_s is not None:
            raise Stopping("the fake has stopped")
        self.jobs.append(job)
        if self.error is not None:
            raise self.error
        left_s = None if job.deadline_s is None else job.deadline_s - time.monotonic()
        self.waiting += 1
        try:
            if not self.gate.is_set():
                async with asyncio.timeout(left_s):
                    await self.gate.wait()
        except TimeoutError:
            raise DeadlinePassed("the deadline passed before the answer was there") from None
        except asyncio.CancelledError:
            self.dropped.append(job)
            raise
        finally:
            self.waiting -= 1
        loop = asyncio.get_running_loop()
        for shadow in job.shadows:
            loop.call_soon(shadow.observe, self.shadowed(shadow, job))
        return self._answered(job.digest, job.texts, self.answer_digest)

    def shadowed(self, shadow: Shadow, job: Job) -> Answer:
        """Return what a job's shadow is shown."""
        whole = job.texts if shadow.texts is None else shadow.texts
        texts = whole if shadow.rows is None else [whole[row] for row in shadow.rows]
        return self._answered(shadow.digest, texts)

    def _answered(self, digest: str, texts: Sequence[Whole], told: str | None = None) -> Answer:
        labels = self.labels[digest]
        return Answer(
            digest=told or digest,
            labels=labels,
            probabilities=probabilities_of(digest, texts, len(labels)),
            embeddings=np.ones((len(texts), HIDDEN), dtype=np.float32),
            queue_s=0.001,
            compute_s=0.002,
        )

    async def embed(
        self,
        texts: Sequence[Whole],
        *,
        tenant: str = "",
        weight: float = 1.0,
        deadline_s: float | None = None,
    ) -> FloatArray:
        self.embedded.append((tenant, weight, len(texts)))
        answer = await self.answer(Job(BACKBONE, texts, deadline_s, tenant=tenant, weight=weight))
        return answer.embeddings

    def forget(self, digest: str) -> None:
        self.forgotten.append(digest)

    async def probe(
        self, adapter: Adapter, texts: Sequence[Whole], *, tenant: str, weight: float
    ) -> None:
        assert texts, "a probe needs texts"
        assert tenant, "a probe is charged to its tenant"
        assert weight > 0
        self.probed.append(adapter)
        await self.gate.wait()
        if self.error is not None:
            raise self.error

    def status(self) -> BatcherStatus:
        return BatcherStatus(
            queue_texts=self.waiting,
            queue_tokens=0,
            running_texts=0,
            slots=4,
            slots_used=1,
            quarantined=(),
            provider="cpu",
            precision="fp32",
            reason="the fake has no other",
        )
