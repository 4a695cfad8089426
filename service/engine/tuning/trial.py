"""A trial: one setup, opened, warmed, measured on a workload, and held against fp32's answers."""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from service.engine.adapter import FloatArray
from service.engine.bundle import Bundle, Compute, Variant
from service.engine.errors import ProviderUnavailable, TenantryError
from service.engine.execution.provider import AS_IT_COMES, DeviceOptions
from service.engine.forward import Forward, Member
from service.engine.packing import plan
from service.engine.providers import PROVIDERS
from service.engine.stream import answer_all
from service.engine.tuning.setup import Setup
from service.engine.tuning.workload import Workload

USABLE = "usable"
# How far an embedding may be from fp32's, relative to the largest number of them. bf16 gives 0.6
# to 1.0e-2 on a real model.
_TOLERANCE: dict[Compute, float] = {"fp32": 1e-3, "fp16": 1e-2, "bf16": 2e-2, "int8": 5e-2}
_SLACK = 2.0  # of what the exporter measured on its own texts
_WAITING = 256  # inputs that a plan looks at, as when the queue is never empty
_ALONE = 5


@dataclass(frozen=True, slots=True)
class Answers:
    """What a setup answers, input by input."""

    embeddings: FloatArray  # [inputs, hidden]
    labels: tuple[int, ...]  # -1 where an answer is not finite


@dataclass(frozen=True, slots=True)
class Trial:
    """What was found of one setup; where it does not run, the verdict says why."""

    setup: Setup
    verdict: str
    tokens_per_second: float | None = None  # real tokens, of the fastest round
    inputs_per_second: float | None = None
    milliseconds: float | None = None  # median of the shortest input alone
    filled: float | None = None  # share of the places for tokens that held one
    error: float | None = None  # worst relative difference from fp32 on the CPU provider
    agreement: float | None = None  # share of the labels that are fp32's

    @property
    def usable(self) -> bool:
        """Return whether it ran, and agrees with fp32."""
        return self.verdict == USABLE

    @property
    def speed(self) -> float:
        """Return the tokens a second of a setup that ran."""
        assert self.tokens_per_second is not None, "only what ran has a speed"
        return self.tokens_per_second

    def words(self) -> str:
        """Return the findings in a few words."""
        if self.tokens_per_second is None:
            return self.verdict.removeprefix(f"{self.setup.provider}: ")
        speed = f"{self.tokens_per_second:,.0f} tokens/s"
        return speed if self.usable else f"{speed}, {self.verdict}"


class Bench:
    """Measures setups of one bundle on one workload."""

    def __init__(
        self,
        bundle: Bundle,
        workload: Workload,
        slots: int,
        device: DeviceOptions = AS_IT_COMES,
        rounds: int = 3,
    ) -> None:
        self.bundle = bundle
        self.workload = workload
        self._slots = max(slots, len(workload.adapters))
        self._device = device
        self._rounds = rounds
        self._fp32: Answers | None = None

    def measure(self, setup: Setup) -> Trial:
        """Return what was found; a setup that fails is one that does not run here.

        The first one must be fp32 on the CPU provider: the others are held against its answers.
        Raises what a broken bundle raises.
        """
        try:
            PROVIDERS[setup.provider].find()
            trial, answers = self._run(setup)
        except ProviderUnavailable as error:
            return Trial(setup, str(error))
        except TenantryError:
            raise
        except Exception as error:  # noqa: BLE001 - each library raises errors of its own
            return Trial(setup, f"{setup.provider}: fails here: {error}")
        if self._fp32 is None:
            self._fp32 = answers
        return _judged(trial, answers, self._fp32, self.bundle.manifest.variants[setup.variant])

    def again(self, setup: Setup) -> float:
        """Return the tokens a second of a setup that ran before, measured anew."""
        return self._run(setup)[0].speed

    def _run(self, setup: Setup) -> tuple[Trial, Answers]:
        runtime = setup.open(self.bundle, self._slots, self._device)
        forward = Forward(self.bundle, runtime)
        members = [
            Member(adapter, runtime.write(slot, adapter))
            for slot, adapter in enumerate(self.workload.adapters, 1)
        ]
        answers, places = self._stream(forward, members)  # the first round also prepares shapes
        seconds = []
        for _ in range(self._rounds):
            start = time.perf_counter()
            self._stream(forward, members)
            seconds.append(time.perf_counter() - start)
        took = min(seconds)  # what else the machine does can only add to it
        tokens = self.workload.tokens
        trial = Trial(
            setup,
            USABLE,
            tokens_per_second=tokens / took,
            inputs_per_second=len(self.workload.inputs) / took,
            milliseconds=self._alone(forward, members),
            filled=tokens / places,
        )
        return trial, answers

    def _stream(self, forward: Forward, members: Sequence[Member]) -> tuple[Answers, int]:
        """Answer everything; return the answers, and how many places for tokens the passes had."""
        inputs, numbers = self.workload.inputs, self.workload.numbers
        found = answer_all(forward, inputs, numbers, members, _WAITING)
        labels = tuple(
            -1 if row.probabilities is None else int(row.probabilities.argmax())
            for row in found.rows
        )
        return Answers(np.stack([row.embedding for row in found.rows]), labels), found.places

    def _alone(self, forward: Forward, members: Sequence[Member]) -> float:
        shortest = min(self.workload.inputs, key=len)
        planned = plan([len(shortest)], [0], forward.runtime.grid, 1)
        seconds = []
        for _ in range(_ALONE + 1):
            start = time.perf_counter()
            forward.run(planned, [shortest], [0], members)
            seconds.append(time.perf_counter() - start)
        return 1e3 * float(np.median(seconds[1:]))


def tolerance(variant: Variant, provider: str) -> float:
    """Return how far from fp32 a variant may be: what its precision gives, or its own proof says.

    The proof's figure is of the exporter's texts, and is allowed twice.
    """
    measured = variant.measured.get(provider)
    proven = 0.0 if measured is None else _SLACK * measured.max_embedding_error
    return max(_TOLERANCE[variant.compute], proven)


def _judged(trial: Trial, found: Answers, fp32: Answers, variant: Variant) -> Trial:
    scale = float(np.abs(fp32.embeddings).max())
    worst = float(np.abs(found.embeddings - fp32.embeddings).max()) / scale
    agreement = float(np.mean([a == b for a, b in zip(found.labels, fp32.labels, strict=True)]))
    verdict = USABLE
    if not math.isfinite(worst) or -1 in found.labels:
        verdict = "gives inf or NaN"
    elif worst > tolerance(variant, trial.setup.provider):
        verdict = f"differs from fp32 by {worst:.1e}"
    return Trial(
        trial.setup,
        verdict,
        trial.tokens_per_second,
        trial.inputs_per_second,
        trial.milliseconds,
        trial.filled,
        worst,
        agreement,
    )
