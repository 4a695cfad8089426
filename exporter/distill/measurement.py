"""Measuring: teacher and student on the same held-out texts."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import PreTrainedModel

from exporter.distill.answers import ask, ask_all
from exporter.distill.batches import Encoded, sorted_batches
from exporter.distill.compute import Compute
from exporter.distill.losses import divergence
from service import measures
from service.measures import Estimate

_ROUNDS = 5
_TOKENS = 2048  # of a batch that is timed
_TIMED = 16  # batches of a round, at most


@dataclass(frozen=True, slots=True)
class Figures:
    """What one model does on the held-out texts; None where no text has a label."""

    parameters: int
    layers: int
    tokens_per_second: float  # in torch; of real tokens, without padding
    accuracy: Estimate | None
    calibration_error: Estimate | None  # debiased
    calibration_error_plug_in: float | None  # the usual ECE
    brier: Estimate | None  # of top labels


@dataclass(frozen=True, slots=True)
class Comparison:
    """Teacher and student on the same texts."""

    texts: int
    labelled: int
    teacher: Figures
    student: Figures
    agreement: Estimate  # share of texts that both give the same label
    divergence: float  # mean KL(teacher, student), nats
    speed_ratio: float  # median over rounds in which both took part

    def document(self) -> dict[str, object]:
        """Return it as JSON has it: intervals as [value, lower, upper], None for NaN."""
        return {name: _plain(value) for name, value in asdict(self).items()}


@dataclass(frozen=True, slots=True)
class Contestant:
    """A model, and the held-out texts as its tokenizer cuts them."""

    model: PreTrainedModel
    texts: Encoded


def compare(
    teacher: Contestant,
    student: Contestant,
    labels: Sequence[int | None],
    compute: Compute,
) -> Comparison:
    """Ask both all texts, and measure how fast they are, in turns."""
    answers = {
        name: ask_all(one.model, one.texts, compute).logits
        for name, one in (("teacher", teacher), ("student", student))
    }
    known = np.array([label is not None for label in labels])
    right = np.array([label for label in labels if label is not None], dtype=np.int64)
    rates = _rates({"teacher": teacher, "student": student}, compute)
    figures = {
        name: _figures(one.model, answers[name], known, right, float(np.median(rates[name])))
        for name, one in (("teacher", teacher), ("student", student))
    }
    same = (answers["teacher"].argmax(-1) == answers["student"].argmax(-1)).numpy()
    apart = divergence(answers["student"], answers["teacher"]).mean()
    ratios = [s / t for s, t in zip(rates["student"], rates["teacher"], strict=True)]
    return Comparison(
        texts=len(labels),
        labelled=int(known.sum()),
        teacher=figures["teacher"],
        student=figures["student"],
        agreement=measures.wilson(int(same.sum()), len(same)),
        divergence=float(apart),
        speed_ratio=float(np.median(ratios)),
    )


def _figures(
    model: PreTrainedModel,
    logits: Tensor,
    known: NDArray[np.bool_],
    right: NDArray[np.int64],
    speed: float,
) -> Figures:
    accuracy = error = brier = plug_in = None
    if len(right):
        probabilities = logits.softmax(-1).numpy()[known]
        is_right = probabilities.argmax(-1) == right
        confidence = probabilities.max(-1)
        found = measures.calibration_error(confidence, is_right)
        accuracy = measures.wilson(int(is_right.sum()), len(right))
        error, plug_in = found.debiased, found.plug_in
        brier = measures.brier_parts(confidence, is_right).score
    return Figures(
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        layers=int(model.config.num_hidden_layers),
        tokens_per_second=speed,
        accuracy=accuracy,
        calibration_error=error,
        calibration_error_plug_in=plug_in,
        brier=brier,
    )


def _rates(contestants: Mapping[str, Contestant], compute: Compute) -> dict[str, list[float]]:
    """Return the tokens per second of each contestant, by round; the first round warms."""
    found: dict[str, list[float]] = {name: [] for name in contestants}
    for number in range(_ROUNDS + 1):
        for name, one in contestants.items():
            rate = _rate(one, compute)
            if number:
                found[name].append(rate)
    return found


def _rate(one: Contestant, compute: Compute) -> float:
    batches = sorted_batches(one.texts.lengths, _TOKENS)
    batches = batches[:: -(-len(batches) // _TIMED)]  # of all lengths
    tokens = sum(int(one.texts.lengths[batch].sum()) for batch in batches)
    one.model.eval()
    begun = time.perf_counter()
    with torch.inference_mode():
        for batch in batches:
            logits, _ = ask(one.model, one.texts, batch, compute)
            logits.cpu()  # waits for a device that works beside
    return tokens / (time.perf_counter() - begun)


def _plain(value: object) -> object:
    if isinstance(value, dict):
        if set(value) == {"value", "lower", "upper"}:
            return [_plain(value[key]) for key in ("value", "lower", "upper")]
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, float):
        return None if np.isnan(value) else value
    return value
