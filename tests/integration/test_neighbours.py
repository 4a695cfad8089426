"""An answer is the same alone and beside anyone, for each family, provider and precision.

Neighbours may be other texts, other adapters, the largest weights that an upload may have, larger
ones that no validation would pass, and inf or NaN lying in another slot of the bank.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pytest

from service.batching.answers import Answer
from service.batching.batcher import Batcher
from service.batching.jobs import Job
from service.engine import forward as forward_module
from service.engine.adapter import Adapter, FloatArray
from service.engine.bundle import Bundle
from service.engine.errors import NonFiniteOutput, ProviderUnavailable
from service.engine.feed import Feed, make_feed
from service.engine.forward import Answered, Forward, Member
from service.engine.packing import Plan, Shape, plan
from service.engine.providers import PROVIDERS, runnable
from service.engine.runtime import OnnxRuntime
from service.engine.tokens import Tokeniser, Tokens
from service.errors import AdapterQuarantined
from tests.fakes.adapters import adapter_of
from tests.fakes.adversaries import broken, loud, reader
from tests.fakes.checkpoints import FAMILIES
from tests.fakes.metrics import FakeBatchMetrics

# In bf16 a sum that differs in its last float32 bit, because the pass has another shape, can round
# to the next bf16 value (2^-8 away), seldom, with whomever it shares the pass.
TOLERANCE = {"fp32": 1e-5, "bf16": 2e-2}
SLOTS = 8
WORDS = ["please", "send", "the", "parcel", "back", "before", "friday", "my", "card", "was"]


def runs_here(provider: str) -> bool:
    try:
        PROVIDERS[provider].find()
    except ProviderUnavailable:
        return False
    return True


@dataclass(frozen=True, slots=True)
class Estate:
    """One graph on one provider, and another instance of it where every text is alone."""

    bundle: Bundle
    forward: Forward
    quiet: Forward
    tokeniser: Tokeniser

    @property
    def tolerance(self) -> float:
        """Return how far a text's answers may lie apart for reasons of its own."""
        return TOLERANCE[self.forward.runtime.precision]

    def texts(self, count: int, seed: int) -> list[Tokens]:
        random = np.random.default_rng(seed)
        lengths = random.choice([1, 2, 3, 5, 7, 9], count)
        return self.tokeniser.encode([" ".join(random.choice(WORDS, n)) for n in lengths])

    def adapters(self, count: int, seed: int = 0) -> list[Adapter]:
        ranks = (8, 1, 16, 3)
        return [
            adapter_of(
                self.bundle.manifest, f"tenant {i}", rank=ranks[i % 4], labels=2 + i, seed=seed + i
            )
            for i in range(count)
        ]

    def seat(self, adapters: Sequence[Adapter]) -> list[Member]:
        runtime = self.forward.runtime
        return [Member(a, runtime.write(slot, a)) for slot, a in enumerate(adapters, 1)]

    def alone(self, adapter: Adapter, text: Tokens) -> tuple[FloatArray, FloatArray]:
        """Return probabilities and embedding from a pass and a bank without anybody else."""
        member = Member(adapter, self.quiet.runtime.write(1, adapter))
        planned = plan([len(text)], [0], self.quiet.runtime.grid, 1)
        answered = self.quiet.run(planned, [text], [0], [member])
        row = answered.probabilities[0]
        assert row is not None
        return row, answered.embeddings[0]

    def together(
        self, texts: Sequence[Tokens], numbers: Sequence[int], members: Sequence[Member]
    ) -> Answered:
        """Answer all texts in one pass."""
        planned = plan([len(t) for t in texts], numbers, self.forward.runtime.grid, SLOTS)
        answered = self.forward.run(planned, texts, numbers, members)
        assert sorted(answered.indices) == list(range(len(texts)))
        return answered

    def assert_same_as_alone(
        self,
        answered: Answered,
        texts: Sequence[Tokens],
        numbers: Sequence[int],
        members: Sequence[Member],
        excused: Sequence[int] = (),
    ) -> None:
        """Compare every text but those of the `excused` members with its answer alone."""
        for at, index in enumerate(answered.indices):
            if numbers[index] in excused:
                continue
            found = answered.probabilities[at]
            adapter = members[numbers[index]].adapter
            assert adapter is not None
            row, embedding = self.alone(adapter, texts[index])
            assert found is not None
            assert np.abs(found - row).max() <= self.tolerance
            scale = np.abs(embedding).max()
            assert np.abs(answered.embeddings[at] - embedding).max() <= self.tolerance * scale


@pytest.fixture(
    scope="module",
    params=[(f, p) for f in FAMILIES for p in PROVIDERS if runs_here(p)],
    ids="-".join,
)
def estates(request: pytest.FixtureRequest, bundle_of: Callable[[str], Bundle]) -> list[Estate]:
    """One estate for each precision of the family's bundle."""
    family, provider = request.param
    bundle = bundle_of(family)
    made = []
    for variant in bundle.manifest.variants:
        if (variant, provider) not in runnable(bundle):
            continue
        shared = OnnxRuntime(bundle, provider, SLOTS, threads=1, variant=variant)
        single = OnnxRuntime(bundle, provider, 1, threads=1, variant=variant)
        made.append(
            Estate(bundle, Forward(bundle, shared), Forward(bundle, single), Tokeniser(bundle))
        )
    return made


def test_beside_other_texts_and_adapters(estates: list[Estate]) -> None:
    for estate in estates:
        members = estate.seat(estate.adapters(SLOTS))
        for seed in range(4):
            texts = estate.texts(20, seed)
            numbers = [int(n) for n in np.random.default_rng(seed).integers(0, SLOTS, 20)]
            answered = estate.together(texts, numbers, members)
            assert answered.reruns == 0
            estate.assert_same_as_alone(answered, texts, numbers, members)


def test_an_answer_does_not_move_by_one_bit_when_its_neighbours_change(
    estates: list[Estate],
) -> None:
    for estate in estates:
        manifest = estate.bundle.manifest
        mine, *_ = estate.adapters(1)
        others = [adapter_of(manifest, f"other {i}", rank=4, seed=i) for i in range(3)]
        planned = Plan(Shape(1, 64), ((1, 0, 2),))
        seen = []
        for seed, other in enumerate([*others, loud(manifest, "other 3")]):
            members = estate.seat([mine, other])
            random = np.random.default_rng(seed)
            texts = [Tokens(random.integers(5, 200, 17).tolist(), None, False, 0) for _ in range(3)]
            texts[0] = Tokens(list(range(5, 25)), None, False, 0)
            answered = estate.forward.run(planned, texts, [0, 1, 1], members)
            assert answered.reruns == 0
            at = answered.indices.index(0)
            row = answered.probabilities[at]
            assert row is not None
            seen.append(np.concatenate([row, answered.embeddings[at]]))
        assert all((bits == seen[0]).all() for bits in seen)


@pytest.mark.parametrize("make", [loud, reader])
@pytest.mark.parametrize("exponent", [2, 4, 6, 9, 12, 19, 30, 38])
def test_beside_finite_weights_of_any_size(
    estates: list[Estate], make: Callable[..., Adapter], exponent: int
) -> None:
    for estate in estates:
        bad = make(estate.bundle.manifest, "bad", float(f"1e{exponent}"))
        members = estate.seat([*estate.adapters(3), bad])
        texts = estate.texts(16, exponent)
        numbers = [i % 4 for i in range(16)]
        answered = estate.together(texts, numbers, members)
        estate.assert_same_as_alone(answered, texts, numbers, members, excused=[3])
        assert answered.poisonous <= {bad.digest}
        if exponent <= 4:  # what an upload may have: nothing breaks
            assert answered.reruns == 0
        if exponent >= 12:
            assert answered.poisonous == {bad.digest}


@pytest.mark.parametrize("make", [loud, reader])
def test_whoever_has_huge_weights_cannot_see_its_neighbours(
    estates: list[Estate], make: Callable[..., Adapter]
) -> None:
    """The neighbours change, the places do not: the answer must be the same to the last bit."""
    for estate in estates:
        bad = make(estate.bundle.manifest, "bad")
        members = estate.seat([bad, *estate.adapters(1)])
        for length in (1, 2, 7):
            mine = Tokens([5] * length, None, False, 0)
            seen = []
            for seed in range(4):
                random = np.random.default_rng(seed)
                other = Tokens(random.integers(5, 200, 20).tolist(), None, False, 0)
                planned = Plan(Shape(1, 64), ((0, 1),))
                answered = estate.forward.run(planned, [mine, other], [0, 1], members)
                assert answered.reruns == 0
                seen.append(answered.embeddings[0].copy())
            assert all((embedding == seen[0]).all() for embedding in seen)


@pytest.mark.parametrize("side", [0, 1], ids=["A", "B"])
@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan])
def test_beside_inf_and_nan_in_the_bank(estates: list[Estate], side: int, value: float) -> None:
    for estate in estates:
        bad = broken(estate.bundle.manifest, "bad", side, value)
        members = estate.seat([*estate.adapters(3), bad])
        texts = estate.texts(12, side)
        numbers = [i % 4 for i in range(12)]
        answered = estate.together(texts, numbers, members)
        assert answered.poisonous == {bad.digest}
        estate.assert_same_as_alone(answered, texts, numbers, members, excused=[3])
        lost = [
            numbers[i]
            for i, row in zip(answered.indices, answered.probabilities, strict=True)
            if row is None
        ]
        assert set(lost) == {3}


def test_inf_and_nan_in_a_slot_that_takes_no_part_cost_nothing(estates: list[Estate]) -> None:
    for estate in estates:
        bad = broken(estate.bundle.manifest, "bad", 1, np.nan)
        members = estate.seat([*estate.adapters(3), bad])
        texts = estate.texts(12, 1)
        numbers = [i % 3 for i in range(12)]
        answered = estate.together(texts, numbers, members)
        assert answered.reruns == 0
        estate.assert_same_as_alone(answered, texts, numbers, members)


def test_a_slot_that_held_nan_is_clean_for_its_next_adapter(estates: list[Estate]) -> None:
    for estate in estates:
        manifest = estate.bundle.manifest
        estate.seat([broken(manifest, "bad", side, np.nan) for side in (0, 1)])
        members = estate.seat(estate.adapters(2))
        texts = estate.texts(8, 3)
        numbers = [i % 2 for i in range(8)]
        answered = estate.together(texts, numbers, members)
        assert answered.reruns == 0
        estate.assert_same_as_alone(answered, texts, numbers, members)


def test_the_batcher_names_who_poisons_and_answers_its_neighbours(estates: list[Estate]) -> None:
    for estate in estates:
        good = estate.adapters(3)
        bad = broken(estate.bundle.manifest, "bad", 1, np.inf)
        store = {adapter.digest: adapter for adapter in [*good, bad]}
        named: list[str] = []
        batcher = Batcher(
            lambda forward=estate.forward: forward,  # type: ignore[misc]
            store.__getitem__,
            FakeBatchMetrics(),
            queue_texts_max=1000,
            queue_tokens_max=100_000,
            host_cache_bytes_max=1 << 30,
            on_quarantine=named.append,
        )
        texts = estate.texts(6, 9)
        done = asyncio.run(ask_all(batcher, [*good, bad], texts))
        assert named == [bad.digest]
        for adapter, results in zip([*good, bad], done, strict=True):
            for text, result in zip(texts, results, strict=True):
                if adapter is bad:
                    assert isinstance(result, NonFiniteOutput | AdapterQuarantined)
                    continue
                assert isinstance(result, Answer)
                assert result.digest == adapter.digest
                row, _ = estate.alone(adapter, text)
                assert np.abs(result.probabilities[0] - row).max() <= estate.tolerance


async def ask_all(
    batcher: Batcher, adapters: Sequence[Adapter], texts: Sequence[Tokens]
) -> list[list[Answer | BaseException]]:
    """Ask every adapter every text, all at once; return what each answered or raised."""
    await batcher.start()
    jobs = [batcher.answer(Job(a.digest, [text])) for text in texts for a in adapters]
    flat = await asyncio.gather(*jobs, return_exceptions=True)
    with pytest.raises(AdapterQuarantined):
        await batcher.answer(Job(adapters[-1].digest, texts[:1]))
    await batcher.stop(10.0)
    return [list(flat[i :: len(adapters)]) for i in range(len(adapters))]


# --- the checks above notice a leak ------------------------------------------------------


def merged(feed: Feed) -> Feed:
    """Let the first two texts of a feed see each other."""
    return replace(feed, texts=np.where(feed.texts == 1, 0, feed.texts))


def swapped(feed: Feed) -> Feed:
    """Give the first two adapters of a feed each other's columns."""
    owners = feed.owners.copy()
    owners[feed.owners == 0] = 1
    owners[feed.owners == 1] = 0
    return replace(feed, owners=owners)


@pytest.mark.parametrize("leak", [merged, swapped])
def test_a_leak_would_be_noticed(
    estates: list[Estate], leak: Callable[[Feed], Feed], monkeypatch: pytest.MonkeyPatch
) -> None:
    for estate in estates:
        members = estate.seat(estate.adapters(2))
        texts = estate.texts(6, 2)
        numbers = [0, 1] * 3
        with monkeypatch.context() as patch:
            patch.setattr(forward_module, "make_feed", lambda *given: leak(make_feed(*given)))
            answered = estate.together(texts, numbers, members)
        with pytest.raises(AssertionError):
            estate.assert_same_as_alone(answered, texts, numbers, members)
