"""Answering many texts or images directly, pass after pass, as a batcher without a queue would."""

from collections.abc import Sequence

from service.engine.adapter import FloatArray
from service.engine.forward import Forward, Member
from service.engine.packing import plan
from service.engine.pixels import Prepared


def answer_all(
    forward: Forward,
    texts: Sequence[Prepared],
    numbers: Sequence[int],
    members: Sequence[Member],
) -> list[tuple[FloatArray, FloatArray]]:
    """Return probabilities and embedding of every text or image; all of them must be finite."""
    found: dict[int, tuple[FloatArray, FloatArray]] = {}
    left = list(range(len(texts)))
    while left:
        lengths = [len(texts[i]) for i in left]
        whose = [numbers[i] for i in left]
        planned = plan(lengths, whose, forward.runtime.grid, len(members))
        answered = forward.run(planned, [texts[i] for i in left], whose, members)
        for at, index in enumerate(answered.indices):
            row = answered.probabilities[at]
            assert row is not None, "a number was not finite"
            found[left[index]] = (row, answered.embeddings[at])
        left = [i for i in left if i not in found]
    return [found[i] for i in range(len(texts))]
