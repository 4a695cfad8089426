"""Metadata: what is given goes before what lies in the folder, and labels are never guessed."""

import json
from pathlib import Path

import pytest

from service.client.errors import UnusablePackage
from service.client.metadata import bundle_digest, metadata_of, read_labels
from service.engine import digest

NAMES = {"0": "refund", "1": "delivery", "2": "other"}
LABELS = ["refund", "delivery", "other"]


def write(path: Path, document: object) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(document), encoding="utf-8")


def test_what_is_given_goes_before_the_folder(tmp_path: Path) -> None:
    write(tmp_path / "metadata.json", {"labels": ["a", "b"], "license": "MIT", "owner": "me"})
    given = {"license": "CC0-1.0", "owner": None, "labels": LABELS}
    assert metadata_of(tmp_path, given) == {
        "labels": LABELS,
        "license": "CC0-1.0",
        "owner": "me",
    }


def test_labels_come_from_the_config_in_the_folder(tmp_path: Path) -> None:
    # Ten and more: in the order of numbers, not of their texts.
    names = {str(number): f"label {number}" for number in range(12)}
    write(tmp_path / "config.json", {"id2label": dict(sorted(names.items()))})
    assert metadata_of(tmp_path) == {"labels": [f"label {number}" for number in range(12)]}


def test_labels_come_from_the_base_model_s_config_where_it_is_a_folder(tmp_path: Path) -> None:
    adapter, base = tmp_path / "adapter", tmp_path / "base"
    write(base / "config.json", {"id2label": NAMES})
    write(adapter / "adapter_config.json", {"base_model_name_or_path": str(base)})
    write(adapter / "config.json", {"id2label": {"0": "LABEL_0", "1": "LABEL_1"}})
    assert metadata_of(adapter) == {"labels": LABELS}


def test_placeholders_are_no_labels_unless_they_are_given(tmp_path: Path) -> None:
    placeholders = ["LABEL_0", "LABEL_1"]
    write(tmp_path / "config.json", {"id2label": dict(enumerate(placeholders))})
    with pytest.raises(UnusablePackage, match=r"only placeholders.*--labels FILE"):
        metadata_of(tmp_path)
    assert metadata_of(tmp_path, {"labels": placeholders}) == {"labels": placeholders}


@pytest.mark.parametrize("names", [{"0": "a", "2": "b"}, {"0": "a", "1": 7}])
def test_classes_that_are_not_all_named_are_refused(
    tmp_path: Path, names: dict[str, object]
) -> None:
    write(tmp_path / "config.json", {"id2label": names})
    with pytest.raises(UnusablePackage, match="does not name the classes 0, 1, 2"):
        metadata_of(tmp_path)


def test_nothing_that_names_labels_says_how_to(tmp_path: Path) -> None:
    write(tmp_path / "adapter_config.json", {"base_model_name_or_path": "org/model-on-a-hub"})
    for folder in (tmp_path, None):
        with pytest.raises(UnusablePackage, match=r"what the labels are; name them.*--labels"):
            metadata_of(folder)


@pytest.mark.parametrize("text", ["{", "[]"])
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "metadata.json").write_text(text)
    with pytest.raises(UnusablePackage, match=r"metadata\.json"):
        metadata_of(tmp_path)


def test_labels_of_a_file_are_its_lines(tmp_path: Path) -> None:
    path = tmp_path / "labels.txt"
    path.write_text("refund\r\nsent back, späte Lieferung\n\n", encoding="utf-8")
    assert read_labels(path) == ["refund", "sent back, späte Lieferung"]
    path.write_text("a\n\nb\n")
    with pytest.raises(UnusablePackage, match="holds no label in line 2"):
        read_labels(path)
    path.write_text("\n")
    with pytest.raises(UnusablePackage, match="holds no label"):
        read_labels(path)
    with pytest.raises(UnusablePackage, match="cannot be read"):
        read_labels(tmp_path / "nowhere")


def test_a_bundle_s_digest_is_that_of_its_manifest(tmp_path: Path) -> None:
    (tmp_path / "bundle.json").write_bytes(b"{}")
    assert bundle_digest(tmp_path) == digest.of_bytes(b"{}")
    with pytest.raises(UnusablePackage, match="tenantry export"):
        bundle_digest(tmp_path / "nowhere")
