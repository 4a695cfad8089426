"""A batcher without a model: its answers follow from the adapter's digest and the tokens."""

import asyncio
import hashlib
import time
from collections.abc import Mapping, Sequence

import numpy as np

from service.batching.answers import Answer, BatcherStatus
from service.batching.queue import Job
from service.engine.adapter import Adapter, FloatArray
from service.engine.tokens import Tokens
from service.errors import DeadlinePassed, Stopping

HIDDEN = 8


def probabilities_of(digest: str, texts: Sequence[Tokens], labels: int) -> FloatArray:
    """Return what the fake answers: [texts, labels] float32, different for each adapter."""
    rows = np.empty((len(texts), labels), dtype=np.float32)
    for row, text in enumerate(texts):
        seed = hashlib.sha256(f"{digest} {text.ids}".encode()).digest()
        weights = np.random.default_rng(int.from_bytes(seed[:8])).random(labels, dtype=np.float32)
        rows[row] = weights / weights.sum()
    return rows


class FakeBatcher:
    """Answers at once, or when `gate` opens; keeps what it was asked."""

    def __init__(self, labels: Mapping[str, tuple[str, ...]]) -> None:
        self.labels = dict(labels)  # by digest
        self.gate = asyncio.Event()
        self.gate.set()
        self.jobs: list[Job] = []
        self.dropped: list[Job] = []
        self.probed: list[Adapter] = []
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
        labels = self.labels[job.digest]
        return Answer(
            digest=self.answer_digest or job.digest,
            labels=labels,
            probabilities=probabilities_of(job.digest, job.texts, len(labels)),
            embeddings=np.ones((len(job.texts), HIDDEN), dtype=np.float32),
            queue_s=0.001,
            compute_s=0.002,
        )

    async def probe(self, adapter: Adapter, texts: Sequence[Tokens]) -> None:
        assert texts, "a probe needs texts"
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
            host_adapters=1,
            host_bytes=1024,
            quarantined=(),
            provider="cpu",
            precision="fp32",
            reason="the fake has no other",
        )
