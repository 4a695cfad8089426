"""Running a hold-out: in the background of the fair queue, in small pieces, within a bound.

Three passes over the same rows: the new version, the live one, and the bare backbone. The rows
give way to whoever waits for an answer, so that an upload on a busy server takes its time; beyond
the bound it is refused as the server is full, and may be sent again.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from itertools import chain
from typing import Protocol, TypeVar

import numpy as np

from service.batching.answers import Answer
from service.batching.jobs import Job
from service.engine.adapter import Adapter, FloatArray
from service.engine.errors import InvalidAdapter, NonFiniteOutput, Problem
from service.engine.pixels import Pixels, Whole
from service.engine.windows import Windows
from service.errors import (
    AdapterQuarantined,
    AdapterUnreadable,
    DeadlinePassed,
    QueueFull,
    TenantLimited,
)
from service.gate.inputs import HoldoutPreparer, Piece
from service.gate.rows import Answers, LiveAnswers, RowFacts, Run, TextFacts
from service.registry.records import Route
from service.uploads.archive import HOLDOUT_FILE
from service.uploads.holdout import HoldoutRow

TENANT = "_holdout"  # no tenant can be called so
WEIGHT = 0.05
PATIENCE_S = 600.0

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
        self, texts: Sequence[Whole], *, tenant: str, weight: float, deadline_s: float | None
    ) -> FloatArray:
        """Return the bare backbone's embeddings [texts, hidden], mean-pooled."""
        ...


class Measurer:
    """Runs hold-outs."""

    def __init__(
        self,
        batcher: HoldoutBatcher,
        preparer: HoldoutPreparer,
        patience_s: float = PATIENCE_S,
    ) -> None:
        self._batcher = batcher
        self._preparer = preparer
        self._patience_s = patience_s

    async def run(
        self,
        rows: Sequence[HoldoutRow],
        adapter: Adapter,
        live: Route | None,
        reason: str,
        windows: Windows | None = None,
    ) -> Run:
        """Run the rows with an adapter that is not in the store yet, and with what it replaces.

        `live` is the live version, None where there is none to compare with, for the `reason`.
        Each version reads long texts in its own windows, the bare backbone in the new one's.
        Raises `InvalidAdapter` where a row gives inf or NaN, `QueueFull` where there was no room
        for too long, and what the batcher raises.
        """
        deadline_s = time.monotonic() + self._patience_s
        pieces = await asyncio.to_thread(self._preparer.pieces, rows, windows)
        numbers = {label: number for number, label in enumerate(adapter.labels)}
        own, facts = await self._own(adapter, pieces, deadline_s)
        theirs = LiveAnswers(reason=reason)
        if live is not None:
            cut = pieces
            if live.windows != windows:
                cut = await asyncio.to_thread(self._preparer.pieces, rows, live.windows)
            theirs = await self._live(live, adapter.labels, cut, deadline_s)
        return Run(
            correct=np.array([numbers[row.label] for row in rows], dtype=np.int64),
            facts=facts,
            own=own,
            live=theirs,
            bare=await self._bare(pieces, deadline_s),
        )

    async def _own(
        self, adapter: Adapter, pieces: Sequence[Piece], deadline_s: float
    ) -> tuple[Answers, tuple[RowFacts, ...]]:
        """Return what the new adapter answers, and what is known of each row."""
        try:
            answers, facts = await self._answers(adapter.digest, pieces, deadline_s, adapter)
        except NonFiniteOutput as error:
            what = "has a text for which the adapter gives inf or NaN"
            raise InvalidAdapter([Problem(HOLDOUT_FILE, what)]) from error
        own = Answers(
            np.concatenate([answer.probabilities for answer in answers]),
            np.concatenate([answer.embeddings for answer in answers]),
            tuple(answer.compute_s / len(answer.probabilities) for answer in answers),
        )
        return own, facts

    async def _live(
        self, live: Route, labels: Sequence[str], pieces: Sequence[Piece], deadline_s: float
    ) -> LiveAnswers:
        """Return what the live version answers, its columns in the order of `labels`."""
        reason = foreign_labels(live, labels)
        if reason is None:
            try:
                answers, _ = await self._answers(live.digest, pieces, deadline_s)
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
        pieces: Sequence[Piece],
        deadline_s: float,
        brings: Adapter | None = None,
    ) -> tuple[list[Answer], tuple[RowFacts, ...]]:
        async def ask(piece: Sequence[Whole]) -> Answer:
            job = Job(
                digest, piece, deadline_s=deadline_s, brings=brings, tenant=TENANT, weight=WEIGHT
            )
            answer = await self._batcher.answer(job)
            if answer.digest != digest:
                raise AssertionError("an answer came from another adapter")
            return answer

        return await _in_pieces(ask, pieces, deadline_s)

    async def _bare(self, pieces: Sequence[Piece], deadline_s: float) -> FloatArray:
        async def ask(piece: Sequence[Whole]) -> FloatArray:
            return await self._batcher.embed(
                piece, tenant=TENANT, weight=WEIGHT, deadline_s=deadline_s
            )

        embeddings, _ = await _in_pieces(ask, pieces, deadline_s)
        return np.concatenate(embeddings)


def foreign_labels(live: Route, labels: Sequence[str]) -> str | None:
    """Return why answers with other labels cannot be compared; None where they are the same."""
    if set(live.labels) == set(labels):
        return None
    return (
        f"version {live.version} has other labels: {len(set(labels) - set(live.labels))} are new,"
        f" {len(set(live.labels) - set(labels))} are gone"
    )


async def _in_pieces(
    ask: Callable[[Sequence[Whole]], Awaitable[_T]],
    pieces: Sequence[Piece],
    deadline_s: float,
) -> tuple[list[_T], tuple[RowFacts, ...]]:
    """Return what `ask` gives for each piece, and what is known of each row, both in order.

    A few pieces are on their way at once.
    """
    found: list[list[_T]] = [[] for _ in pieces]
    facts: list[list[RowFacts]] = [[] for _ in pieces]

    async def work(first: int) -> None:
        for number in range(first, len(pieces), _WORKERS):
            prepared = await asyncio.to_thread(pieces[number].prepare)
            facts[number] = [_facts(one) for one in prepared]
            found[number] = await _patiently(ask, prepared, deadline_s)

    workers = [asyncio.ensure_future(work(first)) for first in range(_WORKERS)]
    try:
        await asyncio.gather(*workers)
    finally:
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)
    return list(chain.from_iterable(found)), tuple(chain.from_iterable(facts))


def _facts(prepared: Whole) -> RowFacts:
    if isinstance(prepared, Pixels):
        return prepared.figures
    return TextFacts(len(prepared), prepared.unknown, prepared.truncated)


async def _patiently(
    ask: Callable[[Sequence[Whole]], Awaitable[_T]], piece: Sequence[Whole], deadline_s: float
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
