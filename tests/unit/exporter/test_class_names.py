import json
from pathlib import Path

import pytest
from transformers import BertConfig

from exporter.class_names import merged_names, own_names, read_names
from exporter.errors import UnreadableModel, UnsupportedModel

NAMED = {0: "refund", 1: "delivery"}


def config(id2label: dict[int, str] | None = None, labels: int = 2) -> BertConfig:
    made = BertConfig(num_labels=labels)
    if id2label is not None:
        made.id2label = id2label
    return made


def test_a_fine_tuned_model_names_its_classes() -> None:
    assert own_names(config(NAMED), ()) == ("refund", "delivery")
    assert own_names(config({1: "b", 0: "a"}), ()) == ("a", "b")


def test_given_names_come_first() -> None:
    assert own_names(config(NAMED), ("no", "yes")) == ("no", "yes")


@pytest.mark.parametrize("id2label", [None, {0: "LABEL_0", 1: "LABEL_1"}, {}])
def test_placeholders_are_no_names(id2label: dict[int, str] | None) -> None:
    with pytest.raises(UnreadableModel, match="--labels FILE"):
        own_names(config(id2label), ())


@pytest.mark.parametrize(
    ("id2label", "what"),
    [
        ({0: "a", 1: "a"}, "is label 0 already"),
        ({0: "a", 1: " "}, "1 to 256 characters"),
        ({0: "a", 1: "b\n"}, "control character"),
        ({0: "only"}, "2 to 65,536"),
    ],
)
def test_names_that_cannot_be_served_are_refused(id2label: dict[int, str], what: str) -> None:
    with pytest.raises(UnsupportedModel, match=what):
        own_names(config(id2label, labels=len(id2label)), ())


def test_classes_that_are_not_numbered_in_a_row_are_refused() -> None:
    with pytest.raises(UnreadableModel, match="does not number the classes"):
        own_names(config({0: "a", 2: "b"}), ())


def test_as_many_names_as_classes_are_wanted() -> None:
    with pytest.raises(UnsupportedModel, match="3 labels are named, and the model has 2"):
        own_names(config(NAMED), ("a", "b", "c"))


def test_an_adapter_s_classes_are_looked_for_from_the_nearest_on(tmp_path: Path) -> None:
    base = config(NAMED)
    assert merged_names(base, tmp_path, ()) == ("refund", "delivery")
    (tmp_path / "config.json").write_text(json.dumps({"id2label": {"0": "x", "1": "y"}}))
    assert merged_names(base, tmp_path, ()) == ("x", "y")
    (tmp_path / "metadata.json").write_text(json.dumps({"labels": ["m", "n", "o"]}))
    assert merged_names(base, tmp_path, ()) == ("m", "n", "o")
    assert merged_names(base, tmp_path, ("given", "names")) == ("given", "names")
    (tmp_path / "metadata.json").write_text("{")
    with pytest.raises(UnreadableModel, match=r"metadata\.json"):
        merged_names(base, tmp_path, ())


def test_a_file_names_one_a_line(tmp_path: Path) -> None:
    file = tmp_path / "labels.txt"
    file.write_text("refund \nzurück\n\n", encoding="utf-8")
    assert read_names(file) == ("refund", "zurück")
    file.write_text("\n")
    with pytest.raises(UnreadableModel, match="holds no label"):
        read_names(file)
    with pytest.raises(UnreadableModel, match="one label a line"):
        read_names(tmp_path / "absent.txt")
    file.write_text("a\n\nb\n")
    with pytest.raises(UnsupportedModel, match="1 to 256 characters"):
        read_names(file)
