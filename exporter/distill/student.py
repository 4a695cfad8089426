"""The student: a smaller checkpoint, or some of the teacher's own layers."""

import copy
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from transformers import AutoModelForSequenceClassification, PreTrainedModel

from exporter.errors import UnsupportedModel
from exporter.families.catalogue import family_of
from exporter.source import LoadedModel, fresh_heads_expected, loaded_for


def taken_layers(layers: int, wanted: int) -> tuple[int, ...]:
    """Return which of the teacher's layers a student of fewer gets: the last of each k.

    >>> taken_layers(6, 3)
    (1, 3, 5)
    """
    if not 1 <= wanted < layers:
        raise UnsupportedModel(
            f"a student of {wanted} layers: the teacher has {layers}, so it can have 1 to"
            f" {layers - 1}"
        )
    return tuple((number + 1) * layers // wanted - 1 for number in range(wanted))


def student_of_layers(teacher: LoadedModel, wanted: int, classes: Sequence[str]) -> PreTrainedModel:
    """Return a student that begins as `wanted` layers of the teacher, with its embeddings and head.

    Raises `UnsupportedModel` where the teacher has not more layers than that.
    """
    model = teacher.model
    prefix, layers = _layers(model)
    taken = taken_layers(layers, wanted)
    config = copy.deepcopy(model.config)
    config.num_hidden_layers = wanted  # other names of it are mapped by the config
    _name_classes(config, classes)
    with fresh_heads_expected():
        student = AutoModelForSequenceClassification.from_config(config).float()
    wanted_state = student.state_dict()
    source = {_renamed(name, prefix, taken): tensor for name, tensor in model.state_dict().items()}
    usable = {
        name: tensor
        for name, tensor in source.items()
        if name in wanted_state and tensor.shape == wanted_state[name].shape
    }
    student.load_state_dict(usable, strict=False)
    return _checked(student)


def student_of_folder(student: LoadedModel, classes: Sequence[str], seed: int) -> PreTrainedModel:
    """Return the student that a checkpoint begins as; its head is drawn anew where it must be."""
    torch.manual_seed(seed)
    model, _ = loaded_for(student, len(classes))
    _name_classes(model.config, classes)
    return _checked(model)


def save_student(student: PreTrainedModel, tokenizer: LoadedModel, folder: Path) -> None:
    """Write the student as a plain `transformers` folder, with the tokenizer that it takes."""
    student.save_pretrained(folder, safe_serialization=True)
    tokenizer.tokenizer.save_pretrained(folder)


def encoder_of(model: PreTrainedModel) -> nn.Module:
    """Return the encoder, whose first output is the last hidden states."""
    return model.get_submodule(family_of(model.config.model_type).encoder)


def _checked(student: PreTrainedModel) -> PreTrainedModel:
    assert isinstance(student, PreTrainedModel)
    family_of(student.config.model_type)  # which refuses what could not be exported afterwards
    return student


def _name_classes(config: object, classes: Sequence[str]) -> None:
    config.id2label = dict(enumerate(classes))  # type: ignore[attr-defined]
    config.label2id = {name: number for number, name in enumerate(classes)}  # type: ignore[attr-defined]
    config.problem_type = "single_label_classification"  # type: ignore[attr-defined]


def _layers(model: PreTrainedModel) -> tuple[str, int]:
    """Return the path of the encoder's list of layers, and how many there are."""
    count = model.config.num_hidden_layers
    found = [
        name
        for name, module in model.named_modules()
        if isinstance(module, nn.ModuleList) and len(module) == count
    ]
    if not found:
        raise UnsupportedModel(
            f"{model.config.model_type}: no list of {count} layers to take a student's from; give a"
            " smaller checkpoint with --student"
        )
    return min(found, key=lambda name: name.count(".")), count


def _renamed(name: str, prefix: str, taken: Sequence[int]) -> str:
    """Return the name that a tensor of the teacher has in the student; "" for a layer left out."""
    head = f"{prefix}."
    if not name.startswith(head):
        return name
    number, _, rest = name.removeprefix(head).partition(".")
    if int(number) not in taken:
        return ""
    return f"{head}{taken.index(int(number))}.{rest}"


def state_of(model: nn.Module) -> dict[str, Tensor]:
    """Return the weights by name."""
    return dict(model.state_dict())
