"""Every execution provider that runs here, on a real graph."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from service.engine.adapter import FloatArray
from service.engine.bundle import Bundle
from service.engine.errors import InvalidBundle, ProviderUnavailable
from service.engine.feed import Feed, make_feed
from service.engine.forward import Forward, Member
from service.engine.packing import plan
from service.engine.providers import PROVIDERS
from service.engine.runtime import OnnxRuntime
from service.engine.selection import AUTO, choose
from service.engine.tokens import Tokens
from tests.fakes.adapters import adapter_of
from tests.fakes.answering import answer_all
from tests.fakes.checkpoints import FAMILIES

# Of the embedding, against fp32 on the CPU provider; the tiny models' weights are large.
AWAY = {"fp32": 1e-5, "bf16": 0.1}


def providers() -> list[str]:
    found = []
    for name, provider in PROVIDERS.items():
        try:
            provider.find()
        except ProviderUnavailable:
            continue
        found.append(name)
    return found


def texts_of(count: int, longest: int) -> list[Tokens]:
    random = np.random.default_rng(count)
    lengths = random.integers(1, longest, count)
    return [Tokens(random.integers(5, 200, n).tolist(), None, False, 0) for n in lengths]


def ask(runtime: OnnxRuntime, bundle: Bundle, texts: list[Tokens]) -> FloatArray:
    """Return the embeddings [texts, hidden] by four adapters in turn."""
    adapters = [adapter_of(bundle.manifest, f"{i}", rank=4 * i, seed=i) for i in range(4)]
    members = [Member(a, runtime.write(slot, a)) for slot, a in enumerate(adapters, 1)]
    numbers = [i % 4 for i in range(len(texts))]
    found = answer_all(Forward(bundle, runtime), texts, numbers, members)
    return np.stack([embedding for _, embedding in found])


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("provider", providers())
def test_a_provider_answers_as_the_cpu_does_in_fp32(
    provider: str, family: str, bundle_of: Callable[[str], Bundle]
) -> None:
    bundle = bundle_of(family)
    texts = texts_of(40, 60)
    measure = ask(OnnxRuntime(bundle, "cpu", 4, threads=1), bundle, texts)
    runtime = OnnxRuntime(bundle, provider, 4, threads=1)
    found = ask(runtime, bundle, texts)
    away = np.abs(found - measure).max(axis=1) / np.abs(measure).max(axis=1)
    assert away.max() <= AWAY[runtime.precision]
    assert np.median(away) <= AWAY[runtime.precision] / 3


@pytest.mark.parametrize("provider", providers())
def test_texts_of_every_length_are_answered(
    provider: str, bundle_of: Callable[[str], Bundle]
) -> None:
    bundle = bundle_of("bert")
    runtime = OnnxRuntime(bundle, provider, 4, threads=1)
    longest = bundle.manifest.max_length
    assert runtime.grid.longest == longest
    found = ask(
        runtime, bundle, [Tokens([7] * n, None, False, 0) for n in (1, 16, 17, 128, 129, longest)]
    )
    assert np.isfinite(found).all()


@pytest.mark.parametrize("provider", providers())
def test_warming_runs_every_shape_and_says_how_far_it_is(
    provider: str, bundle_of: Callable[[str], Bundle]
) -> None:
    runtime = OnnxRuntime(bundle_of("bert"), provider, 4, threads=1)
    steps: list[tuple[int, int]] = []
    runtime.warm(lambda done, of: steps.append((done, of)))
    assert len(steps) >= len(runtime.grid.shapes)
    assert steps == [(n, len(steps)) for n in range(1, len(steps) + 1)]


@pytest.mark.parametrize("provider", providers())
def test_the_shapes_that_are_warmed_are_those_that_passes_have(
    provider: str, bundle_of: Callable[[str], Bundle]
) -> None:
    bundle = bundle_of("bert")
    runtime = OnnxRuntime(bundle, provider, 1, threads=1)
    lease = runtime.write(1, adapter_of(bundle.manifest, "a", rank=1))
    for shape in runtime.grid.shapes:
        blank = runtime.blank(shape, runtime.layout.columns(1))
        texts = [Tokens([5] * shape.tokens, None, False, 0)] * shape.rows
        planned = plan([shape.tokens] * shape.rows, [0] * shape.rows, runtime.grid, 1)
        assert planned.shape == shape
        feed = make_feed(planned, texts, [0] * shape.rows, [lease], 0, runtime.layout)
        assert isinstance(blank, Feed)
        assert feed.columns.shape == blank.columns.shape
        assert feed.ids.shape == blank.ids.shape
        if runtime.layout.static:
            assert feed.first.shape == blank.first.shape


def test_auto_measures_a_real_graph_and_remembers_what_it_found(
    bundle_of: Callable[[str], Bundle], tmp_path: Path
) -> None:
    bundle = bundle_of("modernbert")
    memory = tmp_path / "provider.json"
    tried: list[str] = []
    choice = choose(bundle, AUTO, memory, threads=1, progress=tried.append)
    assert tried == list(PROVIDERS)
    assert choice.provider in providers()
    assert "tokens/s" in choice.reason
    by_name = {candidate.provider: candidate for candidate in choice.candidates}
    assert by_name["cpu"].verdict == "usable"
    assert by_name["cpu"].error == 0.0
    for name in PROVIDERS.keys() - set(providers()):
        assert by_name[name].tokens_per_second is None
        assert f"{name}: " in choice.reason
    assert choose(bundle, AUTO, memory, threads=1).remembered


def test_a_variant_that_a_bundle_lacks_is_refused(bundle_of: Callable[[str], Bundle]) -> None:
    with pytest.raises(InvalidBundle, match="no variant 'int4'"):
        OnnxRuntime(bundle_of("bert"), "cpu", 1, variant="int4")


def test_a_provider_that_does_not_exist_is_refused(bundle_of: Callable[[str], Bundle]) -> None:
    with pytest.raises(ProviderUnavailable, match="'abacus' is no provider"):
        OnnxRuntime(bundle_of("bert"), "abacus", 1)
