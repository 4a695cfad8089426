"""How well each tenant was answered: against its labels, and against plain `peft`."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from examples.demo.adapters import Trained
from examples.demo.traffic import Reply


@dataclass(frozen=True, slots=True)
class Score:
    """One tenant's answers."""

    answers: int
    tested: int  # of them to texts of the test split
    right: int  # of those the ones with the data set's label
    as_peft: int  # of all answers the ones with peft's label
    worst: float  # largest difference of a probability to peft's

    @property
    def accuracy(self) -> float:
        """Return the share of right answers to texts of the test split."""
        return self.right / self.tested

    @property
    def agreement(self) -> float:
        """Return the share of answers with peft's label."""
        return self.as_peft / self.answers


def scores_of(
    adapters: Sequence[Trained],
    expected: Sequence[npt.NDArray[np.float32]],  # by tenant: peft's probabilities [texts, labels]
    replies: Sequence[Reply],
) -> list[Score]:
    """Return one score a tenant, in the order of the adapters."""
    return [
        _score(trained, wanted, [r for r in replies if r.question.business == business])
        for business, (trained, wanted) in enumerate(zip(adapters, expected, strict=True))
    ]


def _score(trained: Trained, wanted: npt.NDArray[np.float32], replies: Sequence[Reply]) -> Score:
    rows = [reply.question.row for reply in replies]
    found = np.array([[reply.scores[label] for label in trained.labels] for reply in replies])
    of_peft = [trained.labels[best] for best in wanted[rows].argmax(axis=1)]
    tested = [reply for reply in replies if reply.question.row < len(trained.test)]
    return Score(
        answers=len(replies),
        tested=len(tested),
        right=sum(reply.label == trained.test[reply.question.row].label for reply in tested),
        as_peft=sum(r.label == label for r, label in zip(replies, of_peft, strict=True)),
        worst=float(abs(found - wanted[rows]).max()),
    )
