"""Measuring a variant: its answers and its speed on one provider, against fp32 on the CPU.

Adapters are switched in and mixed in shared passes, as they are when they are served. fp32 answers
once; every variant is then held against those answers (`Reference`).
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from exporter.precision.adapters import adversary, fitted, random_adapters
from exporter.precision.answers import Answers, Asked
from exporter.precision.calibration import CalibrationSet
from exporter.precision.tolerance import Cost, Tolerance, breaches
from exporter.proof import tokens_per_second
from service.engine.adapter import Adapter, FloatArray
from service.engine.bundle import Bundle, Measured
from service.engine.pixels import Prepared
from service.engine.runtime import OnnxRuntime, Runtime
from service.measures import Estimate, calibration_error, paired_difference

_ALONE = 16  # inputs that are also answered alone, and beside adversaries
_ADVERSARIES = (1e2, 1e4)  # the magnitude of their weights; the larger is the most an upload has
_LONE_RUNS = 15
_DRAWS = 200  # of the rows, for the interval of a growth
_SEED = 20260101

_Judged = tuple[FloatArray, NDArray[np.bool_]]  # confidence and whether it is right, by row


@dataclass(frozen=True, slots=True)
class Reference:
    """What fp32 on the CPU answers to the half of a set that is measured on."""

    data: CalibrationSet
    adapters: tuple[Adapter, ...]
    numbers: tuple[int, ...]  # the adapter that each input is asked of
    answers: Answers


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found of a variant on one provider."""

    measured: Measured
    breaches: tuple[str, ...]  # what lies outside the tolerance, in words


def make_reference(bundle: Bundle, data: CalibrationSet) -> Reference:
    """Return fp32's answers, by adapters whose heads were fitted where the set has labels.

    The heads are fitted on the first half of the set, and the second half is answered.
    """
    manifest = bundle.manifest
    adapters = random_adapters(manifest, "measure")
    asked = Asked(bundle, OnnxRuntime(bundle, "cpu", len(adapters)), adapters)
    if data.classes is not None:
        training, data = data.halves()
        if manifest.dedicated is None:
            adapters = [
                _fitted(bundle, asked, adapter, number, training)
                for number, adapter in enumerate(adapters)
            ]
            asked.seat(adapters)
    numbers = tuple(i % len(adapters) for i in range(len(data)))
    answers = asked.answer(data.inputs, numbers)
    return Reference(data, tuple(adapters), numbers, answers)


def _fitted(
    bundle: Bundle, asked: Asked, adapter: Adapter, number: int, training: CalibrationSet
) -> Adapter:
    assert training.classes is not None, "heads are fitted to labels"
    pooled = asked.answer(training.inputs, [number] * len(training)).pooled
    return fitted(
        bundle.manifest, adapter, dict(bundle.head), pooled, training.classes, training.labels
    )


def measure(
    bundle: Bundle, runtime: Runtime, reference: Reference, tolerance: Tolerance
) -> Finding:
    """Measure the variant that a runtime has opened.

    The runtime needs slots for the reference's adapters and two more.
    """
    data, adapters = reference.data, reference.adapters
    asked = Asked(bundle, runtime, adapters)
    answers = asked.answer(data.inputs, reference.numbers)
    neighbour = _neighbour_error(bundle, asked, reference)
    asked.seat(adapters)
    speed = tokens_per_second(asked.forward, asked.members, bundle.manifest.image)
    milliseconds = _lone_latency(asked, data.inputs)
    found = Measured(
        provider=runtime.provider,
        passed=False,
        data=data.name,
        inputs=len(data),
        adapters=len(adapters),
        **_errors(reference.answers, answers),
        max_neighbour_error=neighbour,
        **_quality(reference, answers),
        tokens_per_second=speed,
        milliseconds=milliseconds,
    )
    words = breaches(found, _cost(reference, answers), tolerance)
    return Finding(found.model_copy(update={"passed": not words}), tuple(words))


def _errors(expected: Answers, found: Answers) -> dict[str, float]:
    pairs = list(zip(expected.probabilities, found.probabilities, strict=True))
    worst = np.array([np.abs(a - b).max() for a, b in pairs])  # NaN where anything is
    same = np.array([a.argmax() == b.argmax() for a, b in pairs])
    away = np.abs(expected.embeddings - found.embeddings).max(axis=1)
    scale = np.abs(expected.embeddings).max(axis=1)
    return {
        "max_probability_error": float(worst.max()),
        "mean_probability_error": float(worst.mean()),
        "label_agreement": float(same.mean()),
        "max_embedding_error": float((away / scale).max()),
    }


def _right(reference: Reference, answers: Answers) -> _Judged:
    """Return the confidence of each answer and whether it is right."""
    assert reference.data.classes is not None, "there are labels"
    table = np.stack(answers.probabilities)
    return table.max(axis=1), table.argmax(axis=1) == reference.data.classes


def _quality(reference: Reference, answers: Answers) -> dict[str, float | None]:
    if reference.data.classes is None:
        return {}
    found: dict[str, float | None] = {}
    for suffix, given in (("_fp32", reference.answers), ("", answers)):
        confidence, right = _right(reference, given)
        found[f"accuracy{suffix}"] = float(right.mean())
        error = calibration_error(confidence, right).debiased.value
        found[f"calibration_error{suffix}"] = None if np.isnan(error) else error
    return found


def _cost(reference: Reference, answers: Answers) -> Cost | None:
    """Return what the variant costs; None without labels."""
    if reference.data.classes is None:
        return None
    before, after = _right(reference, reference.answers), _right(reference, answers)
    return Cost(paired_difference(before[1], after[1]), _growth(before, after))


def _growth(before: _Judged, after: _Judged) -> Estimate:
    """Return by how much the calibration error grows: interval by drawing the rows anew."""
    rng = np.random.default_rng(_SEED)
    rows = len(before[0])
    drawn = [np.arange(rows), *rng.integers(0, rows, (_DRAWS, rows))]
    found = [
        calibration_error(after[0][i], after[1][i]).debiased.value
        - calibration_error(before[0][i], before[1][i]).debiased.value
        for i in drawn
    ]
    lower, upper = np.quantile(found[1:], [0.025, 0.975]).tolist()
    return Estimate(found[0], lower, upper)


def _neighbour_error(bundle: Bundle, asked: Asked, reference: Reference) -> float:
    """Return how far answers move when adversaries share the pass, at the worst."""
    adapters = reference.adapters
    chosen = np.random.default_rng(_SEED).permutation(len(reference.data))[:_ALONE].tolist()
    inputs = [reference.data.inputs[i] for i in chosen]
    numbers = [reference.numbers[i] for i in chosen]
    alone = [
        asked.answer([each], [number]).probabilities[0]
        for each, number in zip(inputs, numbers, strict=True)
    ]
    worst = []
    # In a dedicated bundle nobody has an adapter; the neighbours are other inputs then.
    magnitudes = _ADVERSARIES if bundle.manifest.targets else ()
    enemies = [adversary(bundle.manifest, adapters[0], magnitude) for magnitude in magnitudes]
    asked.seat([*adapters, *enemies])
    for enemy in range(max(1, len(enemies))):
        foe = len(adapters) + enemy if enemies else 0
        company = [each for one in inputs for each in (one, inputs[0])]
        whose = [each for number in numbers for each in (number, foe)]
        mixed = asked.answer(company, whose).probabilities[::2]
        worst += [np.abs(a - b).max() for a, b in zip(alone, mixed, strict=True)]
    return float(np.max(worst))


def _lone_latency(asked: Asked, inputs: Sequence[Prepared]) -> float:
    """Return the median time in milliseconds that an input of median length takes alone."""
    middle = sorted(inputs, key=len)[len(inputs) // 2]
    seconds = []
    for _ in range(_LONE_RUNS):
        start = time.perf_counter()
        asked.answer([middle], [0])
        seconds.append(time.perf_counter() - start)
    return float(np.median(seconds[1:])) * 1000
