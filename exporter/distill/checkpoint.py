"""Checkpoints of a training: whole on disk or not there, never executed when they are read.

    checkpoint-<step>/state.json              step, loss so far, digests of the two others
                      model.safetensors       the student's weights
                      optimiser.safetensors   <parameter>.exp_avg, .exp_avg_sq, .step

A checkpoint is written beside the others under another name, made durable, and renamed, so that
wherever the machine stops there is a whole one: the two newest are kept, since a disk may lose
what it said it had. Nothing is pickled.
"""

import re
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import orjson
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from exporter.errors import DistillationFailed
from exporter.parts import sync
from service.engine import digest

_KEPT = 2
_NAME = re.compile(r"checkpoint-(\d{9})")
_PART = ".part"
_STATE, _MODEL, _OPTIMISER = "state.json", "model.safetensors", "optimiser.safetensors"


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a training is."""

    step: int = 0  # steps that were done
    loss_sum: float = 0.0  # of the steps of the epoch that is under way
    losses: tuple[float, ...] = ()  # mean of each epoch that is over


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A training at one moment."""

    progress: Progress
    model: Mapping[str, Tensor]
    optimiser: Mapping[str, Tensor]


class Checkpoints:
    """The checkpoints of one training, in a folder of theirs."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def save(self, checkpoint: Checkpoint) -> None:
        """Write a checkpoint for good; raise `DistillationFailed` where the disk does not take it.

        Older ones than the newest two go.
        """
        place = self._folder / f"checkpoint-{checkpoint.progress.step:09d}"
        part = place.with_suffix(_PART)
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            shutil.rmtree(part, ignore_errors=True)
            shutil.rmtree(place, ignore_errors=True)  # a damaged one, or this would not be written
            part.mkdir()
            save_file(_plain(checkpoint.model), part / _MODEL)
            save_file(_plain(checkpoint.optimiser), part / _OPTIMISER)
            files = {name: digest.of_file(part / name) for name in (_MODEL, _OPTIMISER)}
            document = {**asdict(checkpoint.progress), "files": files}
            (part / _STATE).write_bytes(orjson.dumps(document, option=orjson.OPT_INDENT_2))
            for file in part.iterdir():
                sync(file)
            sync(part)
            part.rename(place)
            sync(self._folder)
        except (OSError, SafetensorError) as error:
            raise DistillationFailed(
                f"a checkpoint could not be written below {self._folder}: {error}; make room, and"
                " the same command continues"
            ) from error
        for older in self._places()[_KEPT:]:
            shutil.rmtree(older, ignore_errors=True)

    def newest(self) -> Checkpoint | None:
        """Return the newest checkpoint that is whole; None where there is none."""
        for place in self._places():
            found = _read(place)
            if found is not None:
                return found
        return None

    def _places(self) -> list[Path]:
        """Return the folders of checkpoints, the newest first."""
        if not self._folder.is_dir():
            return []
        named = [path for path in self._folder.iterdir() if _NAME.fullmatch(path.name)]
        return sorted(named, reverse=True)


def _read(place: Path) -> Checkpoint | None:
    """Return a checkpoint; None where a byte of it is not as it was written."""
    try:
        document: dict[str, Any] = orjson.loads((place / _STATE).read_bytes())
        files = document.pop("files")
        if any(digest.of_file(place / name) != of for name, of in files.items()):
            return None
        progress = Progress(**{**document, "losses": tuple(document["losses"])})
        return Checkpoint(progress, load_file(place / _MODEL), load_file(place / _OPTIMISER))
    except (OSError, orjson.JSONDecodeError, KeyError, TypeError, SafetensorError):
        return None


def optimiser_tensors(
    optimiser: torch.optim.Optimizer, names: Mapping[Tensor, str]
) -> dict[str, Tensor]:
    """Return an optimiser's state by parameter: `<name>.<key>`."""
    return {
        f"{names[parameter]}.{key}": value
        for parameter, state in optimiser.state.items()
        for key, value in state.items()
    }


def restore_optimiser(
    optimiser: torch.optim.Optimizer,
    tensors: Mapping[str, Tensor],
    parameters: Mapping[str, Tensor],
) -> None:
    """Give an optimiser the state that `optimiser_tensors` took."""
    for name, tensor in tensors.items():
        parameter, _, key = name.rpartition(".")
        owner = parameters[parameter]
        # the step stays on the host, as torch has it
        optimiser.state[owner][key] = tensor.clone() if key == "step" else tensor.to(owner.device)


def _plain(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return copies on the host that share no memory: safetensors refuses what does."""
    return {name: t.detach().to("cpu", copy=True).contiguous() for name, t in tensors.items()}
