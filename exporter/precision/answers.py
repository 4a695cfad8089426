"""Answers of one variant on one provider: every input of a set, mixed in shared passes."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from service.engine.adapter import Adapter, FloatArray
from service.engine.bundle import Bundle
from service.engine.forward import Forward, Member
from service.engine.packing import plan
from service.engine.pixels import Prepared
from service.engine.runtime import Runtime


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
        probabilities: dict[int, FloatArray] = {}
        embeddings: dict[int, FloatArray] = {}
        pooled: dict[int, FloatArray] = {}
        left = list(range(len(inputs)))
        while left:
            here, whose = [inputs[i] for i in left], [numbers[i] for i in left]
            lengths = [len(each) for each in here]
            planned = plan(lengths, whose, self.forward.runtime.grid, len(self.members))
            answered = self.forward.run(planned, here, whose, self.members)
            for at, index in enumerate(answered.indices):
                row = answered.probabilities[at]
                adapter = self.members[whose[index]].adapter
                assert adapter is not None, "the bare backbone is not asked"
                nothing = np.full(len(adapter.labels), np.nan, dtype=np.float32)
                probabilities[left[index]] = nothing if row is None else row
                embeddings[left[index]] = answered.embeddings[at]
                pooled[left[index]] = answered.pooled[at]
            gone = set(answered.indices)
            left = [each for at, each in enumerate(left) if at not in gone]
        order = range(len(inputs))
        return Answers(
            [probabilities[i] for i in order],
            np.stack([embeddings[i] for i in order]),
            np.stack([pooled[i] for i in order]),
        )
