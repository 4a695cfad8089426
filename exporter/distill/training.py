"""Training a student: steps that depend on nothing but the seed, and checkpoints between them.

What a step does follows from its number: which texts, at which rate, with which dropout. So a run
that was killed continues from its newest checkpoint and comes to the same weights as one that was
not, bit for bit on one machine with the same number of threads.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from exporter.distill.answers import Answers, ask
from exporter.distill.batches import Encoded, Indices, epoch_batches, steps_of
from exporter.distill.checkpoint import (
    Checkpoint,
    Checkpoints,
    Progress,
    optimiser_tensors,
    restore_optimiser,
)
from exporter.distill.compute import Compute
from exporter.distill.losses import NO_LABEL, Targets, Weights, loss_of
from exporter.errors import DistillationFailed

_DECAY = 0.01  # of matrices
_CLIP = 1.0  # norm of the gradient
_WARMUP = 0.1  # share of the steps
_SEED_STRIDE = 1_000_003


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a student is trained."""

    epochs: int = 5
    batch: int = 32
    rate: float = 1e-4
    weights: Weights = field(default_factory=Weights)
    seed: int = 0
    checkpoint_steps: int = 100  # between two checkpoints; changes no result


@dataclass(frozen=True, slots=True)
class Material:
    """What is trained on, text by text in one order."""

    texts: Encoded
    labels: Sequence[int | None]
    teacher: Answers


# (steps done, steps in all)
OnStep = Callable[[int, int], None]


class Training:
    """One training of one student."""

    def __init__(
        self,
        student: PreTrainedModel,
        material: Material,
        recipe: Recipe,
        compute: Compute,
        checkpoints: Checkpoints,
    ) -> None:
        """Continue from the newest checkpoint, if there is one."""
        self._student = student.to(compute.device)  # type: ignore[arg-type]
        self._material = material
        self._recipe = recipe
        self._compute = compute
        self._checkpoints = checkpoints
        self._parameters = dict(student.named_parameters())
        self._optimiser = _optimiser(self._parameters, recipe.rate)
        labels = [NO_LABEL if label is None else label for label in material.labels]
        self._labels = torch.tensor(labels, dtype=torch.int64)
        self._per_epoch = steps_of(len(material.texts), recipe.batch)
        self.steps = self._per_epoch * recipe.epochs
        self.progress = Progress()
        self._batches: tuple[int, list[Indices]] = (-1, [])
        self._continue()

    def _continue(self) -> None:
        found = self._checkpoints.newest()
        if found is None:
            return
        self._student.load_state_dict(dict(found.model))
        restore_optimiser(self._optimiser, found.optimiser, self._parameters)
        self.progress = found.progress

    def run(self, done: OnStep) -> tuple[float, ...]:
        """Train to the end; return the mean loss of each epoch.

        Raises `DistillationFailed` where the loss is not finite, or a checkpoint cannot be
        written.
        """
        self._student.train()
        done(self.progress.step, self.steps)
        while self.progress.step < self.steps:
            self.progress = self._after(self._step(self.progress.step))
            step = self.progress.step
            if step % self._recipe.checkpoint_steps == 0 or step == self.steps:
                self._save()
            done(step, self.steps)
        self._student.eval()
        return self.progress.losses

    def _step(self, step: int) -> float:
        """Do one step; return its loss."""
        torch.manual_seed(self._recipe.seed * _SEED_STRIDE + step)  # of the dropout
        for group in self._optimiser.param_groups:
            group["lr"] = self._recipe.rate * _schedule(step, self.steps)
        chosen = self._chosen(step)
        device = self._compute.device
        logits, states = ask(self._student, self._material.texts, chosen, self._compute)
        rows = torch.from_numpy(chosen)
        teacher = self._material.teacher
        targets = Targets(
            logits=teacher.logits[rows].to(device),
            labels=self._labels[rows].to(device),
            states=None if teacher.states is None else teacher.states[rows].to(device),
        )
        loss = loss_of(logits, states, targets, self._recipe.weights)
        self._optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self._student.parameters(), _CLIP)
        self._optimiser.step()
        value = float(loss.item())
        if not math.isfinite(value):
            raise DistillationFailed(
                f"the loss of step {step + 1} is {value}: the training diverged; try a lower --rate"
            )
        return value

    def _chosen(self, step: int) -> Indices:
        epoch, index = divmod(step, self._per_epoch)
        if self._batches[0] != epoch:
            lengths = self._material.texts.lengths
            made = epoch_batches(lengths, self._recipe.batch, self._recipe.seed, epoch)
            self._batches = (epoch, made)
        return np.ascontiguousarray(self._batches[1][index])

    def _after(self, loss: float) -> Progress:
        before = self.progress
        step, total = before.step + 1, before.loss_sum + loss
        if step % self._per_epoch:
            return replace(before, step=step, loss_sum=total)
        return Progress(step, 0.0, (*before.losses, total / self._per_epoch))

    def _save(self) -> None:
        names: dict[Tensor, str] = {p: name for name, p in self._parameters.items()}
        self._checkpoints.save(
            Checkpoint(
                progress=self.progress,
                model=self._student.state_dict(),
                optimiser=optimiser_tensors(self._optimiser, names),
            )
        )


def _optimiser(parameters: Mapping[str, Tensor], rate: float) -> torch.optim.AdamW:
    """Return AdamW; biases and norms are not decayed (Loshchilov and Hutter, arXiv 1711.05101)."""
    matrices = [p for p in parameters.values() if p.dim() > 1]
    others = [p for p in parameters.values() if p.dim() <= 1]
    groups = [{"params": matrices, "weight_decay": _DECAY}, {"params": others, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=rate, foreach=False)


def _schedule(step: int, steps: int) -> float:
    """Return the share of the rate: up over the first tenth of the steps, then down to 0."""
    warm = max(1, int(_WARMUP * steps))
    if step < warm:
        return (step + 1) / warm
    return (steps - step) / max(1, steps - warm)
