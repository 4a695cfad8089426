"""Windows: a text beyond the length limit, in pieces that overlap and fit. Pure.

Windows begin at every (room - overlap)th token, as `transformers` cuts with `stride` and
`return_overflowing_tokens`, so what was trained on such pieces is answered on the same ones. What
the passes give for the windows becomes what the head takes by a mean (docs/adr/0024).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

WINDOWS_MAX = 64  # of one text, whatever an upload asks for


@dataclass(frozen=True, slots=True)
class Windows:
    """How a version wants its long texts cut."""

    overlap: int  # tokens that a window repeats of the one before it
    most: int  # windows of one text


@dataclass(frozen=True, slots=True)
class Cut:
    """Where the windows of a text lie in its tokens."""

    spans: tuple[tuple[int, int], ...]  # begin and end, in order
    left_out: int  # tokens at the end that no window holds


def cut(length: int, room: int, windows: Windows) -> Cut:
    """Return the windows of `length` tokens where each holds `room` of them.

    All but the last are full, each begins `room - overlap` tokens after the one before it, and
    together they hold every token, unless there would be more than `windows.most`.
    """
    assert 0 <= windows.overlap < room, "each window brings something new"
    step = room - windows.overlap
    count = 1 + max(0, -((room - length) // step))
    spans = tuple(
        (number * step, min(number * step + room, length))
        for number in range(min(count, windows.most))
    )
    return Cut(spans, length - spans[-1][1])


def pooled_over(
    states: Floats, lengths: Sequence[int], pooling: Literal["first", "mean", "own"]
) -> Floats:
    """Return one state [n] for the states [windows, n] of a text's windows.

    A mean over tokens goes on as one over all tokens of all windows, so each counts by its length;
    what a first token holds says nothing of how many there were, so each counts the same.
    """
    if pooling != "mean":
        plain: Floats = states.mean(axis=0, dtype=np.float32)
        return plain
    weights = np.asarray(lengths, dtype=np.float32)
    weighted: Floats = (weights / weights.sum()) @ states
    return weighted
