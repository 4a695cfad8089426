"""Choosing a provider: the fastest of those that agree, said, and remembered."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import orjson
import pytest

from service.engine import selection
from service.engine.adapter import FloatArray
from service.engine.bundle import Bundle
from service.engine.errors import InvalidBundle, ProviderUnavailable
from service.engine.feed import Layout
from service.engine.providers import PROVIDERS, Opened, Opening, Provider
from service.engine.selection import AUTO, Choice, choose
from tests.fakes.manifests import BACKBONE, manifest_of

Measured = tuple[float, FloatArray]
POOLED = np.random.default_rng(0).standard_normal((32, 8)).astype(np.float32)


def found(name: str) -> Callable[[], str]:
    return lambda: f"{name}, of this machine"


def provider(name: str, find: Callable[[], str] | None = None) -> Provider:
    def refuse(opening: Opening) -> Opened:
        raise AssertionError(f"nothing is opened here: {opening}")

    return Provider(name, Layout(), (2,), 512, find or found(name), refuse)


class Bench:
    """Providers of our making, and what measuring each of them gives."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.results: dict[str, Measured | Exception] = {}
        self.measured: list[str] = []
        self.bundle = Bundle(Path("nowhere"), BACKBONE, manifest_of(), {})
        self._providers: dict[str, Provider] = {}
        patch.setattr(selection, "PROVIDERS", self._providers)
        patch.setattr(selection, "_measure", self._measure)

    def add(
        self, name: str, result: Measured | Exception, find: Callable[[], str] | None = None
    ) -> None:
        self._providers[name] = provider(name, find)
        self.results[name] = result

    def _measure(self, bundle: Bundle, name: str, threads: int | None) -> Measured:
        assert bundle is self.bundle
        assert threads is None or threads > 0
        self.measured.append(name)
        result = self.results[name]
        if isinstance(result, Exception):
            raise result
        return result

    def choose(
        self, wanted: str = AUTO, memory: Path | None = None, threads: int | None = None
    ) -> Choice:
        return choose(self.bundle, wanted, memory, threads)


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Bench:
    made = Bench(monkeypatch)
    made.add("cpu", (1_000.0, POOLED))
    return made


def refuse(reason: str) -> Callable[[], str]:
    def find() -> str:
        raise ProviderUnavailable(f"npu: {reason}")

    return find


def test_the_fastest_that_agrees_with_fp32_is_taken_and_the_reason_names_the_rest(
    bench: Bench,
) -> None:
    bench.add("quick", (3_000.0, POOLED * np.float32(1.01)))
    choice = bench.choose()
    assert choice.provider == "quick"
    assert choice.reason == "fastest here, 3,000 tokens/s (cpu: 1,000 tokens/s)"
    assert not choice.remembered


def test_a_fast_provider_with_other_numbers_is_passed_over_and_said_so(bench: Bench) -> None:
    bench.add("wrong", (9_000.0, POOLED * np.float32(1.05)))
    choice = bench.choose()
    assert choice.provider == "cpu"
    assert "wrong: 9,000 tokens/s, differs from fp32 by" in choice.reason


def test_a_provider_that_gives_nan_is_passed_over(bench: Bench) -> None:
    bench.add("broken", (9_000.0, np.full_like(POOLED, np.nan)))
    assert bench.choose().provider == "cpu"


def test_a_provider_whose_full_pass_is_larger_is_compared_on_the_common_texts(
    bench: Bench,
) -> None:
    bench.add("large", (5_000.0, np.concatenate([POOLED] * 8)))
    assert bench.choose().provider == "large"


def test_a_provider_that_does_not_run_says_why(bench: Bench) -> None:
    bench.add("npu", (9_000.0, POOLED), refuse("no such device"))
    choice = bench.choose()
    assert choice.reason == "fastest here, 1,000 tokens/s (npu: no such device)"
    assert bench.measured == ["cpu"]


def test_a_provider_that_fails_when_it_is_tried_is_one_that_does_not_run(bench: Bench) -> None:
    bench.add("npu", RuntimeError("unsupported operator"))
    choice = bench.choose()
    assert choice.provider == "cpu"
    assert "npu: fails here: unsupported operator" in choice.reason


def test_a_broken_bundle_is_not_blamed_on_the_provider(bench: Bench) -> None:
    bench.add("cpu", InvalidBundle("no graph"))
    with pytest.raises(InvalidBundle, match="no graph"):
        bench.choose()


def test_without_any_provider_that_runs_each_says_why(bench: Bench) -> None:
    bench.add("cpu", RuntimeError("no memory"))
    bench.add("npu", (1.0, POOLED), refuse("no such device"))
    with pytest.raises(ProviderUnavailable, match=r"no memory.*no such device"):
        bench.choose()


def test_a_provider_asked_for_by_name_is_not_measured(bench: Bench) -> None:
    choice = bench.choose("cpu")
    assert (choice.provider, choice.reason) == ("cpu", "asked for: cpu, of this machine")
    assert bench.measured == []


def test_a_provider_asked_for_by_name_that_does_not_run_is_refused(bench: Bench) -> None:
    bench.add("npu", (9_000.0, POOLED), refuse("no such device"))
    with pytest.raises(ProviderUnavailable, match="no such device"):
        bench.choose("npu")


def test_a_name_that_is_no_provider_is_refused_with_those_there_are(bench: Bench) -> None:
    with pytest.raises(ProviderUnavailable, match="'gpu' is no provider; there are auto, cpu"):
        bench.choose("gpu")


def test_a_choice_is_remembered_with_its_reason(bench: Bench, tmp_path: Path) -> None:
    bench.add("quick", (3_000.0, POOLED))
    memory = tmp_path / "provider.json"
    first = bench.choose(memory=memory)
    bench.measured.clear()
    again = bench.choose(memory=memory)
    assert bench.measured == []
    assert again.remembered
    assert (again.provider, again.reason) == (first.provider, first.reason)
    assert again.candidates == first.candidates
    assert [path.name for path in tmp_path.iterdir()] == ["provider.json"]


def another_bundle(bench: Bench, _: pytest.MonkeyPatch) -> None:
    bench.bundle = Bundle(Path("nowhere"), "sha256:other", manifest_of(), {})


def another_processor(_: Bench, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(selection, "processor_flags", lambda: frozenset({"faster"}))


def more_processors(_: Bench, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(selection, "processors", lambda: 999)


def another_version(_: Bench, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(selection, "_version", lambda name: f"{name} 9.9")


@pytest.mark.parametrize(
    "change", [another_bundle, another_processor, more_processors, another_version]
)
def test_whatever_a_choice_depends_on_makes_it_measure_again(
    bench: Bench,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    change: Callable[[Bench, pytest.MonkeyPatch], None],
) -> None:
    memory = tmp_path / "provider.json"
    bench.choose(memory=memory)
    change(bench, monkeypatch)
    assert not bench.choose(memory=memory).remembered
    assert bench.choose(memory=memory).remembered


def test_other_threads_make_it_measure_again(bench: Bench, tmp_path: Path) -> None:
    memory = tmp_path / "provider.json"
    bench.choose(memory=memory, threads=1)
    assert not bench.choose(memory=memory, threads=2).remembered


def test_a_remembered_provider_that_is_gone_is_chosen_anew(bench: Bench, tmp_path: Path) -> None:
    bench.add("npu", (9_000.0, POOLED))
    memory = tmp_path / "provider.json"
    assert bench.choose(memory=memory).provider == "npu"
    bench.add("npu", (9_000.0, POOLED), refuse("unplugged"))
    choice = bench.choose(memory=memory)
    assert (choice.provider, choice.remembered) == ("cpu", False)


@pytest.mark.parametrize("garbage", [b"", b"{", b"[]", b"null", b'{"key": 1}', b"\xff"])
def test_a_memory_that_cannot_be_read_is_none(bench: Bench, tmp_path: Path, garbage: bytes) -> None:
    memory = tmp_path / "provider.json"
    memory.write_bytes(garbage)
    assert not bench.choose(memory=memory).remembered
    assert orjson.loads(memory.read_bytes())["provider"] == "cpu"


def test_a_memory_whose_candidates_are_of_another_version_is_none(
    bench: Bench, tmp_path: Path
) -> None:
    memory = tmp_path / "provider.json"
    bench.choose(memory=memory)
    document = orjson.loads(memory.read_bytes())
    document["candidates"] = [{"colour": "blue"}]
    memory.write_bytes(orjson.dumps(document))
    assert not bench.choose(memory=memory).remembered


def test_every_provider_of_ours_can_be_looked_for() -> None:
    assert next(iter(PROVIDERS)) == "cpu", "its fp32 is what others are held against"
    for made in PROVIDERS.values():
        try:
            assert made.find()
        except ProviderUnavailable as error:
            assert str(error).startswith(f"{made.name}: ")  # noqa: PT017 - either is right
