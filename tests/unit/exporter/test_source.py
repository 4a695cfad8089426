"""Reading a model: where it is, what it says of itself, and what is never read."""

from pathlib import Path

import pytest

from exporter.errors import UnreadableModel
from exporter.source import _licence, find_model, load_model


def test_a_directory_is_named_by_its_last_part(tmp_path: Path) -> None:
    folder = tmp_path / "my-model"
    folder.mkdir()
    assert find_model(str(folder), None) == (folder, "my-model", "local")
    assert find_model(f"{folder}/.", "v2")[1:] == ("my-model", "v2")


@pytest.mark.parametrize("name", ["./nowhere", "/nowhere/at/all", "~/nowhere"])
def test_a_path_that_is_not_there_is_not_looked_up_on_the_hub(name: str) -> None:
    with pytest.raises(UnreadableModel, match="not a directory"):
        find_model(name, None)


def test_a_hub_name_without_a_network_says_that_the_hub_did_not_give_it() -> None:
    with pytest.raises(UnreadableModel, match="no such directory, and the hub did not give it"):
        find_model("nobody/nothing-of-this-name", None)


@pytest.mark.parametrize("name", ["two words", "a/b/c", ".."])
def test_a_name_that_the_hub_cannot_have_is_refused(name: str) -> None:
    with pytest.raises(UnreadableModel):
        load_model(name)


def test_a_directory_without_a_config_or_without_safetensors_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnreadableModel, match=r"no config\.json"):
        load_model(str(tmp_path))
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "pytorch_model.bin").write_bytes(b"\x80\x04.")
    with pytest.raises(UnreadableModel, match="can hold code"):
        load_model(str(tmp_path))


@pytest.mark.parametrize(
    ("card", "licence"),
    [
        ("---\nlicense: apache-2.0\ntags: [x]\n---\n# A model\nlicense: none\n", "apache-2.0"),
        ("---\ntags: [x]\n---\n# A model\n", "unknown"),
        ("# license: mit\n", "unknown"),
        ("", "unknown"),
    ],
)
def test_the_licence_is_read_from_the_cards_front_matter(
    card: str, licence: str, tmp_path: Path
) -> None:
    (tmp_path / "README.md").write_text(card)
    assert _licence(tmp_path) == licence


def test_without_a_card_the_licence_is_unknown(tmp_path: Path) -> None:
    assert _licence(tmp_path) == "unknown"
