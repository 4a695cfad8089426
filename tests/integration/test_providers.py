"""Every execution provider that runs here, on a real graph."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from service.engine.adapter import FloatArray
from service.engine.bundle import Bundle
from service.engine.errors import InvalidBundle, ProviderUnavailable
from service.engine.execution.cuda import open_on_device
from service.engine.execution.provider import Opening
from service.engine.feed import Feed, make_feed
from service.engine.forward import Forward, Member
from service.engine.packing import plan
from service.engine.providers import PROVIDERS, runnable
from service.engine.runtime import OnnxRuntime
from service.engine.tokens import Tokens
from service.engine.tuning.choice import Chooser
from service.engine.tuning.memory import key_of, recall
from service.engine.tuning.search import Wanted
from tests.fakes.adapters import adapter_of
from tests.fakes.answering import answer_all
from tests.fakes.checkpoints import FAMILIES
from tests.fakes.device import HostDevice

# Of the embedding, against fp32 on the CPU provider; the tiny models' weights are large, and there
# are texts whose answer in fp32 moves by a tenth when the adapter's weights alone are rounded.
AWAY = {"fp32": 1e-5, "bf16": 0.1, "int8": 0.5}
TYPICALLY = {"fp32": 1e-5, "bf16": 0.04, "int8": 0.1}
WITHIN = {"fp32": 1.0, "bf16": 0.95, "int8": 0.95}  # so many of the texts


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
    variants = [variant for variant, where in runnable(bundle) if where == provider]
    assert "fp32" in variants
    for variant in variants:
        runtime = OnnxRuntime(bundle, provider, 4, threads=1, variant=variant)
        assert runtime.precision == bundle.manifest.variants[variant].compute
        found = ask(runtime, bundle, texts)
        away = np.abs(found - measure).max(axis=1) / np.abs(measure).max(axis=1)
        precision = runtime.precision
        assert np.quantile(away, WITHIN[precision]) <= AWAY[precision]
        assert np.median(away) <= TYPICALLY[precision]
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
    wanted = Wanted(threads=1)
    choice = Chooser(bundle, memory, 8, wanted, progress=tried.append).choose()
    pairs = [f"{variant} on {provider}" for variant, provider in runnable(bundle)]
    assert sorted(tried) == sorted(pairs)
    assert choice.provider in providers()
    assert "tokens/s" in choice.reason
    record = recall(memory, key_of(bundle))
    assert record is not None
    by_pair = {(t.setup.variant, t.setup.provider): t for t in record.trials}
    assert by_pair["fp32", "cpu"].usable
    assert by_pair["fp32", "cpu"].error == 0.0
    assert by_pair["fp32", "cpu"].agreement == 1.0
    for name in PROVIDERS.keys() - set(providers()):
        assert by_pair["fp32", name].tokens_per_second is None
        assert f"fp32 on {name}: " in choice.reason
    assert Chooser(bundle, memory, 8, wanted).choose().remembered


def test_a_session_at_fixed_addresses_answers_as_one_on_the_processor_does(
    bundle_of: Callable[[str], Bundle],
) -> None:
    """What runs on a GPU, on a device in host memory: the same graph, its bank and its shapes."""
    bundle = bundle_of("bert")
    texts = texts_of(40, 60)
    plain = OnnxRuntime(bundle, "cpu", 4, threads=1)
    measure = ask(plain, bundle, texts)
    runtime = OnnxRuntime(bundle, "cpu", 4, threads=1, shaping=PROVIDERS["cuda"].shaping)
    opening = Opening(bundle, "fp32", PROVIDERS["cuda"].shaping, 4, 1)
    made = open_on_device(opening, [("CPUExecutionProvider", {})], HostDevice(), graphs=False)
    runtime._session, runtime._bank = made.session, made.bank
    assert np.abs(ask(runtime, bundle, texts) - measure).max() <= 1e-5 * np.abs(measure).max()


def test_a_provider_refuses_a_variant_that_it_would_compute_in_something_else(
    bundle_of: Callable[[str], Bundle],
) -> None:
    bundle = bundle_of("bert")
    half = bundle.manifest.variants["fp32"].model_copy(update={"compute": "fp16"})
    variants = bundle.manifest.variants | {"fp16": half}
    other = dataclasses.replace(
        bundle, manifest=bundle.manifest.model_copy(update={"variants": variants})
    )
    with pytest.raises(ProviderUnavailable, match="cpu: it does not multiply in fp16"):
        OnnxRuntime(other, "cpu", 1, variant="fp16")


def test_a_variant_that_a_bundle_lacks_is_refused(bundle_of: Callable[[str], Bundle]) -> None:
    with pytest.raises(InvalidBundle, match="no variant 'int4'"):
        OnnxRuntime(bundle_of("bert"), "cpu", 1, variant="int4")


def test_a_provider_that_does_not_exist_is_refused(bundle_of: Callable[[str], Bundle]) -> None:
    with pytest.raises(ProviderUnavailable, match="'abacus' is no provider"):
        OnnxRuntime(bundle_of("bert"), "abacus", 1)
