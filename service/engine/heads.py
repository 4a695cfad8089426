"""Heads: from pooled hidden states to probabilities, each text by its own adapter's head.

A head is a few small matrices, so it runs on the host in numpy. Modules that no adapter in the
batch overrides run once for all texts.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from service.engine.adapter import Adapter, FloatArray
from service.engine.bundle import Bundle, Head, HeadStep


def erf(x: FloatArray) -> FloatArray:
    """Return the error function (Abramowitz and Stegun 1964, 7.1.26), in float32 to 5e-7."""
    t = 1.0 / (1.0 + 0.3275911 * np.abs(x))
    series = t * (
        0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429)))
    )
    result: FloatArray = np.copysign(1.0 - series * np.exp(-x * x), x).astype(np.float32)
    return result


def softmax(logits: FloatArray) -> FloatArray:
    """Return the softmax over the last axis; -inf entries get 0."""
    shifted = np.exp(logits - logits.max(axis=-1, keepdims=True))
    result: FloatArray = shifted / shifted.sum(axis=-1, keepdims=True)
    return result


def _pointwise(kind: str, x: FloatArray) -> FloatArray:
    if kind == "tanh":
        return np.tanh(x)
    if kind == "relu":
        return np.maximum(x, np.float32(0))
    assert kind == "gelu", kind
    half = np.float32(0.5)
    result: FloatArray = x * half * (1 + erf(x * np.float32(np.sqrt(0.5))))
    return result


def _apply(step: HeadStep, tensors: Mapping[str, FloatArray], x: FloatArray) -> FloatArray:
    """Return x [texts, in] after a `linear` or `layer_norm` step."""
    weight = tensors[f"{step.module}.weight"]
    if step.kind == "linear":
        y = x @ weight.T
    else:
        centred = x - x.mean(axis=-1, keepdims=True)
        variance = np.square(centred).mean(axis=-1, keepdims=True)
        y = centred / np.sqrt(variance + np.float32(step.epsilon)) * weight
    if step.bias:
        y = y + tensors[f"{step.module}.bias"]
    result: FloatArray = y
    return result


def features(head: Head, tensors: Mapping[str, FloatArray], pooled: FloatArray) -> FloatArray:
    """Return what the head's last layer takes, [texts, in], for pooled states [texts, pooled]."""
    x = pooled
    for step in head.steps[:-1]:
        x = _apply(step, tensors, x) if step.module else _pointwise(step.kind, x)
    return x


class Heads:
    """The bundle's head recipe with the modules that its checkpoint held."""

    def __init__(self, bundle: Bundle) -> None:
        self._recipe: Head = bundle.manifest.head
        self._held: Mapping[str, FloatArray] = bundle.head

    def probabilities(
        self, pooled: FloatArray, groups: Sequence[tuple[Adapter, Sequence[int]]]
    ) -> list[FloatArray]:
        """Return per group the probabilities [texts of the group, labels] float32.

        `pooled` [texts, hidden]; a group is an adapter and the rows that are its texts. The
        softmax is of logits over the adapter's temperature. Non-finite rows stay non-finite.
        """
        with np.errstate(all="ignore"):
            return self._probabilities(pooled, groups)

    def _probabilities(
        self, pooled: FloatArray, groups: Sequence[tuple[Adapter, Sequence[int]]]
    ) -> list[FloatArray]:
        x = pooled[[row for _, rows in groups for row in rows]]
        ends = np.cumsum([len(rows) for _, rows in groups]).tolist()
        spans = [slice(end - len(rows), end) for end, (_, rows) in zip(ends, groups, strict=True)]
        for step in self._recipe.steps[:-1]:
            x = self._step(step, x, groups, spans)
        last = self._recipe.steps[-1]
        width = max(len(adapter.labels) for adapter, _ in groups)
        logits = np.full((len(x), width), -np.inf, dtype=np.float32)
        for (adapter, _), span in zip(groups, spans, strict=True):
            own = self._tensors_for(last, adapter) or self._held
            count = len(adapter.labels)
            if span.stop - span.start == 1:  # most often: a text or two of each adapter
                np.dot(own[f"{last.module}.weight"], x[span.start], out=logits[span.start, :count])
            else:
                logits[span, :count] = x[span] @ own[f"{last.module}.weight"].T
            if last.bias:
                logits[span, :count] += own[f"{last.module}.bias"]
            if adapter.temperature != 1.0:
                logits[span, :count] /= np.float32(adapter.temperature)
        spread = softmax(logits)
        return [
            spread[span, : len(adapter.labels)]
            for (adapter, _), span in zip(groups, spans, strict=True)
        ]

    def _step(
        self,
        step: HeadStep,
        x: FloatArray,
        groups: Sequence[tuple[Adapter, Sequence[int]]],
        spans: Sequence[slice],
    ) -> FloatArray:
        if not step.module:
            return _pointwise(step.kind, x)
        owned = [self._tensors_for(step, adapter) for adapter, _ in groups]
        if not any(owned):
            return _apply(step, self._held, x)
        parts = [
            _apply(step, tensors or self._held, x[span])
            for tensors, span in zip(owned, spans, strict=True)
        ]
        return np.concatenate(parts)

    @staticmethod
    def _tensors_for(step: HeadStep, adapter: Adapter) -> Mapping[str, FloatArray] | None:
        return adapter.head if f"{step.module}.weight" in adapter.head else None
