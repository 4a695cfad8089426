import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pytest

from service.engine.errors import InvalidAdapter, NonFiniteOutput
from service.engine.tokens import Input, Text, Tokens
from service.engine.windows import Windows
from service.errors import (
    AdapterQuarantined,
    AdapterUnreadable,
    DeadlinePassed,
    EngineFailed,
    QueueFull,
    TenantLimited,
    UnacceptableRequest,
)
from service.gate.inputs import HoldoutTexts, pieces_of
from service.gate.measure import TENANT, WEIGHT, Measurer
from service.gate.rows import Run
from service.registry.records import Route, check_name
from service.uploads.holdout import HoldoutRow
from tests.fakes.gating import LABELS, ClassTokeniser, HoldoutFake, adapter_of, route_of
from tests.fakes.waiting import until

pytestmark = pytest.mark.anyio

ROWS = [HoldoutRow(f"{number % 3} word", LABELS[number % 3]) for number in range(200)]


async def run(batcher: HoldoutFake, live: Route | None = None, patience_s: float = 10.0) -> Run:
    measurer = Measurer(batcher, HoldoutTexts(ClassTokeniser()), patience_s)
    return await measurer.run(ROWS, adapter_of(), live, "no version is live")


async def test_every_row_is_answered_in_its_place() -> None:
    found = await run(HoldoutFake())
    classes = [number % 3 for number in range(200)]
    assert found.correct.tolist() == classes
    assert found.own.probabilities.argmax(axis=1).tolist() == classes
    assert found.own.embeddings[:, 0].tolist() == classes
    assert found.bare[:, 0].tolist() == classes
    assert len(found.facts) == 200
    assert found.own.text_s == pytest.approx([0.001] * 4)
    assert found.live.reason == "no version is live"
    assert found.live.version is None


async def test_the_rows_run_in_small_jobs_of_a_tenant_that_nobody_can_be() -> None:
    batcher = HoldoutFake()
    await run(batcher)
    assert [len(job.texts) for job in batcher.jobs] == [64, 64, 64, 8]
    assert sorted(size for _, _, size in batcher.embedded) == [8, 64, 64, 64]
    assert {(job.tenant, job.weight) for job in batcher.jobs} == {(TENANT, WEIGHT)}
    assert {(tenant, weight) for tenant, weight, _ in batcher.embedded} == {(TENANT, WEIGHT)}
    assert all(job.brings is not None and not job.alone for job in batcher.jobs)
    assert batcher.most_running == 2
    with pytest.raises(UnacceptableRequest):
        check_name(TENANT, "a tenant")


def test_pieces_hold_few_tokens_and_at_least_one_text() -> None:
    texts = [Tokens([0] * length, None, False, 0) for length in (3000, 1000, 97, 5000, 1, 1)]
    assert [[len(text) for text in piece] for piece in pieces_of(texts)] == [
        [3000, 1000],
        [97],
        [5000],
        [1, 1],
    ]


async def test_the_live_version_is_asked_the_same_in_the_order_of_the_new_labels() -> None:
    turned = (LABELS[2], LABELS[0], LABELS[1])
    batcher = HoldoutFake(labels={"sha256:live": turned})
    found = await run(batcher, route_of(labels=turned))
    assert found.live.version == 1
    assert found.live.digest == "sha256:live"
    assert found.live.probabilities is not None
    # The fake is sure of the class of the first token's number, in the order that it knows.
    expected = [LABELS.index(turned[number % 3]) for number in range(200)]
    assert found.live.probabilities.argmax(axis=1).tolist() == expected
    assert [job.brings for job in batcher.jobs if job.digest == "sha256:live"] == [None] * 4


async def test_a_live_version_with_other_labels_is_not_asked() -> None:
    batcher = HoldoutFake()
    found = await run(batcher, route_of(7, labels=("refund", "delivery", "spam", "ham")))
    assert found.live.probabilities is None
    assert found.live.version == 7
    assert found.live.reason == "version 7 has other labels: 1 are new, 2 are gone"
    assert {job.digest for job in batcher.jobs} == {"sha256:new"}


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (AdapterQuarantined("x"), "out of service"),
        (NonFiniteOutput("sha256:live"), "out of service"),
        (AdapterUnreadable("x"), "cannot be read"),
    ],
)
async def test_a_live_version_that_cannot_answer_is_not_compared(
    error: Exception, reason: str
) -> None:
    batcher = HoldoutFake(labels={"sha256:live": LABELS}, errors={"sha256:live": error})
    found = await run(batcher, route_of())
    assert found.live.probabilities is None
    assert reason in found.live.reason
    assert len(found.own.probabilities) == len(found.bare) == 200


async def test_an_adapter_that_breaks_on_a_row_is_invalid() -> None:
    with pytest.raises(InvalidAdapter) as caught:
        await run(HoldoutFake(errors={"sha256:new": NonFiniteOutput("sha256:new")}))
    (problem,) = caught.value.problems
    assert problem.where == "holdout.jsonl"
    assert "inf or NaN" in problem.what


@pytest.mark.parametrize("refusal", [QueueFull("full"), TenantLimited("limited", 30.0)])
async def test_where_there_is_no_room_the_rows_wait_and_come_in_smaller_pieces(
    refusal: Exception,
) -> None:
    batcher = HoldoutFake(refusals=[refusal] * 3)
    found = await run(batcher)
    assert found.own.probabilities.argmax(axis=1).tolist() == [n % 3 for n in range(200)]
    assert min(len(job.texts) for job in batcher.jobs) < 64
    assert sum(len(job.texts) for job in batcher.jobs) == 200


@pytest.mark.parametrize(
    "refusal", [QueueFull("full"), TenantLimited("limited", 1.0), DeadlinePassed("late")]
)
async def test_where_there_is_no_room_for_too_long_the_server_is_full(refusal: Exception) -> None:
    with pytest.raises(QueueFull, match="too busy to run the upload's hold-out"):
        await run(HoldoutFake(refusals=[refusal] * 1000), patience_s=0.12)


async def test_any_other_error_ends_it_at_once_with_nothing_left_running() -> None:
    batcher = HoldoutFake(errors={"sha256:new": EngineFailed("broken")})
    before = asyncio.all_tasks()
    with pytest.raises(EngineFailed):
        await run(batcher)
    assert batcher.running == 0
    assert asyncio.all_tasks() == before


@dataclass
class StuckFake(HoldoutFake):
    """Never answers."""

    async def _take_time(self) -> None:
        self.running += 1
        try:
            await asyncio.Event().wait()
        finally:
            self.running -= 1


async def test_an_upload_that_is_given_up_leaves_nothing_running() -> None:
    batcher = StuckFake()
    task = asyncio.ensure_future(run(batcher))
    await until(lambda: batcher.running == 2)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert batcher.running == 0


async def test_probabilities_and_embeddings_are_float32() -> None:
    found = await run(HoldoutFake())
    arrays = (found.own.probabilities, found.own.embeddings, found.bare)
    assert {array.dtype for array in arrays} == {np.dtype(np.float32)}


async def test_each_version_reads_long_rows_in_its_own_windows() -> None:
    cut: list[Windows | None] = []

    class Watched(ClassTokeniser):
        def encode(self, texts: Sequence[object]) -> list[Tokens]:
            cut.append(None)
            return super().encode(texts)

        def encode_windows(
            self, texts: Sequence[Input], wanted: Sequence[Windows | None]
        ) -> list[list[Text]]:
            cut.extend(wanted)
            return [list(super(Watched, self).encode(texts)) for _ in wanted]

    batcher = HoldoutFake(labels={"sha256:live": LABELS})
    measurer = Measurer(batcher, HoldoutTexts(Watched()), 10.0)
    live = replace(route_of(), windows=None)
    await measurer.run(ROWS, adapter_of(), live, "", Windows(4, 8))
    assert cut == [Windows(4, 8), None]
    cut.clear()
    live = replace(route_of(), windows=Windows(4, 8))
    await measurer.run(ROWS, adapter_of(), live, "", Windows(4, 8))
    assert cut == [Windows(4, 8)]
