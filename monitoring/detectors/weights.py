"""How many predictions a label stands for."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from monitoring.labelled import Labelled
from monitoring.rows import TruthArray
from service.measures import effective_count

_ROUNDING = 1e-6  # of an effective count, where all weights are the same


@dataclass(frozen=True, slots=True)
class Weighed:
    """Which labels estimates rest on, and what each weighs."""

    counts: TruthArray  # [n], whether a label counts towards estimates
    weights: npt.NDArray[np.float64]  # [n]; 0 for those that don't count
    is_weighted: bool  # whether an audit share was on for any of the predictions

    @property
    def left_out(self) -> int:
        """Return how many labels don't count."""
        return int((~self.counts).sum())

    def too_few(self, labels_min: int) -> str | None:
        """Return why the labels tell too little, or None where they tell enough.

        Labels that differ in weight count as many equal ones as tell as much (Kish), because two
        heavy ones among a hundred light ones tell what two labels tell.
        """
        effective = effective_count(self.weights[self.counts]) + _ROUNDING
        if effective >= labels_min:
            return None
        reason = f"too few labels: {int(effective)} of {labels_min}"
        count = int(self.counts.sum())
        if count > effective + 1:
            reason += f" ({count} of unequal weight tell no more)"
        if self.left_out:
            reason += f"; {self.left_out} that came by themselves do not count"
        return reason


def weigh(labelled: Labelled) -> Weighed:
    """Return the weights of labels: 1 without an audit share, else 1 / p for those drawn with p.

    Labels that come by themselves come mostly from complaints, so they don't count for predictions
    of a time with an audit share, when a random sample was drawn to be labelled (Horvitz and
    Thompson, JASA 47, 1952). For predictions of a time without, all labels weigh 1 and stand for
    themselves alone, since nobody knows of how many they are the chosen ones. So where the share
    was turned on within the time looked at, drawn labels soon outweigh the others.

    Assumed: whether a drawn prediction does get its label has nothing to do with whether it was
    right; and without an audit share, neither has whether a label comes.
    """
    probability = np.asarray(labelled.audit_probability, dtype=np.float64)
    was_on = probability > 0
    counts = labelled.audit | ~was_on
    weights = np.where(was_on, 1 / np.where(was_on, probability, 1.0), 1.0)
    return Weighed(counts, np.where(counts, weights, 0.0), bool(was_on.any()))
