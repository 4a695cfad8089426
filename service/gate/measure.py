"""Running a hold-out: in the background of the fair queue, in small pieces, within a bound.

Three passes over the same rows: the new version, the live one, and the bare backbone. The rows
give way to whoever waits for an answer, so that an upload on a busy server takes its time; beyond
the bound it is refused as the server is full, and may be sent again.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol, TypeVar

import numpy as np

from service.batching.answers import Answer
from service.batching.jobs import Job
from service.engine.adapter import Adapter, FloatArray
from service.engine.errors import InvalidAdapter, NonFiniteOutput, Problem
from service.engine.tokens import Input, Tokens
from service.errors import (
    AdapterQuarantined,
    AdapterUnreadable,
    DeadlinePassed,
    QueueFull,
    TenantLimited,
)
from service.gate.rows import Answers, LiveAnswers, Run, TextFacts
from service.registry.records import Route
from service.uploads.archive import HOLDOUT_FILE
from service.uploads.holdout import HoldoutRow

TENANT = "_holdout"  # no tenant can be called so
WEIGHT = 0.05
PATIENCE_S = 600.0

_JOB_TEXTS_MAX = 64
_JOB_TOKENS_MAX = 4096
_WORKERS = 2
_PAUSE_S = 0.05
_PAUSE_S_MAX = 2.0

_T = TypeVar("_T")


class HoldoutBatcher(Protocol):
    """What answers the rows; `service.batching.batcher` has the real one."""

    async def answer(self, job: Job) -> Answer:
        """Answer a job."""
        ...

    async def embed(
        self, texts: Sequence[Tokens], *, tenant: str, weight: float, deadline_s: float | None
    ) -> FloatArray:
        """Return the bare backbone's embeddings [texts, hidden], mean-pooled."""
        ...


class HoldoutTokeniser(Protocol):
    """Turns texts into tokens; safe to call from several threads."""

    def encode(self, texts: Sequence[Input]) -> list[Tokens]:
        """Return the tokens of each text, in order."""
        ...


class Measurer:
    """Runs hold-outs."""

    def __init__(
        self,
        batcher: HoldoutBatcher,
        tokeniser: HoldoutTokeniser,
        patience_s: float = PATIENCE_S,
    ) -> None:
        self._batcher = batcher
        self._tokeniser = tokeniser
        self._patience_s = patience_s

    async def run(
        self, rows: Sequence[HoldoutRow], adapter: Adapter, live: Route | None, reason: str
    ) -> Run:
        """Run the rows with an adapter that is not in the store yet, and with what it replaces.

        `live` is the live version, None where there is none to compare with, for the `reason`.
        Raises `InvalidAdapter` where a row gives inf or NaN, `QueueFull` where there was no room
        for too long, and what the batcher raises.
        """
        deadline_s = time.monotonic() + self._patience_s
        texts = await asyncio.to_thread(self._tokeniser.encode, [row.text for row in rows])
        numbers = {label: number for number, label in enumerate(adapter.labels)}
        own = await self._own(adapter, texts, deadline_s)
        theirs = LiveAnswers(reason=reason)
        if live is not None:
            theirs = await self._live(live, adapter.labels, texts, deadline_s)
        return Run(
            correct=np.array([numbers[row.label] for row in rows], dtype=np.int64),
            texts=tuple(TextFacts(len(text), text.unknown, text.truncated) for text in texts),
            own=own,
            live=theirs,
            bare=await self._bare(texts, deadline_s),
        )

    async def _own(self, adapter: Adapter, texts: Sequence[Tokens], deadline_s: float) -> Answers:
        try:
            answers = await self._answers(adapter.digest, texts, deadline_s, adapter)
        except NonFiniteOutput as error:
            what = "has a text for which the adapter gives inf or NaN"
            raise InvalidAdapter([Problem(HOLDOUT_FILE, what)]) from error
        return Answers(
            np.concatenate([answer.probabilities for answer in answers]),
            np.concatenate([answer.embeddings for answer in answers]),
            tuple(answer.compute_s / len(answer.probabilities) for answer in answers),
        )

    async def _live(
        self, live: Route, labels: Sequence[str], texts: Sequence[Tokens], deadline_s: float
    ) -> LiveAnswers:
        """Return what the live version answers, its columns in the order of `labels`."""
        reason = foreign_labels(live, labels)
        if reason is None:
            try:
                answers = await self._answers(live.digest, texts, deadline_s)
            except (AdapterQuarantined, NonFiniteOutput):
                reason = f"version {live.version} gives inf or NaN and is out of service"
            except AdapterUnreadable:
                reason = f"version {live.version} cannot be read from the store"
            else:
                order = [live.labels.index(label) for label in labels]
                rows = np.concatenate([answer.probabilities for answer in answers])
                return LiveAnswers(live.version, live.digest, rows[:, order])
        return LiveAnswers(live.version, live.digest, reason=reason)

    async def _answers(
        self,
        digest: str,
        texts: Sequence[Tokens],
        deadline_s: float,
        brings: Adapter | None = None,
    ) -> list[Answer]:
        async def ask(piece: Sequence[Tokens]) -> Answer:
            job = Job(
                digest, piece, deadline_s=deadline_s, brings=brings, tenant=TENANT, weight=WEIGHT
            )
            answer = await self._batcher.answer(job)
            if answer.digest != digest:
                raise AssertionError("an answer came from another adapter")
            return answer

        return await _in_pieces(ask, texts, deadline_s)

    async def _bare(self, texts: Sequence[Tokens], deadline_s: float) -> FloatArray:
        async def ask(piece: Sequence[Tokens]) -> FloatArray:
            return await self._batcher.embed(
                piece, tenant=TENANT, weight=WEIGHT, deadline_s=deadline_s
            )

        return np.concatenate(await _in_pieces(ask, texts, deadline_s))


def foreign_labels(live: Route, labels: Sequence[str]) -> str | None:
    """Return why answers with other labels cannot be compared; None where they are the same."""
    if set(live.labels) == set(labels):
        return None
    return (
        f"version {live.version} has other labels: {len(set(labels) - set(live.labels))} are new,"
        f" {len(set(live.labels) - set(labels))} are gone"
    )


def pieces_of(texts: Sequence[Tokens]) -> list[list[Tokens]]:
    """Return the texts in pieces that are small beside what the queue may hold."""
    pieces: list[list[Tokens]] = []
    tokens = 0
    for text in texts:
        tokens += len(text)
        if not pieces or len(pieces[-1]) == _JOB_TEXTS_MAX or tokens > _JOB_TOKENS_MAX:
            pieces.append([])
            tokens = len(text)
        pieces[-1].append(text)
    return pieces


async def _in_pieces(
    ask: Callable[[Sequence[Tokens]], Awaitable[_T]], texts: Sequence[Tokens], deadline_s: float
) -> list[_T]:
    """Return what `ask` gives for each piece, in order; a few are on their way at once."""
    pieces = pieces_of(texts)
    found: list[list[_T]] = [[] for _ in pieces]

    async def work(first: int) -> None:
        for number in range(first, len(pieces), _WORKERS):
            found[number] = await _patiently(ask, pieces[number], deadline_s)

    workers = [asyncio.ensure_future(work(first)) for first in range(_WORKERS)]
    try:
        await asyncio.gather(*workers)
    finally:
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)
    return [answer for answers in found for answer in answers]


async def _patiently(
    ask: Callable[[Sequence[Tokens]], Awaitable[_T]], piece: Sequence[Tokens], deadline_s: float
) -> list[_T]:
    """Return the answers to a piece; where it finds no room, to smaller and smaller ones."""
    waiting = [piece]  # the next one last
    answers: list[_T] = []
    pause_s = _PAUSE_S
    while waiting:
        try:
            answers.append(await ask(waiting[-1]))
        except (QueueFull, TenantLimited) as error:
            if time.monotonic() + pause_s >= deadline_s:
                raise _late() from error
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, _PAUSE_S_MAX)
            refused = waiting.pop()
            half = len(refused) // 2
            waiting += [refused[half:], refused[:half]] if half else [refused]
        except DeadlinePassed as error:
            raise _late() from error
        else:
            waiting.pop()
            pause_s = _PAUSE_S
    return answers


def _late() -> QueueFull:
    return QueueFull(
        "the server was too busy to run the upload's hold-out in time; send it again later"
    )
