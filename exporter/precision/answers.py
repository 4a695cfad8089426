"""Answers of one variant on one provider: every input of a set, mixed in shared passes."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from service.engine.adapter import Adapter, FloatArray
from service.engine.bundle import Bundle
from service.engine.forward import Forward, Member
from service.engine.pixels import Prepared
from service.engine.runtime import Runtime
from service.engine.stream import answer_all


@dataclass(frozen=True, slots=True)
class Answers:
    """What was answered, by input; rows that are not finite are NaN."""

    probabilities: list[FloatArray]  # [labels] each
    embeddings: FloatArray  # [inputs, hidden]
    pooled: FloatArray  # [inputs, pooled], what the heads took


class Asked:
    """A runtime with the bundle's heads, and adapters in its slots."""

    def __init__(self, bundle: Bundle, runtime: Runtime, adapters: Sequence[Adapter]) -> None:
        self.forward = Forward(bundle, runtime)
        self.members: list[Member] = []
        self.seat(adapters)

    def seat(self, adapters: Sequence[Adapter]) -> None:
        """Put adapters into the slots, from the first one on."""
        self.members = [
            Member(adapter, self.forward.runtime.write(slot, adapter))
            for slot, adapter in enumerate(adapters, 1)
        ]

    def answer(self, inputs: Sequence[Prepared], numbers: Sequence[int]) -> Answers:
        """Answer all inputs in shared passes; `numbers[i]` is the adapter of `inputs[i]`."""
        return answers_of(self.forward, inputs, numbers, self.members)


def answers_of(
    forward: Forward,
    inputs: Sequence[Prepared],
    numbers: Sequence[int],
    members: Sequence[Member],
) -> Answers:
    """Answer all inputs in shared passes; `numbers[i]` is the member that `inputs[i]` is for."""
    rows = answer_all(forward, inputs, numbers, members).rows
    probabilities = []
    for row, number in zip(rows, numbers, strict=True):
        adapter = members[number].adapter
        assert adapter is not None, "the bare backbone is not asked"
        nothing = np.full(len(adapter.labels), np.nan, dtype=np.float32)
        probabilities.append(nothing if row.probabilities is None else row.probabilities)
    return Answers(
        probabilities,
        np.stack([row.embedding for row in rows]),
        np.stack([row.pooled for row in rows]),
    )
