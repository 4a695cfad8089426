"""Never the wrong tenant: 200 adapters over 16 slots while versions come, change and go.

Real graph, batcher and registry. Threads with event loops of their own ask; others publish, swap,
probe and delete; host memory holds a fraction of the adapters, so that they are evicted and
loaded again all the time. Each answer must be that of a version that was live or canary at some
moment of its request, by its digest, its labels, its head and its LoRA weights. Shadows ride along
and must be themselves; the bare backbone rides along too, is asked in between, and must be bare.
"""

import asyncio
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass, field

import numpy as np
import pytest

from service.batching import residency
from service.batching.answers import Answer
from service.batching.batcher import Batcher
from service.batching.jobs import BACKBONE, Job, Shadow
from service.batching.slots import Slot, Slots
from service.engine.adapter import Adapter, FloatArray
from service.engine.bundle import Bundle
from service.engine.forward import Forward
from service.engine.runtime import OnnxRuntime
from service.errors import NoLiveVersion, UnknownAdapter
from service.registry.registry import Registry
from tests.fakes.estate import ACTOR, Estate, Name, Version
from tests.fakes.metrics import FakeBatchMetrics

SLOTS = 16
ASKERS = 4  # threads
AT_ONCE = 12  # requests of each
HOST_ADAPTERS = 60


@dataclass(slots=True)
class Outcome:
    """What came of a run."""

    answers: int = 0
    canaries: int = 0  # of these
    shadows: int = 0  # shown
    bare: int = 0
    riding: int = 0  # texts that the bare backbone answered beside an adapter
    wrong: list[str] = field(default_factory=list)
    broken: list[BaseException] = field(default_factory=list)
    done: Counter[str] = field(default_factory=Counter)
    lock: threading.Lock = field(default_factory=threading.Lock)


class Run:
    """One run: askers until there are enough answers, changers until the askers are done."""

    def __init__(
        self,
        estate: Estate,
        wanted: int,
        spoil: Callable[[Adapter], Adapter] = lambda adapter: adapter,
    ) -> None:
        self.estate = estate
        self.wanted = wanted
        self.outcome = Outcome()
        self.metrics = FakeBatchMetrics()
        bundle = estate.bundle
        self.batcher = Batcher(
            lambda: Forward(bundle, OnnxRuntime(bundle, "cpu", SLOTS, threads=1)),
            lambda digest: spoil(estate.registry.load_adapter(digest, bundle.manifest)),
            self.metrics,
            queue_texts_max=4_096,
            queue_tokens_max=1 << 20,
            host_cache_bytes_max=HOST_ADAPTERS * 50_000,
        )
        self._over = threading.Event()

    def run(self) -> Outcome:
        asyncio.run(self._run())
        return self.outcome

    async def _run(self) -> None:
        await self.batcher.start()
        works = [*(self._asker(seed) for seed in range(ASKERS)), self._changer(0), self._changer(1)]
        threads = [threading.Thread(target=self._guarded, args=(work,)) for work in works]
        for thread in threads:
            thread.start()
        for thread in threads[:ASKERS]:
            await asyncio.to_thread(thread.join)
        self._over.set()
        for thread in threads[ASKERS:]:
            await asyncio.to_thread(thread.join)
        await self.batcher.stop(10.0)

    def _guarded(self, work: Coroutine[None, None, None]) -> None:
        try:
            asyncio.run(work)
        except BaseException as error:  # noqa: BLE001 - the test looks at it
            self.outcome.broken.append(error)

    @property
    def _enough(self) -> bool:
        outcome = self.outcome
        return outcome.answers >= self.wanted or bool(outcome.wrong or outcome.broken)

    async def _asker(self, seed: int) -> None:
        chance = random.Random(seed)
        async with asyncio.TaskGroup() as tasks:
            for _ in range(AT_ONCE):
                tasks.create_task(self._ask_on(random.Random(chance.random())))

    async def _ask_on(self, chance: random.Random) -> None:
        names = self.estate.names
        while not self._enough:
            # Some are asked for all the time and stay; most are rare, and come and go.
            few = chance.random() < 0.5
            name = names[chance.randrange(8 if few else len(names))]
            texts = [
                chance.randrange(len(self.estate.tokens)) for _ in range(chance.choice((1, 1, 3)))
            ]
            if chance.random() < 0.05:
                await self._ask_bare(texts, name)
                continue
            since = time.monotonic()
            key = None if chance.random() < 0.5 else str(chance.randrange(100))
            try:
                route = self.estate.registry.route(*name, None, key)
            except (UnknownAdapter, NoLiveVersion):
                self._count("deleted")
                await asyncio.sleep(0)
                continue
            tokens = [self.estate.tokens[i] for i in texts]
            shadows = tuple(self._shadow(name, texts, one.digest) for one in route.shadows)
            if chance.random() < 0.1:
                shadows += (self._rider(texts, [len(texts) - 1]),)
            job = Job(
                route.digest,
                tokens,
                tenant=route.tenant,
                weight=route.settings.weight,
                shadows=shadows,
            )
            answer = await self.batcher.answer(job)
            wrong = self.estate.judge(name, texts, answer, since, time.monotonic())
            if wrong is None and answer.digest != route.digest:
                wrong = f"{name} was asked of {route.digest}, answered by {answer.digest}"
            with self.outcome.lock:
                self.outcome.answers += 1
                self.outcome.canaries += route.role == "canary"
                if wrong is not None:
                    self.outcome.wrong.append(wrong)

    def _shadow(self, name: Name, texts: list[int], digest: str) -> Shadow:
        def observe(answer: Answer) -> None:
            wrong = self.estate.judge_rows(name, texts, answer)
            if wrong is None and answer.digest != digest:
                wrong = f"{name}'s shadow is {digest}, and {answer.digest} was shown"
            with self.outcome.lock:
                self.outcome.shadows += 1
                if wrong is not None:
                    self.outcome.wrong.append(f"a shadow: {wrong}")

        return Shadow(digest, observe)

    def _rider(self, texts: list[int], rows: list[int]) -> Shadow:
        def observe(answer: Answer) -> None:
            self._judge_bare([texts[row] for row in rows], answer.embeddings)
            with self.outcome.lock:
                self.outcome.riding += len(rows)

        return Shadow(BACKBONE, observe, rows=rows)

    async def _ask_bare(self, texts: list[int], name: Name) -> None:
        tokens = [self.estate.tokens[i] for i in texts]
        self._judge_bare(texts, await self.batcher.embed(tokens, tenant=name[0], weight=0.5))
        with self.outcome.lock:
            self.outcome.bare += 1

    def _judge_bare(self, texts: list[int], found: FloatArray) -> None:
        wrong = self.estate.judge_bare(texts, found)
        with self.outcome.lock:
            if wrong is not None:
                self.outcome.wrong.append(wrong)

    def _count(self, what: str) -> None:
        with self.outcome.lock:
            self.outcome.done[what] += 1

    async def _changer(self, seed: int) -> None:
        """Change half of the names each, so that every change has one author."""
        chance = random.Random(100 + seed)
        mine = self.estate.names[seed::2]
        while not self._over.is_set():
            name = mine[chance.randrange(4 if chance.random() < 0.5 else len(mine))]
            await self._change(name, chance.random())
            await asyncio.sleep(0.002)

    async def _change(self, name: Name, draw: float) -> None:
        estate, registry = self.estate, self.estate.registry
        if draw < 0.75:
            package = estate.package(name)
            await self.batcher.probe(package.adapter, estate.tokens[:2])
            if draw < 0.35:
                estate.go_canary(name, package)
                self._count("canaries")
            else:
                estate.go_live(name, package)
                self._count("published")
        elif draw < 0.9:
            self._delete_old(name)
        else:
            registry.set_rollout(*name, {"live": None}, None, ACTOR)
            estate.book.ended(name, but=[])
            registry.delete_adapter(*name, ACTOR)
            self._count("deleted adapters")
            await asyncio.sleep(0.01)
            estate.go_live(name, estate.package(name))

    def _delete_old(self, name: Name) -> None:
        registry = self.estate.registry
        rollout = registry.rollout(*name)
        used = {rollout.live, *rollout.shadows, rollout.canary and rollout.canary.version}
        for version in registry.versions(*name):
            if version.version not in used:
                registry.delete_version(*name, version.version, ACTOR)
                self.batcher.forget(version.digest)
                self._count("deleted versions")


@pytest.fixture(scope="module")
def estate(
    bundle_of: Callable[[str], Bundle], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Estate]:
    """Every name with a live version; each run changes it, and leaves it so."""
    bundle = bundle_of("bert")
    registry = Registry.open(tmp_path_factory.mktemp("estate") / "state", bundle.digest)
    made = Estate(bundle, registry)
    for name in made.names:
        made.go_live(name, made.package(name))
    yield made
    registry.close()


def check(estate: Estate, answers: int) -> None:
    run = Run(estate, answers)
    outcome = run.run()
    assert outcome.broken == []
    assert outcome.wrong == []
    assert outcome.answers >= answers
    assert run.metrics.evictions > answers / 20, "the slots were hardly ever given away"
    assert run.metrics.loads > len(estate.names), "nothing was loaded twice"
    assert max(adapters for *_, adapters in run.metrics.passes) == SLOTS
    for what in ("published", "canaries", "deleted versions", "deleted adapters"):
        assert outcome.done[what], what
    assert outcome.canaries > answers / 100, "canaries hardly ever answered"
    assert outcome.shadows > answers / 10, "shadows were hardly ever shown"
    assert outcome.bare > answers / 100, "the bare backbone was hardly ever asked"
    assert outcome.riding > answers / 50, "the bare backbone hardly ever rode along"
    assert run.metrics.shadows["failed"] == 0


def test_thousands_of_answers_are_all_of_their_own_tenants(estate: Estate) -> None:
    check(estate, 5_000)


@pytest.mark.long
def test_a_hundred_thousand_answers_are_all_of_their_own_tenants(estate: Estate) -> None:
    check(estate, 100_000)


# --- and if one were not, it would be seen -----------------------------------------------


class CarelessSlots(Slots):
    """Gives slots away that a pass still uses, and says that nothing happened."""

    def pin(self, slot: Slot) -> None:
        pass

    def unpin(self, slot: Slot) -> None:
        pass

    def is_current(self, slot: Slot) -> bool:
        return slot is not None


def test_an_allocator_that_gives_used_slots_away_is_noticed(
    estate: Estate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(residency, "Slots", CarelessSlots)
    outcome = Run(estate, 5_000).run()
    assert any("says sha256:" in wrong for wrong in outcome.wrong), outcome


class ForgetfulSlots(Slots):
    """Finds whoever had a slot once, though another has it now."""

    def __init__(self, count: int) -> None:
        super().__init__(count)
        self._once: dict[str, Slot] = {}

    def allocate(self, digest: str) -> tuple[Slot, str | None]:
        slot, _ = super().allocate(digest)
        self._once[digest] = slot
        return slot, None  # whoever left is not told

    def find(self, digest: str) -> Slot | None:
        return super().find(digest) or self._once.get(digest)

    def pin(self, slot: Slot) -> None:
        pass

    def unpin(self, slot: Slot) -> None:
        pass

    def is_current(self, slot: Slot) -> bool:
        return slot is not None


def test_a_stale_slot_is_noticed(estate: Estate, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(residency, "Slots", ForgetfulSlots)
    outcome = Run(estate, 5_000).run()
    assert any("says sha256:" in wrong for wrong in outcome.wrong), outcome


def test_adapters_without_their_lora_weights_are_noticed(estate: Estate) -> None:
    def stripped(adapter: Adapter) -> Adapter:
        return Adapter(adapter.digest, 0, {}, adapter.head, adapter.labels)

    outcome = Run(estate, 5_000, stripped).run()
    assert any("the bare backbone answered" in wrong for wrong in outcome.wrong), outcome


def test_a_version_that_was_not_live_is_noticed(estate: Estate) -> None:
    name = estate.names[0]
    digest = estate.registry.route(*name, None).digest
    since = time.monotonic()
    assert estate.book.was_live(name, digest, since, time.monotonic())
    estate.go_live(name, estate.package(name))
    later = time.monotonic()
    assert estate.book.was_live(name, digest, since, later)
    assert not estate.book.was_live(name, digest, later, time.monotonic())
    assert not estate.book.was_live(estate.names[1], digest, since, later)


def test_a_shadow_that_is_another_is_noticed(estate: Estate) -> None:
    run = Run(estate, 0)
    name = estate.names[0]
    (one, first), (other, second) = list(estate.versions.items())[:2]

    def answer(digest: str, made_by: Version) -> Answer:
        rows = (np.stack(made_by.probabilities[:1]), np.stack(made_by.embeddings[:1]))
        return Answer(digest, estate.versions[digest].labels, *rows, 0.0, 0.0)

    shadow = run._shadow(name, [0], one)
    shadow.observe(answer(one, first))
    assert run.outcome.wrong == []
    shadow.observe(answer(other, second))
    assert "was shown" in run.outcome.wrong[-1]
    shadow.observe(answer(one, second))
    assert f"says {one}, {other} answered" in run.outcome.wrong[-1]


def test_embeddings_that_are_not_bare_are_noticed(estate: Estate) -> None:
    version = next(iter(estate.versions.values()))
    wrong = estate.judge_bare([2], np.stack(version.embeddings[2:3]))
    assert wrong is not None
    assert "the bare backbone was asked" in wrong
