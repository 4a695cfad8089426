"""What a student is trained on: the teacher's answers, the true labels, the teacher's states."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

NO_LABEL = -100  # what `cross_entropy` passes over


@dataclass(frozen=True, slots=True)
class Weights:
    """How the losses are mixed."""

    temperature: float = 2.0  # softens both answers before they are compared
    labels: float = 0.5  # share of the cross entropy with the true label, where there is one
    states: float = 0.0  # of the distance of the embeddings, beside the others


@dataclass(frozen=True, slots=True)
class Targets:
    """What a batch should come to."""

    logits: Tensor  # [texts, labels] of the teacher
    labels: Tensor  # [texts] int64, NO_LABEL where there is none
    states: Tensor | None = None  # [texts, hidden] of the teacher, mean over the tokens


def loss_of(logits: Tensor, states: Tensor, targets: Targets, weights: Weights) -> Tensor:
    """Return the mean loss of a batch.

    The divergence of the student's answers from the teacher's, both at a temperature, times its
    square, so that its gradient does not shrink (Hinton, Vinyals and Dean 2015, arXiv 1503.02531);
    the cross entropy with true labels takes its share from the rows that have one. The distance of
    states is 1 - cosine (Sanh et al. 2019, arXiv 1910.01108).
    """
    soft = divergence(logits, targets.logits, weights.temperature)  # [texts]
    has_label = targets.labels != NO_LABEL
    hard = functional.cross_entropy(logits, targets.labels, ignore_index=NO_LABEL, reduction="none")
    share = weights.labels * has_label.to(soft.dtype)
    total = ((1 - share) * soft + share * hard).mean()
    if weights.states:
        assert targets.states is not None, "a distance needs both"
        distance = 1 - functional.cosine_similarity(states, targets.states, dim=-1)
        total = total + weights.states * distance.mean()
    return total


def divergence(student: Tensor, teacher: Tensor, temperature: float = 1.0) -> Tensor:
    """Return KL(teacher, student) of each row at a temperature, times its square; in nats."""
    wanted = torch.log_softmax(teacher / temperature, dim=-1)
    found = torch.log_softmax(student / temperature, dim=-1)
    by_row: Tensor = (wanted.exp() * (wanted - found)).sum(dim=-1)
    return by_row * temperature**2


def mean_state(hidden: Tensor, mask: Tensor) -> Tensor:
    """Return the mean of the last hidden states over a text's tokens, [texts, hidden].

    hidden [texts, tokens, hidden]; mask [texts, tokens], 1 for a token, 0 for padding.
    """
    own = mask.unsqueeze(-1).to(hidden.dtype)
    total: Tensor = (hidden * own).sum(dim=1)
    return total / own.sum(dim=1)
