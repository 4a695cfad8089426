"""Choosing a setup: the fastest of those that agree, said, remembered, and believed or not."""

import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import orjson
import pytest

from service.engine.bundle import Bundle, Variant
from service.engine.errors import InvalidBundle, ProviderUnavailable
from service.engine.execution.provider import Opened, Opening, Provider, Shaping
from service.engine.feed import Layout
from service.engine.providers import PROVIDERS
from service.engine.tuning import memory as remembering
from service.engine.tuning.choice import Choice, Chooser
from service.engine.tuning.memory import Record, key_of, merged, recall, remember
from service.engine.tuning.search import Found, Wanted
from service.engine.tuning.setup import Setup, default_setup
from service.engine.tuning.trial import USABLE, Bench, Trial
from tests.fakes.manifests import BACKBONE, manifest_of

MEMORY = "provider.json"


def variants(*names: str) -> dict[str, Variant]:
    return {
        name: Variant.model_validate(
            {"file": "model.fp32.onnx", "compute": name, "tokens_per_second": 1.0}
        )
        for name in names
    }


def bundle_of(*names: str, digest: str = BACKBONE) -> Bundle:
    manifest = manifest_of().model_copy(update={"variants": variants(*names)})
    return Bundle(Path("nowhere"), digest, manifest, {})


class Machine:
    """Providers of our making, and how fast each pair is, or why it is not."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.bundle = bundle_of("fp32")
        self.results: dict[tuple[str, str], float | str | Exception] = {}
        self.measured: list[tuple[str, str]] = []
        patch.setattr(Bench, "measure", lambda _, setup: self._measure(setup))

    def add(
        self,
        name: str,
        *,
        find: Callable[[], str] | None = None,
        **results: float | str | Exception,
    ) -> None:
        """Add a provider that runs these variants: a speed, or a verdict, or a failure."""

        def refuse(opening: Opening) -> Opened:
            raise AssertionError(f"nothing is opened here: {opening}")

        made = Provider(
            name,
            frozenset(bundle_of(*results).manifest.variants[v].compute for v in results),
            Shaping(Layout(), (2,), 512),
            find or (lambda: f"{name}, of this machine"),
            refuse,
        )
        PROVIDERS[name] = made
        self.results |= {(variant, name): result for variant, result in results.items()}

    def _measure(self, setup: Setup) -> Trial:
        pair = (setup.variant, setup.provider)
        self.measured.append(pair)
        result = self.results[pair]
        if isinstance(result, Exception):
            raise result
        if isinstance(result, str):
            return Trial(setup, result)
        return Trial(setup, USABLE, result, result / 20, 1.0, 0.9, 0.0, 1.0)

    def chooser(self, memory: Path | None = None, **wanted: str | int) -> Chooser:
        return Chooser(self.bundle, memory, 8, Wanted(**wanted))  # type: ignore[arg-type]

    def choose(self, memory: Path | None = None, **wanted: str | int) -> Choice:
        return self.chooser(memory, **wanted).choose()


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Iterator[Machine]:
    ours = dict(PROVIDERS)  # whose order matters
    PROVIDERS.clear()
    made = Machine(monkeypatch)
    made.add("cpu", fp32=1_000.0)
    yield made
    PROVIDERS.clear()
    PROVIDERS.update(ours)


def refuse(reason: str) -> Callable[[], str]:
    def find() -> str:
        raise ProviderUnavailable(f"npu: {reason}")

    return find


def pair(found: Choice) -> tuple[str, str]:
    return found.setup.variant, found.setup.provider


def test_the_fastest_pair_is_taken_and_the_reason_names_the_rest(machine: Machine) -> None:
    machine.bundle = bundle_of("fp32", "bf16")
    machine.add("quick", fp32=1_500.0, bf16=3_000.0)
    found = machine.choose()
    assert pair(found) == ("bf16", "quick")
    assert found.reason == (
        "fastest here, bf16 on quick: 3,000 tokens/s"
        " (fp32 on cpu: 1,000 tokens/s; fp32 on quick: 1,500 tokens/s)"
    )
    assert not found.remembered


def test_what_is_not_usable_is_passed_over_and_said_so(machine: Machine) -> None:
    machine.add("npu", fp32="differs from fp32 by 5.0e-02")
    found = machine.choose()
    assert found.provider == "cpu"
    assert "fp32 on npu: differs from fp32 by 5.0e-02" in found.reason


def test_a_variant_that_a_provider_does_not_multiply_in_is_not_tried_there(
    machine: Machine,
) -> None:
    machine.bundle = bundle_of("fp32", "fp16")
    machine.add("half", fp16=10.0)
    machine.choose()
    assert machine.measured == [("fp32", "cpu"), ("fp16", "half")]


def test_a_broken_bundle_is_not_blamed_on_the_provider(machine: Machine) -> None:
    machine.add("cpu", fp32=InvalidBundle("no graph"))
    machine.add("npu", fp32=1.0)
    with pytest.raises(InvalidBundle, match="no graph"):
        machine.choose()


def test_without_any_pair_that_runs_each_says_why(machine: Machine) -> None:
    machine.add("cpu", fp32="cpu: fails here: no memory")
    machine.add("npu", fp32="npu: no such device")
    with pytest.raises(ProviderUnavailable, match=r"cpu: fails here: no memory.*no such device"):
        machine.choose()


def test_a_provider_asked_for_by_name_that_runs_one_variant_is_not_measured(
    machine: Machine,
) -> None:
    found = machine.choose(provider="cpu")
    assert (found.provider, found.reason) == ("cpu", "asked for: cpu, of this machine")
    assert machine.measured == []


def test_a_provider_asked_for_that_runs_several_variants_is_measured_with_each(
    machine: Machine,
) -> None:
    machine.bundle = bundle_of("fp32", "bf16")
    machine.add("quick", fp32=1_500.0, bf16=3_000.0)
    assert pair(machine.choose(provider="quick")) == ("bf16", "quick")
    assert pair(machine.choose(provider="quick", variant="fp32")) == ("fp32", "quick")


def test_threads_that_were_asked_for_are_taken(machine: Machine) -> None:
    assert machine.choose(threads=3).setup.threads == 3
    assert machine.choose(provider="cpu", threads=3).setup.threads == 3


def test_a_provider_asked_for_by_name_that_does_not_run_is_refused(machine: Machine) -> None:
    machine.add("npu", find=refuse("no such device"), fp32=9_000.0)
    with pytest.raises(ProviderUnavailable, match="no such device"):
        machine.choose(provider="npu")


def test_a_name_that_is_no_provider_is_refused_with_those_there_are(machine: Machine) -> None:
    with pytest.raises(ProviderUnavailable, match="'gpu' is no provider; there are auto, cpu"):
        machine.choose(provider="gpu")


def test_a_variant_that_the_bundle_lacks_is_refused_with_those_it_has(machine: Machine) -> None:
    with pytest.raises(InvalidBundle, match="no variant 'int4'; the bundle has fp32"):
        machine.choose(variant="int4")


def test_a_provider_that_runs_none_of_the_variants_is_refused(machine: Machine) -> None:
    machine.add("half", fp16=1.0)
    with pytest.raises(ProviderUnavailable, match=r"half: it runs none .* compute in fp32"):
        machine.choose(provider="half")


def test_a_choice_is_remembered_with_its_reason(machine: Machine, tmp_path: Path) -> None:
    machine.add("quick", fp32=3_000.0)
    first = machine.choose(tmp_path / MEMORY)
    machine.measured.clear()
    again = machine.choose(tmp_path / MEMORY)
    assert machine.measured == []
    assert again.remembered
    assert (again.setup, again.reason) == (first.setup, first.reason)
    assert [path.name for path in tmp_path.iterdir()] == [MEMORY]


def test_a_remembered_provider_may_be_overridden_without_measuring_again(
    machine: Machine, tmp_path: Path
) -> None:
    machine.add("quick", fp32=3_000.0)
    machine.choose(tmp_path / MEMORY)
    machine.measured.clear()
    assert machine.choose(tmp_path / MEMORY, provider="cpu").provider == "cpu"
    assert machine.choose(tmp_path / MEMORY).provider == "quick"
    assert machine.measured == []


def test_measuring_a_part_of_the_providers_does_not_say_which_of_all_is_best(
    machine: Machine, tmp_path: Path
) -> None:
    machine.bundle = bundle_of("fp32", "bf16")
    machine.add("slow", fp32=10.0, bf16=20.0)
    assert pair(machine.choose(tmp_path / MEMORY, provider="slow")) == ("bf16", "slow")
    assert machine.choose(tmp_path / MEMORY, provider="slow").remembered
    assert pair(machine.choose(tmp_path / MEMORY)) == ("fp32", "cpu")


def test_a_memory_does_not_answer_for_a_pair_that_was_not_measured(
    machine: Machine, tmp_path: Path
) -> None:
    machine.bundle = bundle_of("fp32", "bf16")
    machine.add("quick", fp32=1_500.0, bf16=3_000.0)
    assert pair(machine.choose(tmp_path / MEMORY, variant="fp32")) == ("fp32", "quick")
    machine.measured.clear()
    found = machine.choose(tmp_path / MEMORY, provider="quick")
    assert (pair(found), found.remembered) == (("bf16", "quick"), False)
    assert ("bf16", "quick") in machine.measured
    assert machine.choose(tmp_path / MEMORY, provider="quick").remembered
    assert pair(machine.choose(tmp_path / MEMORY, variant="fp32")) == ("fp32", "quick")


def test_what_was_found_of_a_part_is_served_where_that_part_is_asked_for(
    machine: Machine, tmp_path: Path
) -> None:
    """Of the part, the winner side by side: another round of it may have been quicker by chance."""
    machine.add("quick", fp32=3_000.0)
    memory, wanted = tmp_path / MEMORY, Wanted(provider="cpu")
    assert machine.choose(memory).provider == "quick"
    trials = tuple(
        Trial(default_setup("fp32", "cpu", threads), USABLE, speed, 1.0, 1.0, 0.9, 0.0, 1.0)
        for threads, speed in ((2, 1_800.0), (3, 1_810.0))
    )
    key = key_of(machine.bundle)
    remember(
        memory, key, merged(recall(memory, key), wanted, "tune", "w", Found(trials, trials[0]))
    )
    found = machine.choose(memory, provider="cpu")
    assert (found.setup, found.remembered) == (trials[0].setup, True)
    assert found.reason.startswith("tuned, fp32 on cpu: 1,800 tokens/s")
    plain = machine.choose(memory)
    assert (plain.provider, plain.remembered) == ("quick", True)
    assert plain.reason.startswith("fastest here")


def test_measuring_all_keeps_what_was_tuned_of_a_part(machine: Machine, tmp_path: Path) -> None:
    machine.add("quick", fp32=3_000.0)
    memory, wanted = tmp_path / MEMORY, Wanted(provider="cpu")
    tuned = Trial(default_setup("fp32", "cpu", 3), USABLE, 1_800.0, 1.0, 1.0, 0.9, 0.0, 1.0)
    record = merged(None, wanted, "tune", "texts of a person", Found((tuned,), tuned))
    remember(memory, key_of(machine.bundle), record)
    found = machine.choose(memory)
    assert (found.provider, found.remembered) == ("quick", False)
    assert machine.choose(memory, provider="cpu").setup == tuned.setup


def test_what_tune_wrote_is_what_is_served_and_is_called_tuned(
    machine: Machine, tmp_path: Path
) -> None:
    tuned = default_setup("fp32", "cpu", 3)
    trials = (
        Trial(default_setup("fp32", "cpu", 2), USABLE, 900.0, 40.0, 1.0, 0.9, 0.0, 1.0),
        Trial(tuned, USABLE, 1_800.0, 80.0, 1.0, 0.9, 0.0, 1.0),
    )
    record = Record("tune", "texts of a person", trials, tuned)
    remember(tmp_path / MEMORY, key_of(machine.bundle), record)
    found = machine.choose(tmp_path / MEMORY)
    assert found.remembered
    assert found.setup == tuned
    assert found.reason == "tuned, fp32 on cpu: 1,800 tokens/s"
    assert machine.measured == []


def another_bundle(machine: Machine, _: pytest.MonkeyPatch) -> None:
    machine.bundle = bundle_of("fp32", digest="sha256:other")


def another_processor(_: Machine, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(remembering, "processor_flags", lambda: frozenset({"faster"}))


def more_processors(_: Machine, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(remembering, "processors", lambda: 999)


def another_gpu(_: Machine, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(remembering, "describe_gpu", lambda: {"gpu": "NVIDIA H200"})


def another_version(_: Machine, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(remembering, "_version", lambda name: f"{name} 9.9")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (another_bundle, "the bundle is another one"),
        (another_processor, "the processor is another one"),
        (more_processors, "there is another number of processors"),
        (another_gpu, "the GPU or its driver is another one"),
        (another_version, "other versions are installed"),
    ],
)
def test_whatever_a_choice_depends_on_makes_it_measure_again_and_is_named(
    machine: Machine,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    change: Callable[[Machine, pytest.MonkeyPatch], None],
    said: str,
) -> None:
    machine.add("npu", fp32=1.0)
    machine.choose(tmp_path / MEMORY)
    change(machine, monkeypatch)
    with caplog.at_level(logging.INFO):
        assert not machine.choose(tmp_path / MEMORY).remembered
    assert f"measuring the providers again: {said}" in caplog.text
    assert machine.choose(tmp_path / MEMORY).remembered


def test_other_threads_make_it_measure_again(machine: Machine, tmp_path: Path) -> None:
    machine.add("npu", fp32=1.0)
    machine.choose(tmp_path / MEMORY, threads=1)
    assert not machine.choose(tmp_path / MEMORY, threads=2).remembered


def test_a_choice_that_failed_is_measured_anew_with_the_reason_in_the_log(
    machine: Machine, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    machine.add("npu", fp32=9_000.0)
    assert machine.choose(tmp_path / MEMORY).provider == "npu"
    machine.add("npu", fp32="npu: fails here: unplugged")
    found = machine.chooser(tmp_path / MEMORY).choose_again("npu cannot be opened: unplugged")
    assert (found.provider, found.remembered) == ("cpu", False)
    assert "npu cannot be opened: unplugged" in caplog.text
    assert machine.choose(tmp_path / MEMORY).provider == "cpu"


@pytest.mark.parametrize(
    "garbage", [b"", b"{", b"[]", b"null", b'{"key": 1}', b'{"format": 1}', b"\xff"]
)
def test_a_memory_that_cannot_be_read_is_none(
    machine: Machine, tmp_path: Path, garbage: bytes
) -> None:
    machine.add("npu", fp32=1.0)
    (tmp_path / MEMORY).write_bytes(garbage)
    assert not machine.choose(tmp_path / MEMORY).remembered
    assert orjson.loads((tmp_path / MEMORY).read_bytes())["best"]["provider"] == "cpu"


@pytest.mark.parametrize(
    "part",
    [
        {},
        {"wanted": {"provider": 1, "variant": None, "threads": None}},
        {"wanted": {"provider": None, "variant": None, "threads": "two"}},
        {"wanted": {"provider": None, "variant": None, "threads": 2}, "by": "auto", "best": {}},
    ],
)
def test_a_memory_whose_parts_cannot_be_is_none(
    machine: Machine, tmp_path: Path, part: dict[str, object]
) -> None:
    machine.add("npu", fp32=1.0)
    machine.choose(tmp_path / MEMORY)
    document = orjson.loads((tmp_path / MEMORY).read_bytes())
    document["parts"] = [part]
    (tmp_path / MEMORY).write_bytes(orjson.dumps(document))
    assert not machine.choose(tmp_path / MEMORY).remembered


@pytest.mark.parametrize(
    ("where", "what"),
    [
        ("provider", "abacus"),
        ("threads", 0),
        ("threads", "two"),
        ("row_counts", 4),
        ("row_counts", [-1]),
        ("token_budget", None),
    ],
)
def test_a_memory_whose_setup_cannot_be_is_none(
    machine: Machine, tmp_path: Path, where: str, what: object
) -> None:
    machine.add("npu", fp32=1.0)
    machine.choose(tmp_path / MEMORY)
    document = orjson.loads((tmp_path / MEMORY).read_bytes())
    document["best"][where] = what
    (tmp_path / MEMORY).write_bytes(orjson.dumps(document))
    assert not machine.choose(tmp_path / MEMORY).remembered


def test_a_memory_whose_trials_are_of_another_version_is_none(
    machine: Machine, tmp_path: Path
) -> None:
    machine.add("npu", fp32=1.0)
    machine.choose(tmp_path / MEMORY)
    document = orjson.loads((tmp_path / MEMORY).read_bytes())
    document["trials"] = [{"colour": "blue"}]
    (tmp_path / MEMORY).write_bytes(orjson.dumps(document))
    assert not machine.choose(tmp_path / MEMORY).remembered


def test_what_is_measured_says_its_name(machine: Machine) -> None:
    said: list[str] = []
    machine.add("npu", fp32=1.0)
    Chooser(machine.bundle, None, 8, progress=said.append).choose()
    assert said == ["fp32 on cpu", "fp32 on npu"]
