"""The search: from every pair of variant and provider to the best threads and shapes of the best.

One knob after the other, each kept where it gains more than noise does, since all combinations
would take hours. `short` is the first step alone.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from service.engine.bundle import Manifest
from service.engine.execution.provider import Shaping
from service.engine.packing import ROW_TOKENS
from service.engine.processor import processors
from service.engine.providers import runnable
from service.engine.tuning.setup import Setup, default_setup
from service.engine.tuning.trial import Bench, Trial

_GAIN = 1.02  # over the best so far; less is noise
_NEAR = 0.6  # of the best pair's speed: its threads and shapes may yet overtake
_FINALISTS = 2
_BLOCKS = (16, 32, 64, 128)
_STEPS = (8, 16, 32)
_BUDGETS = (0.5, 1, 2, 4)  # times the provider's own
_FINAL_ROUNDS = 5

# (what is measured now, steps done, steps in all as far as is known)
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a person asked for; None leaves it to the measurement."""

    provider: str | None = None
    variant: str | None = None
    threads: int | None = None

    def allows(self, setup: Setup) -> bool:
        """Return whether the setup is as asked for."""
        pairs = (
            (self.provider, setup.provider),
            (self.variant, setup.variant),
            (self.threads, setup.threads),
        )
        return all(wanted is None or wanted == had for wanted, had in pairs)

    def document(self) -> dict[str, object]:
        """Return it as JSON has it."""
        return {"provider": self.provider, "variant": self.variant, "threads": self.threads}

    @property
    def anything(self) -> bool:
        """Return whether nothing was asked for."""
        return self == ANYTHING


ANYTHING = Wanted()


def read_wanted(document: Mapping[str, object]) -> Wanted:
    """Return what `document` asks for; raise `KeyError` or `TypeError` where that is nothing."""
    provider, variant, threads = (document[name] for name in ("provider", "variant", "threads"))
    if not isinstance(provider, str | None) or not isinstance(variant, str | None):
        raise TypeError("provider and variant are names")
    if not isinstance(threads, int | None):
        raise TypeError("threads is a whole number")
    return Wanted(provider, variant, threads)


@dataclass(frozen=True, slots=True)
class Found:
    """Every trial in its order, and the best one that is usable."""

    trials: tuple[Trial, ...]
    best: Trial | None
    gain: float | None = None  # of the best over the best of the first step, side by side


def short(bench: Bench, wanted: Wanted, progress: Progress) -> Found:
    """Measure every pair in its provider's own shapes."""
    trials = []
    setups = list(_pairs(bench, wanted))
    for number, setup in enumerate(setups):
        progress(f"{setup.variant} on {setup.provider}", number, len(setups))
        trials.append(bench.measure(setup))
    allowed = [trial for trial in trials if trial.usable and wanted.allows(trial.setup)]
    best = max(allowed, key=lambda trial: trial.speed, default=None)
    return Found(tuple(trials), best)


def tune(bench: Bench, wanted: Wanted, progress: Progress) -> Found:
    """Measure the pairs, then the threads, blocks, columns and passes of the nearest to the best.

    The winner is measured side by side with the best of the first step, and given up where it
    does not gain after all.
    """
    first = short(bench, wanted, progress)
    if first.best is None:
        return first
    usable = [t for t in first.trials if t.usable and wanted.allows(t.setup)]
    near = [t for t in usable if t.speed >= _NEAR * first.best.speed]
    near = sorted(near, key=lambda trial: -trial.speed)[:_FINALISTS]
    trials = list(first.trials)
    done = len(trials)
    knobs = _knobs(bench.bundle.manifest, wanted)
    steps = done + sum(len(options(trial.setup)) for trial in near for options in knobs)
    bests = []
    for start in near:
        best = start
        for options in knobs:
            for setup in options(best.setup):
                progress(str(setup), done, steps)
                trial = bench.measure(setup)
                trials.append(trial)
                done += 1
                if trial.usable and trial.speed > _GAIN * best.speed:
                    best = trial
        bests.append(best)
    winner = max(bests, key=lambda trial: trial.speed)
    if winner.setup == first.best.setup:
        return Found(tuple(trials), winner, 1.0)
    progress("the winner beside the first step's best", done, steps)
    gain = _side_by_side(bench, winner.setup, first.best.setup)
    return Found(tuple(trials), winner if gain > 1.0 else first.best, gain)


def _side_by_side(bench: Bench, one: Setup, other: Setup) -> float:
    """Return how many times as fast the one is, both measured in turn."""
    ratios = sorted(bench.again(one) / bench.again(other) for _ in range(_FINAL_ROUNDS))
    return ratios[_FINAL_ROUNDS // 2]


def _pairs(bench: Bench, wanted: Wanted) -> Iterator[Setup]:
    """Yield fp32 on the CPU provider, which is the measure, and then what was asked for."""
    measure = default_setup("fp32", "cpu", wanted.threads)
    yield measure
    for variant, provider in runnable(bench.bundle):
        setup = default_setup(variant, provider, wanted.threads)
        if setup != measure and wanted.allows(setup):
            yield setup


Knob = Callable[[Setup], Sequence[Setup]]


def _knobs(manifest: Manifest, wanted: Wanted) -> list[Knob]:
    """Return what may be turned: an image's row is its block, and no bank has no columns."""
    knobs: list[Knob] = [] if wanted.threads is not None else [_other_threads]
    if manifest.targets:
        knobs += [_other_steps] if manifest.image is not None else [_other_blocks, _other_steps]
    return [*knobs, _other_passes]


def _other_threads(setup: Setup) -> list[Setup]:
    if setup.provider not in ("cpu", "openvino"):
        return []
    counts = {1 << n for n in range(processors().bit_length())} | {processors()}
    return [replace(setup, threads=n) for n in sorted(counts - {setup.threads})]


def _other_blocks(setup: Setup) -> list[Setup]:
    layout = setup.shaping.layout
    return [
        _shaped(setup, replace(setup.shaping, layout=replace(layout, block_tokens=size)))
        for size in _BLOCKS
        if size != layout.block_tokens
    ]


def _other_steps(setup: Setup) -> list[Setup]:
    layout = setup.shaping.layout
    return [
        _shaped(setup, replace(setup.shaping, layout=replace(layout, column_step=size)))
        for size in _STEPS
        if size != layout.column_step
    ]


def _other_passes(setup: Setup) -> list[Setup]:
    """Return other sizes of a pass, its rows by doubling up to it."""
    found = []
    for times in _BUDGETS:
        budget = int(times * setup.shaping.token_budget)
        rows = [2]
        while 2 * rows[-1] * ROW_TOKENS <= budget:
            rows.append(2 * rows[-1])
        shaping = Shaping(setup.shaping.layout, tuple(rows), budget)
        if shaping != setup.shaping:
            found.append(_shaped(setup, shaping))
    return found


def _shaped(setup: Setup, shaping: Shaping) -> Setup:
    return replace(setup, shaping=shaping)
