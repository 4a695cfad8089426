import math

import pytest
import torch
from torch.nn import functional

from exporter.distill.losses import (
    NO_LABEL,
    Targets,
    Weights,
    divergence,
    loss_of,
    mean_state,
)

TEACHER = torch.tensor([[2.0, 0.0, -1.0], [0.5, 0.5, 3.0]])
STUDENT = torch.tensor([[1.0, 1.0, 0.0], [0.0, 2.0, 2.5]])
STATES = torch.ones(2, 2)
NONE = torch.tensor([NO_LABEL, NO_LABEL])


def test_the_divergence_of_equal_answers_is_none() -> None:
    assert divergence(TEACHER, TEACHER, 3.0).abs().max() < 1e-6
    assert divergence(TEACHER + 5.0, TEACHER).abs().max() < 1e-6  # logits have no zero


@pytest.mark.parametrize("temperature", [1.0, 2.0, 5.0])
def test_the_divergence_is_torch_s_times_the_square_of_the_temperature(temperature: float) -> None:
    expected = functional.kl_div(
        torch.log_softmax(STUDENT / temperature, -1),
        torch.softmax(TEACHER / temperature, -1),
        reduction="none",
    ).sum(-1)
    assert torch.allclose(divergence(STUDENT, TEACHER, temperature), expected * temperature**2)


def test_rows_without_a_label_learn_from_the_teacher_alone() -> None:
    weights = Weights(temperature=2.0, labels=0.5)
    loss = loss_of(STUDENT, STATES, Targets(TEACHER, NONE), weights)
    assert loss.item() == pytest.approx(divergence(STUDENT, TEACHER, 2.0).mean().item())


def test_rows_with_a_label_share_the_loss() -> None:
    labels = torch.tensor([2, NO_LABEL])
    loss = loss_of(STUDENT, STATES, Targets(TEACHER, labels), Weights(2.0, labels=0.25))
    soft = divergence(STUDENT, TEACHER, 2.0)
    hard = -torch.log_softmax(STUDENT, -1)[0, 2]
    assert loss.item() == pytest.approx(((0.75 * soft[0] + 0.25 * hard + soft[1]) / 2).item())


def test_labels_alone_are_the_usual_cross_entropy() -> None:
    labels = torch.tensor([0, 2])
    loss = loss_of(STUDENT, STATES, Targets(TEACHER, labels), Weights(2.0, labels=1.0))
    assert loss.item() == pytest.approx(functional.cross_entropy(STUDENT, labels).item())


def test_the_distance_of_states_is_what_they_do_not_share_in_direction() -> None:
    states, others = torch.tensor([[1.0, 0.0], [0.0, 2.0]]), torch.tensor([[0.0, 3.0], [0.0, 7.0]])
    weights = Weights(1.0, labels=0.0, states=4.0)
    plain = loss_of(TEACHER, STATES, Targets(TEACHER, NONE), Weights(1.0, labels=0.0))
    loss = loss_of(TEACHER, states, Targets(TEACHER, NONE, others), weights)
    assert (loss - plain).item() == pytest.approx(4.0 * (1.0 + 0.0) / 2)


def test_the_gradient_pulls_towards_the_teacher() -> None:
    student = STUDENT.clone().requires_grad_()
    loss_of(student, STATES, Targets(TEACHER, NONE), Weights(2.0)).backward()
    assert student.grad is not None
    nearer = divergence(STUDENT - 0.1 * student.grad, TEACHER, 2.0).mean()
    assert nearer < divergence(STUDENT, TEACHER, 2.0).mean()


def test_the_mean_state_leaves_padding_out() -> None:
    hidden = torch.tensor([[[1.0, 2.0], [3.0, 4.0]], [[5.0, 6.0], [math.inf, 8.0]]])
    mask = torch.tensor([[1, 1], [1, 0]])
    hidden[1, 1] = 100.0
    assert mean_state(hidden, mask).tolist() == [[2.0, 3.0], [5.0, 6.0]]
