from pathlib import Path

import pytest
import torch
from transformers import AutoModelForSequenceClassification

from exporter.distill.student import student_of_folder, student_of_layers, taken_layers
from exporter.errors import UnsupportedModel
from exporter.source import load_model
from tests.fakes.checkpoints import make_checkpoint
from tests.fakes.teachers import LABELS, make_teacher

LAYERS = {
    "bert": "bert.encoder.layer",
    "roberta": "roberta.encoder.layer",
    "distilbert": "distilbert.transformer.layer",
    "modernbert": "model.layers",
}


@pytest.mark.parametrize(
    ("layers", "wanted", "taken"),
    [
        (6, 3, (1, 3, 5)),
        (6, 2, (2, 5)),
        (12, 4, (2, 5, 8, 11)),
        (12, 5, (1, 3, 6, 8, 11)),
        (2, 1, (1,)),
    ],
)
def test_every_k_th_layer_is_taken_and_always_the_last(
    layers: int, wanted: int, taken: tuple[int, ...]
) -> None:
    assert taken_layers(layers, wanted) == taken


@pytest.mark.parametrize("wanted", [0, 6, 7])
def test_a_student_has_fewer_layers_than_its_teacher(wanted: int) -> None:
    with pytest.raises(UnsupportedModel, match="1 to 5"):
        taken_layers(6, wanted)


@pytest.mark.parametrize("family", list(LAYERS))
def test_a_student_begins_as_layers_of_the_teacher(family: str, tmp_path: Path) -> None:
    teacher = load_model(str(make_teacher(tmp_path / "teacher", family)))
    layers = teacher.model.config.num_hidden_layers
    student = student_of_layers(teacher, layers // 2, LABELS)
    assert student.config.num_hidden_layers == layers // 2
    assert student.config.id2label == dict(enumerate(LABELS))
    source, found = teacher.model.state_dict(), student.state_dict()
    prefix = LAYERS[family]
    for name, tensor in found.items():
        if not name.startswith(prefix):
            assert torch.equal(tensor, source[name]), name
            continue
        number, _, rest = name.removeprefix(f"{prefix}.").partition(".")
        origin = f"{prefix}.{2 * int(number) + 1}.{rest}"
        assert torch.equal(tensor, source[origin]), name


def test_a_checkpoint_gets_the_teacher_s_classes_and_the_same_head_for_a_seed(
    tmp_path: Path,
) -> None:
    source = load_model(str(make_checkpoint("distilbert", tmp_path / "small")))
    first, again, other = (student_of_folder(source, LABELS, seed) for seed in (1, 1, 2))
    assert first.config.id2label == dict(enumerate(LABELS))
    heads = [model.state_dict()["classifier.weight"] for model in (first, again, other)]
    assert torch.equal(heads[0], heads[1])
    assert not torch.equal(heads[0], heads[2])
    held = AutoModelForSequenceClassification.from_pretrained(source.path).state_dict()
    name = "distilbert.embeddings.word_embeddings.weight"
    assert torch.equal(first.state_dict()[name], held[name])
