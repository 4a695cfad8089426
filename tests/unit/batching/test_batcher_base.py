"""The bare backbone beside an adapter: some of a job's texts, in the same pass, felt by nobody."""

import asyncio
import random
import threading
import time
from collections import Counter
from collections.abc import Sequence

import pytest

from service.batching.answers import Answer
from service.batching.jobs import BACKBONE, Job, Shadow
from service.engine.errors import TenantryError
from service.engine.tokens import Tokens
from service.errors import DeadlinePassed
from tests.fakes.adapters import digest_of
from tests.fakes.rig import SOON_S, Rig, serve, until
from tests.fakes.runtime import answer_alone, poisonous_adapter, text_of


class Ended(list[Answer | None]):
    """How shadows ended: what was observed, None where one was missed."""

    def of(self, *rows: int, digest: str = BACKBONE) -> Shadow:
        return Shadow(digest, self.append, lambda: self.append(None), rows or None)


def check_bare(answer: Answer | None, texts: Sequence[Tokens]) -> None:
    assert answer is not None
    assert answer.digest == BACKBONE
    assert answer.probabilities.shape == (len(texts), 0)
    for text, embedding in zip(texts, answer.embeddings, strict=True):
        assert (embedding == answer_alone(None, text)[1]).all()


def test_some_texts_are_embedded_by_the_bare_backbone_in_the_same_pass() -> None:
    rig, ended = Rig(), Ended()
    rig.put("live")
    texts = [text_of(1, 2), text_of(3), text_of(4, 5, 6), text_of(7)]

    async def work(r: Rig) -> None:
        await r.ask("live")
        r.metrics.passes.clear()
        await r.ask("live", *texts, shadows=[ended.of(1, 2)])
        await until(lambda: len(ended) == 1)

    serve(rig, work)
    check_bare(ended[0], [texts[1], texts[2]])
    assert [(texts, adapters) for texts, _, _, adapters in rig.metrics.passes] == [(6, 1)]
    assert rig.metrics.bases == {"answered": 2}
    assert rig.metrics.shadows == {}


def test_it_rides_beside_a_shadow_version_too() -> None:
    rig, ended = Rig(), Ended()
    rig.put("live", "new")
    texts = [text_of(1, 2), text_of(3)]

    async def work(r: Rig) -> None:
        await asyncio.gather(r.ask("live"), r.ask("new"))
        new = ended.of(digest=digest_of("new"))
        await r.ask("live", *texts, shadows=[new, ended.of(0)])
        await until(lambda: len(ended) == 2)

    serve(rig, work)
    [new, bare] = sorted(ended, key=lambda answer: answer is None or answer.digest == BACKBONE)
    assert new is not None
    rig.check(new, texts)
    check_bare(bare, texts[:1])
    assert (rig.metrics.shadows, rig.metrics.bases) == ({"answered": 2}, {"answered": 1})


def test_the_caller_has_its_answer_before_the_end_is_told() -> None:
    rig = Rig()
    rig.put("live")
    order: list[str] = []

    async def work(r: Rig) -> None:
        shadow = Shadow(BACKBONE, lambda _: order.append("base"), rows=[0])
        await r.batcher.answer(Job(digest_of("live"), [text_of(1)], shadows=(shadow,)))
        order.append("caller")
        await until(lambda: len(order) == 2)

    serve(rig, work)
    assert order == ["caller", "base"]


def test_without_room_it_is_missed_at_once_and_the_caller_answered() -> None:
    rig, ended = Rig(texts_max=3, tenant_ratio=100.0), Ended()
    rig.put("live")

    async def work(r: Rig) -> None:
        texts = [text_of(1), text_of(2), text_of(3)]
        await r.ask("live", *texts, shadows=[ended.of(0)])
        await until(lambda: len(ended) == 1)

    serve(rig, work)
    assert ended == [None]
    assert rig.metrics.bases == {"dropped": 1}


def test_it_is_missed_when_a_caller_needs_its_place() -> None:
    rig, ended = Rig(texts_max=3, tenant_ratio=100.0), Ended()
    rig.put("live")

    async def work(r: Rig) -> None:
        await r.ask("live")
        with r.runtime.held():
            running = asyncio.ensure_future(r.ask("live"))
            await r.passing()
            first = asyncio.ensure_future(r.ask("live", shadows=[ended.of(0)]))
            await until(lambda: r.batcher.status().queue_texts == 2)
            second = asyncio.ensure_future(r.ask("live", text_of(1), text_of(2)))
            await until(lambda: len(ended) == 1)
        await asyncio.gather(running, first, second)

    serve(rig, work)
    assert ended == [None]


def test_of_a_caller_that_leaves_it_is_missed() -> None:
    rig, ended = Rig(), Ended()
    rig.put("cold")
    rig.slow[digest_of("cold")] = threading.Event()

    async def work(r: Rig) -> None:
        late = time.monotonic() + 0.05
        with pytest.raises(DeadlinePassed):  # after the bare backbone has answered
            await r.ask("cold", deadline_s=late, shadows=[ended.of(0)])
        leaving = asyncio.ensure_future(r.ask("cold", shadows=[ended.of(0)]))
        await asyncio.sleep(0.01)
        leaving.cancel()
        await until(lambda: len(ended) == 2)
        r.slow[digest_of("cold")].set()

    serve(rig, work)
    assert ended == [None, None]
    assert rig.metrics.bases == {"dropped": 2}


def test_in_a_pass_that_fails_it_is_missed() -> None:
    rig, ended = Rig(), Ended()
    rig.put("live")

    async def work(r: Rig) -> None:
        await r.ask("live")
        r.runtime.failures += [RuntimeError("out of memory")]
        with pytest.raises(RuntimeError):
            await r.ask("live", shadows=[ended.of(0)])
        await until(lambda: len(ended) == 1)

    serve(rig, work)
    assert ended == [None]
    assert rig.metrics.bases == {"failed": 1}


def test_beside_a_poisonous_neighbour_it_is_still_bare() -> None:
    rig, ended = Rig(), Ended()
    poison = poisonous_adapter("poison")
    rig.put("live", poison)
    texts = [text_of(1, 2), text_of(3)]

    async def work(r: Rig) -> None:
        await r.ask("live")
        r.batcher._cache.put(poison)
        await r.ask("live", *texts, shadows=[ended.of(0, 1), ended.of(digest=digest_of("poison"))])
        await until(lambda: len(ended) == 2)
        await r.ask("live", shadows=[ended.of(digest=digest_of("poison"))])
        await until(lambda: len(ended) == 3)

    serve(rig, work)
    [bare] = [answer for answer in ended if answer is not None]
    check_bare(bare, texts)
    assert rig.metrics.shadows == {"failed": 3}, "one of them because it is quarantined by then"


def test_a_draining_server_misses_what_has_not_run() -> None:
    rig, ended = Rig(), Ended()
    rig.put("live")

    async def run() -> None:
        await rig.batcher.start()
        await rig.ask("live")
        with rig.runtime.held():
            running = asyncio.ensure_future(rig.ask("live"))
            await rig.passing()
            asked = asyncio.ensure_future(rig.ask("live", shadows=[ended.of(0)]))
            await until(lambda: rig.batcher.status().queue_texts == 2)
            stopping = asyncio.ensure_future(rig.batcher.stop(SOON_S))
            await until(lambda: len(ended) == 1)
        await asyncio.gather(running, asked, stopping)

    asyncio.run(run())
    assert ended == [None]


def test_whatever_happens_each_shadow_ends_once_and_that_of_an_answered_caller_always() -> None:
    """Callers that leave, deadlines, a queue that overflows, passes that fail, and a drain."""
    chance = random.Random(7)
    rig = Rig(texts_max=12, tenant_ratio=2.0)
    rig.put("a", "b", "c", "new")
    ends: Counter[str] = Counter()
    answered: list[str] = []
    unanswered: Counter[str] = Counter()

    def shadow(name: str, digest: str, rows: list[int] | None = None) -> Shadow:
        def end(_: Answer | None = None) -> None:
            ends[name] += 1

        return Shadow(digest, end, end, rows)

    async def ask(r: Rig, number: int) -> None:
        texts = [text_of(*range(chance.randint(1, 5))) for _ in range(chance.randint(1, 3))]
        rows = sorted(chance.sample(range(len(texts)), chance.randint(1, len(texts))))
        names = [f"{number} bare", f"{number} new"][: chance.choice([1, 1, 2])]
        shadows = [shadow(names[0], BACKBONE, rows)]
        shadows += [shadow(name, digest_of("new")) for name in names[1:]]
        if chance.random() < 0.02:
            r.runtime.failures.append(RuntimeError("out of memory"))
        late = time.monotonic() + chance.choice([0.001, 0.01, SOON_S])
        asking = asyncio.ensure_future(
            r.ask(
                chance.choice("abc"),
                *texts,
                tenant=chance.choice("xyz"),
                deadline_s=late,
                shadows=shadows,
            )
        )
        if chance.random() < 0.2:
            await asyncio.sleep(chance.choice([0.0, 0.002]))
            asking.cancel()
        try:
            await asking
            answered.extend(names)
        except (TenantryError, RuntimeError, asyncio.CancelledError) as error:
            unanswered[type(error).__name__] += 1

    async def run() -> None:
        await rig.batcher.start()
        for start in range(0, 400, 20):
            await asyncio.gather(*(ask(rig, start + i) for i in range(20)))
        asking = [asyncio.ensure_future(ask(rig, 400 + i)) for i in range(20)]
        await asyncio.sleep(0)
        await rig.batcher.stop(SOON_S)
        await asyncio.gather(*asking)

    asyncio.run(run())
    assert len(answered) > 50
    assert unanswered.keys() & {"QueueFull", "TenantLimited"}
    assert unanswered.keys() >= {"DeadlinePassed", "RuntimeError", "CancelledError"}
    assert {name: ends[name] for name in answered} == dict.fromkeys(answered, 1)
    assert set(ends.values()) == {1}
    assert not rig.batcher._callers._observers
