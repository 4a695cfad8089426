"""Windows of long texts: through any passes, one answer each, and nothing else changes."""

import asyncio
from functools import partial

import numpy as np
import pytest

from service.batching.answers import Answer
from service.batching.jobs import BACKBONE, Job, Shadow
from service.engine.adapter import Adapter
from service.engine.errors import NonFiniteOutput
from service.engine.tokens import Text
from service.errors import AdapterQuarantined, QueueFull
from tests.fakes.adapters import digest_of
from tests.fakes.rig import Rig, serve, until
from tests.fakes.runtime import (
    answer_alone,
    poisonous_adapter,
    text_of,
    whole_adapter,
    windowed_of,
)

LONG = windowed_of((1, 2, 3, 4), (3, 4, 5, 6), (5, 6, 7))
LONGER = windowed_of(*((n, n + 1, n + 2) for n in range(1, 40)))


def test_a_long_text_is_answered_by_the_mean_of_its_windows() -> None:
    rig = Rig()
    rig.put("a")

    async def work(r: Rig) -> None:
        answer = await r.ask("a", LONG)  # the rig compares with a loop
        assert answer.probabilities.shape == (1, 3)

    serve(rig, work)


def test_long_and_short_texts_of_one_job_come_back_in_their_order() -> None:
    rig = Rig()
    rig.put("a", "b")
    texts: list[Text] = [text_of(9, 8), LONG, text_of(1), LONGER, text_of(3, 1, 4)]

    async def work(r: Rig) -> None:
        await asyncio.gather(*(r.ask(name, *texts) for name in "abab"))

    serve(rig, work)


def test_windows_of_one_text_may_take_different_passes() -> None:
    rig = Rig()
    rig.put("a")
    wide = windowed_of(*(tuple(range(n, n + 60)) for n in range(1, 13)))

    async def work(r: Rig) -> None:
        answer = await r.ask("a", wide, text_of(5))
        assert len(r.runtime.feeds) > 3
        assert answer.compute_s > 0

    serve(rig, work)


def test_the_bare_backbone_embeds_long_texts_too() -> None:
    rig = Rig()

    async def work(r: Rig) -> None:
        (found,) = await r.batcher.embed([LONG])
        parts = [answer_alone(None, window)[1] for window in LONG.windows]
        weights = np.array([4, 4, 3], dtype=np.float32) / 11
        assert found == pytest.approx(weights @ np.stack(parts), rel=1e-6)

    serve(rig, work)


def test_a_shadow_may_cut_the_same_text_in_its_own_way() -> None:
    rig = Rig()
    rig.put("live", "new", "plain")
    texts: list[Text] = [text_of(1, 2), LONG, text_of(7)]
    others: dict[str, list[Text]] = {
        "new": [text_of(1, 2), windowed_of(*((n,) for n in range(1, 8))), text_of(7)],
        "plain": [text_of(1, 2), text_of(1, 2, 3, 4), text_of(7)],
    }
    seen: dict[str, Answer] = {}

    async def work(r: Rig) -> None:
        await asyncio.gather(*(r.ask(name) for name in ("live", "new", "plain")))
        shadows = [
            Shadow(digest_of(name), partial(seen.__setitem__, name), texts=own)
            for name, own in others.items()
        ]
        await r.ask("live", *texts, shadows=shadows)
        await until(lambda: len(seen) == 2)

    serve(rig, work)
    for name, own in others.items():
        rig.check(seen[name], own)


def test_a_shadow_of_some_texts_takes_their_windows() -> None:
    rig = Rig()
    rig.put("live")
    seen: list[Answer] = []

    async def work(r: Rig) -> None:
        shadow = Shadow(BACKBONE, seen.append, rows=[1])
        await r.ask("live", text_of(1), LONG, text_of(2), shadows=[shadow])
        await until(lambda: len(seen) == 1)

    serve(rig, work)
    assert seen[0].embeddings.shape[0] == 1


def test_every_window_counts_in_the_queue() -> None:
    rig = Rig(texts_max=10)
    rig.put("a")

    async def work(r: Rig) -> None:
        await r.ask("a")
        with r.runtime.held():
            running = asyncio.ensure_future(r.ask("a"))
            await r.passing()
            waiting = asyncio.ensure_future(r.ask("a", LONG, text_of(1), text_of(2)))
            await until(lambda: r.batcher.status().queue_texts == 5)
            assert r.batcher.status().queue_tokens == len(LONG) + 2
            with pytest.raises(QueueFull):
                await r.ask("a", LONG, LONG, tenant="other")
        await asyncio.gather(running, waiting)

    serve(rig, work)


def test_a_caller_who_leaves_takes_all_windows_along() -> None:
    rig = Rig()
    rig.put("a")

    async def work(r: Rig) -> None:
        await r.ask("a")
        with r.runtime.held():
            running = asyncio.ensure_future(r.ask("a"))
            await r.passing()
            leaving = asyncio.ensure_future(r.ask("a", LONGER))
            await until(lambda: r.batcher.status().queue_texts == len(LONGER.windows))
            leaving.cancel()
            await until(lambda: r.batcher.status().queue_texts == 0)
        await running

    serve(rig, work)


def test_a_window_that_poisons_is_named_and_its_neighbours_are_right() -> None:
    rig = Rig()
    poison = poisonous_adapter("poison")
    rig.put("a", poison)
    rig.batcher._cache.put(poison)

    async def work(r: Rig) -> None:
        await r.ask("a")
        with r.runtime.held():
            first = asyncio.ensure_future(r.ask("a"))
            await r.passing()
            jobs = [asyncio.ensure_future(r.ask(n, LONG)) for n in ("a", "poison", "a")]
            await until(lambda: r.batcher.status().queue_texts == 9)
        done = await asyncio.gather(first, *jobs, return_exceptions=True)
        assert [isinstance(one, Answer) for one in done] == [True, True, False, True]
        assert isinstance(done[2], NonFiniteOutput)
        with pytest.raises(AdapterQuarantined):
            await r.ask("poison")

    serve(rig, work)
    assert rig.quarantined == [poison.digest]


def test_a_head_that_breaks_on_the_mean_of_finite_windows_is_named() -> None:
    rig = Rig()
    whole = whole_adapter("vast")
    head = {name: np.full_like(tensor, 3e38) for name, tensor in whole.head.items()}
    vast = Adapter(whole.digest, whole.rank, whole.deltas, head, whole.labels)
    rig.put("a", vast)

    async def work(r: Rig) -> None:
        with pytest.raises(NonFiniteOutput, match=vast.digest):
            await r.batcher.answer(Job(vast.digest, [text_of(1), LONG]))
        with pytest.raises(AdapterQuarantined):
            await r.batcher.answer(Job(vast.digest, [LONG]))
        await r.ask("a", LONG)

    serve(rig, work)
    assert rig.quarantined == [vast.digest]


def test_a_long_text_does_not_keep_another_tenant_out() -> None:
    rig = Rig()
    rig.put("a", "b")
    order: list[str] = []

    async def work(r: Rig) -> None:
        await asyncio.gather(r.ask("a"), r.ask("b"))
        wide = windowed_of(*(tuple(range(n, n + 60)) for n in range(1, 33)))

        async def ask(name: str, text: Text) -> None:
            await r.ask(name, text, tenant=name)
            order.append(name)

        with r.runtime.held():
            running = asyncio.ensure_future(r.ask("a"))
            await r.passing()
            greedy = asyncio.ensure_future(ask("a", wide))
            await until(lambda: r.batcher.status().queue_texts == len(wide.windows))
            modest = asyncio.ensure_future(ask("b", text_of(1, 2)))
            await until(lambda: r.batcher.status().queue_texts == len(wide.windows) + 1)
        await asyncio.gather(running, greedy, modest)

    serve(rig, work)
    assert order == ["b", "a"]
