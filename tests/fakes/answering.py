"""Answering many texts directly, pass after pass, as the batcher would without a queue."""

from collections.abc import Sequence

from service.engine.adapter import FloatArray
from service.engine.forward import Forward, Member
from service.engine.packing import plan
from service.engine.tokens import Tokens


def answer_all(
    forward: Forward,
    texts: Sequence[Tokens],
    numbers: Sequence[int],
    members: Sequence[Member],
) -> list[tuple[FloatArray, FloatArray]]:
    """Return probabilities and embedding of every text; all of them must be finite."""
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
