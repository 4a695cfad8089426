"""A stream: many texts or images, answered in as many shared passes as they take."""

from collections.abc import Sequence
from dataclasses import dataclass

from service.engine.adapter import FloatArray
from service.engine.forward import Forward, Member
from service.engine.packing import plan
from service.engine.pixels import Prepared


@dataclass(frozen=True, slots=True)
class Row:
    """What was answered to one input."""

    # [labels], none for the bare backbone and for windows; None: the input alone is not finite
    probabilities: FloatArray | None
    embedding: FloatArray  # [hidden]
    pooled: FloatArray  # [pooled], what the head took


@dataclass(frozen=True, slots=True)
class Streamed:
    """What was answered, in the order of the inputs."""

    rows: tuple[Row, ...]
    places: int  # for tokens, that the passes had


def answer_all(
    forward: Forward,
    inputs: Sequence[Prepared],
    numbers: Sequence[int],
    members: Sequence[Member],
    looked_at: int | None = None,
) -> Streamed:
    """Answer all inputs, the first ones first; `numbers[i]` is the member that `inputs[i]` is for.

    A pass is planned from the `looked_at` inputs that wait longest; None: from all that wait.
    """
    found: dict[int, Row] = {}
    places = 0
    left = list(range(len(inputs)))
    while left:
        waiting = left[:looked_at]
        here = [inputs[i] for i in waiting]
        whose = [numbers[i] for i in waiting]
        planned = plan(list(map(len, here)), whose, forward.runtime.grid, len(members))
        answered = forward.run(planned, here, whose, members)
        places += planned.shape.capacity
        for at, index in enumerate(answered.indices):
            found[waiting[index]] = Row(
                answered.probabilities[at],
                answered.embeddings[at].copy(),  # so that it does not keep the pass's whole output
                answered.pooled[at].copy(),
            )
        left = [i for i in left if i not in found]
    return Streamed(tuple(found[i] for i in range(len(inputs))), places)
