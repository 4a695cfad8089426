"""The search over threads and shapes: what is tried, what is kept, what is given up again."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest

from service.engine.bundle import Bundle, ImageInput, Manifest, Variant
from service.engine.providers import PROVIDERS, runnable
from service.engine.tuning import search
from service.engine.tuning import setup as setups
from service.engine.tuning.search import ANYTHING, Found, Wanted, short, tune
from service.engine.tuning.setup import Setup, default_setup, read_setup
from service.engine.tuning.trial import USABLE, Bench, Trial
from service.engine.tuning.workload import random_workload
from tests.fakes.manifests import BACKBONE, manifest_of

Speed = Callable[[Setup], float | None]


def bundle_of(*computes: str, manifest: Manifest | None = None) -> Bundle:
    variants = {
        compute: Variant.model_validate(
            {"file": "model.onnx", "compute": compute, "tokens_per_second": 1.0}
        )
        for compute in computes
    }
    made = (manifest or manifest_of()).model_copy(update={"variants": variants})
    return Bundle(Path("nowhere"), BACKBONE, made, {})


class Counted(Bench):
    """A bench whose speeds are a function of the setup; None: it does not run here."""

    def __init__(self, bundle: Bundle, speed: Speed, later: Speed | None = None) -> None:
        super().__init__(bundle, random_workload(bundle, 16), 8)
        self.speed = speed
        self.later = later or speed
        self.tried: list[Setup] = []

    def measure(self, setup: Setup) -> Trial:
        self.tried.append(setup)
        speed = self.speed(setup)
        if speed is None:
            return Trial(setup, f"{setup.provider}: not here")
        return Trial(setup, USABLE, speed, speed, 1.0, 0.9, 0.0, 1.0)

    def again(self, setup: Setup) -> float:
        speed = self.later(setup)
        assert speed is not None
        return speed


@pytest.fixture(autouse=True)
def _four_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (search, setups):
        monkeypatch.setattr(module, "processors", lambda: 4)


def quiet(*_: object) -> None:
    return


def here(setup: Setup) -> bool:
    return setup.provider in ("cpu", "openvino")


def run(bench: Bench, wanted: Wanted = ANYTHING) -> Found:
    return tune(bench, wanted, quiet)


def test_the_measure_is_tried_first_and_each_pair_once() -> None:
    bundle = bundle_of("bf16", "fp32")
    bench = Counted(bundle, lambda setup: 1.0 if here(setup) else None)
    short(bench, ANYTHING, quiet)
    pairs = [(setup.variant, setup.provider) for setup in bench.tried]
    assert pairs[0] == ("fp32", "cpu")
    assert sorted(pairs) == sorted(runnable(bundle))


def test_what_was_asked_for_is_tried_and_the_measure_beside_it() -> None:
    bench = Counted(bundle_of("bf16", "fp32"), lambda _: 1.0)
    found = short(bench, Wanted(provider="openvino", threads=3), quiet)
    pairs = [(setup.variant, setup.provider) for setup in bench.tried]
    assert pairs == [("fp32", "cpu"), ("bf16", "openvino"), ("fp32", "openvino")]
    assert {setup.threads for setup in bench.tried} == {3}
    assert found.best is not None
    assert found.best.setup.provider == "openvino", "cpu was not asked for"


def test_the_best_of_every_knob_is_found_where_they_do_not_depend_on_each_other() -> None:
    def speed(setup: Setup) -> float | None:
        if not here(setup):
            return None
        layout = setup.shaping.layout
        found = 100.0
        found *= 1.5 if setup.provider == "cpu" else 1.0
        found *= {1: 0.5, 2: 1.3, 4: 1.0}[setup.threads]
        found *= {16: 0.7, 32: 1.2, 64: 1.0, 128: 0.9}[layout.block_tokens]
        found *= {8: 1.0, 16: 1.1, 32: 0.8}[layout.column_step]
        found *= 1.4 if setup.shaping.token_budget == 1024 else 1.0
        return found

    bench = Counted(bundle_of("fp32"), speed)
    best = run(bench).best
    assert best is not None
    layout = best.setup.shaping.layout
    assert (best.setup.provider, best.setup.threads) == ("cpu", 2)
    assert (layout.block_tokens, layout.column_step) == (32, 16)
    assert best.setup.shaping.token_budget == 1024
    assert best.setup.shaping.row_counts == (2, 4, 8)


def test_a_gain_that_is_noise_is_not_followed() -> None:
    def speed(setup: Setup) -> float | None:
        return (101.0 if setup.threads == 2 else 100.0) if here(setup) else None

    found = run(Counted(bundle_of("fp32"), speed))
    assert found.best is not None
    assert found.best.setup == default_setup("fp32", "cpu", found.best.setup.threads)
    assert found.gain == 1.0


def test_a_winner_that_does_not_gain_side_by_side_is_given_up() -> None:
    def lucky(setup: Setup) -> float | None:
        return (200.0 if setup.threads == 2 else 100.0) if here(setup) else None

    found = run(Counted(bundle_of("fp32"), lucky, later=lambda s: 10.0 * s.threads))
    assert found.best is not None
    assert found.gain == 0.5
    assert found.best.setup == default_setup("fp32", "cpu", 4)


def test_the_gain_of_the_winner_is_measured_side_by_side() -> None:
    def speed(setup: Setup) -> float | None:
        return (200.0 if setup.threads == 2 else 100.0) if here(setup) else None

    found = run(Counted(bundle_of("fp32"), speed, later=lambda s: 30.0 / s.threads))
    assert found.best is not None
    assert (found.gain, found.best.setup.threads) == (2.0, 2)


def test_pairs_far_from_the_best_are_not_searched() -> None:
    def speed(setup: Setup) -> float | None:
        return {"cpu": 100.0, "openvino": 50.0}.get(setup.provider)

    bench = Counted(bundle_of("fp32"), speed)
    run(bench)
    assert sum(setup.provider == "openvino" for setup in bench.tried) == 1


def test_a_setup_that_does_not_run_or_differs_is_never_the_best() -> None:
    class Wrong(Counted):
        def measure(self, setup: Setup) -> Trial:
            trial = super().measure(setup)
            wrong = setup.shaping.token_budget > 512
            return dataclasses.replace(trial, verdict="differs") if wrong else trial

    def speed(setup: Setup) -> float | None:
        return float(setup.shaping.token_budget) if setup.provider == "cpu" else None

    best = run(Wrong(bundle_of("fp32"), speed)).best
    assert best is not None
    assert best.setup.shaping.token_budget == 512


def test_threads_that_were_asked_for_are_not_tuned() -> None:
    bench = Counted(bundle_of("fp32"), lambda setup: 1.0 if here(setup) else None)
    run(bench, Wanted(threads=2))
    assert {setup.threads for setup in bench.tried} == {2}


def test_images_and_models_without_a_bank_have_no_blocks_to_tune() -> None:
    image = ImageInput(channels=3, height=4, width=4, tokens=16)
    pictures = manifest_of().model_copy(update={"image": image, "task": "image"})
    bare = manifest_of().model_copy(update={"targets": ()})
    for manifest in (pictures, bare):
        bench = Counted(
            bundle_of("fp32", manifest=manifest), lambda s: 1.0 if s.provider == "cpu" else None
        )
        run(bench)
        assert {setup.shaping.layout.block_tokens for setup in bench.tried} == {
            made.shaping.layout.block_tokens for made in PROVIDERS.values()
        }


def test_without_anything_that_runs_there_is_no_best() -> None:
    found = run(Counted(bundle_of("fp32"), lambda _: None))
    assert found.best is None
    assert len(found.trials) == len(PROVIDERS)


def test_progress_ends_where_it_said_it_would() -> None:
    said: list[tuple[int, int]] = []
    bench = Counted(bundle_of("fp32"), lambda setup: 1.0 if here(setup) else None)
    tune(bench, ANYTHING, lambda _, done, of: said.append((done, of)))
    assert all(done <= of for done, of in said)
    assert said[-1][0] == said[-1][1] - 1, "the last step is the last one announced"


def test_a_setup_is_read_as_it_was_written() -> None:
    setup = default_setup("fp32", "cuda", 3)
    assert read_setup(setup.document()) == setup
    assert str(setup).startswith("fp32 on cuda, 3 threads, 4096 tokens a pass, rows 2, 4, 8, 16")
