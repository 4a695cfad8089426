"""Hold-outs without a model: a batcher whose answers are as right as it is told, and runs."""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from service.batching.answers import Answer
from service.batching.jobs import Job
from service.engine.adapter import Adapter, FloatArray
from service.engine.pixels import Whole
from service.engine.tokens import Input, Text, Tokens
from service.engine.windows import Windows
from service.gate.rows import Answers, Indices, LiveAnswers, Run, TextFacts
from service.registry.records import Route
from tests.fakes.batching import FakeBatcher
from tests.fakes.tokens import ids_of

HIDDEN = 8
LABELS = ("refund", "delivery", "other")


def adapter_of(digest: str = "sha256:new", labels: tuple[str, ...] = LABELS) -> Adapter:
    """Return an adapter without weights."""
    return Adapter(digest, 1, {}, {}, labels)


def route_of(
    version: int = 1, digest: str = "sha256:live", labels: tuple[str, ...] = LABELS
) -> Route:
    """Return the route to a live version."""
    return Route("acme", "support", version, digest, labels, calibrated=False)


@dataclass
class HoldoutFake:
    """Answers with the class that is the text's first token, sure of it by what it is told."""

    labels: dict[str, tuple[str, ...]] = field(default_factory=dict)  # of adapters in the store
    refusals: list[Exception] = field(default_factory=list)  # raised one by one, first
    errors: dict[str, Exception] = field(default_factory=dict)  # by digest, each time
    sure: float = 0.9
    jobs: list[Job] = field(default_factory=list)
    embedded: list[tuple[str, float, int]] = field(default_factory=list)
    running: int = 0
    most_running: int = 0

    async def answer(self, job: Job) -> Answer:
        self._refuse()
        if job.digest in self.errors:
            raise self.errors[job.digest]
        self.jobs.append(job)
        labels = self.labels[job.digest] if job.brings is None else job.brings.labels
        rows = np.full((len(job.texts), len(labels)), (1 - self.sure) / (len(labels) - 1))
        rows[np.arange(len(job.texts)), [ids[0] for ids in ids_of(job.texts)]] = self.sure
        embeddings = np.array([[ids[0]] * HIDDEN for ids in ids_of(job.texts)], dtype=np.float32)
        answer = Answer(
            digest=job.digest,
            labels=labels,
            probabilities=rows.astype(np.float32),
            embeddings=embeddings,
            queue_s=0.0,
            compute_s=0.001 * len(job.texts),
        )
        await self._take_time()
        return answer

    async def embed(
        self, texts: Sequence[Whole], *, tenant: str, weight: float, deadline_s: float | None
    ) -> FloatArray:
        assert deadline_s is not None
        self._refuse()
        self.embedded.append((tenant, weight, len(texts)))
        embeddings = np.array([[ids[0], 1.0] for ids in ids_of(texts)], dtype=np.float32)
        await self._take_time()
        return embeddings

    def _refuse(self) -> None:
        if self.refusals:
            raise self.refusals.pop(0)

    async def _take_time(self) -> None:
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        await asyncio.sleep(0)
        self.running -= 1


class GateBatcher(FakeBatcher):
    """The fake of the routes' tests, which takes adapters that are not in the store yet too."""

    async def answer(self, job: Job) -> Answer:
        if job.brings is not None:
            self.labels[job.digest] = job.brings.labels
        return await super().answer(job)

    async def embed(
        self,
        texts: Sequence[Whole],
        *,
        tenant: str = "",
        weight: float = 1.0,
        deadline_s: float | None = None,
    ) -> FloatArray:
        assert tenant
        assert weight < 1.0
        assert deadline_s is not None
        return np.array([[len(text), 1.0] for text in texts], dtype=np.float32)


def holdout_of(labels: Sequence[str], rows: int, wrong: int = 0) -> bytes:
    """Return a file of rows that the fake answers by the text's number; some are labelled wrong."""
    count = len(labels)
    lines = [
        {"text": f"{n % count} word", "label": labels[(n + 1 if n < wrong else n) % count]}
        for n in range(rows)
    ]
    return "\n".join(map(json.dumps, lines)).encode()


class ClassTokeniser:
    """Reads `2 a b`: the first token is the number, each word one more; it cuts nothing."""

    def encode_windows(
        self, texts: Sequence[Input], wanted: Sequence[Windows | None]
    ) -> list[list[Text]]:
        self.wanted = list(wanted)
        return [list(self.encode(texts)) for _ in wanted]

    def encode(self, texts: Sequence[object]) -> list[Tokens]:
        return [
            Tokens([int(words[0]), *range(len(words) - 1)], None, False, 0)
            for words in (str(text).split() for text in texts)
        ]


def run_of(
    rows: int,
    share: float,
    *,
    live: float | None = None,
    bare: float = 0.0,
    sharpness: float = 1.0,
    seed: int = 0,
) -> Run:
    """Return a run whose answers are right in so many cases, and calibrated at a sharpness of 1.

    `live` is the share that the live version gets right; `bare` how far apart the classes lie in
    the bare backbone's embeddings.
    """
    random = np.random.default_rng(seed)
    correct = random.integers(0, len(LABELS), rows)
    own = _answers(random, correct, share, sharpness)
    theirs = LiveAnswers(reason="no version is live")
    if live is not None:
        theirs = LiveAnswers(1, "sha256:live", _answers(random, correct, live, 1.0))
    spread = random.standard_normal((rows, HIDDEN)).astype(np.float32)
    middles = np.eye(len(LABELS), HIDDEN, dtype=np.float32)
    return Run(
        correct=correct,
        facts=(TextFacts(3, 0, False),) * rows,
        own=Answers(own, spread, (0.001, 0.002, 0.003)),
        live=theirs,
        bare=spread + np.float32(bare) * middles[correct],
    )


def _answers(
    random: np.random.Generator, correct: Indices, share: float, sharpness: float
) -> FloatArray:
    classes = len(LABELS)
    sure = np.clip(random.normal(share, 0.03, len(correct)), 1 / classes + 0.01, 0.995)
    is_right = random.random(len(correct)) < sure
    top = np.where(
        is_right, correct, (correct + random.integers(1, classes, len(correct))) % classes
    )
    rows = np.repeat((1 - sure)[:, None] / (classes - 1), classes, axis=1)
    rows[np.arange(len(correct)), top] = sure
    raised = rows**sharpness
    result: FloatArray = (raised / raised.sum(axis=1, keepdims=True)).astype(np.float32)
    return result
