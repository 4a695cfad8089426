"""Reading a model: where it is, what it says of itself, and what is never read."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from exporter.errors import UnreadableModel, UnsupportedModel
from exporter.source import _licence, find_model, load_model, read_document, refuse_images
from tests.fakes.checkpoints import make_checkpoint
from tests.fakes.image_checkpoints import make_image_checkpoint


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


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_checkpoint("bert", tmp_path_factory.mktemp("whole") / "model")


Damage = Callable[[Path], object]


def truncated(name: str, size: int) -> Damage:
    return lambda folder: (folder / name).write_bytes((folder / name).read_bytes()[:size])


def text(name: str, said: str) -> Damage:
    return lambda folder: (folder / name).write_text(said)


def said(**changes: object) -> Damage:
    def change(folder: Path) -> None:
        file = folder / "config.json"
        file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))

    return change


@pytest.mark.parametrize(
    ("damage", "named"),
    [
        (truncated("model.safetensors", 0), "model.safetensors: "),
        (truncated("model.safetensors", 1000), "model.safetensors: "),
        (text("model.safetensors.index.json", "{"), "model.safetensors.index.json: not JSON"),
        (said(intermediate_size=7), "cannot be made of model.safetensors: Error"),
        (said(hidden_size="wide"), "config.json: the model that it describes cannot be made"),
        (said(num_hidden_layers=None), "config.json: the model that it describes cannot be made"),
        (said(hidden_act="abacus"), "'abacus' is not known"),
        (said(id2label=3), "config.json: "),
        (text("config.json", "["), "config.json: not JSON"),
        (text("tokenizer.json", "{"), "tokenizer.json: "),
        (text("tokenizer.json", '{"a": 1}'), "tokenizer.json: "),
        (text("tokenizer_config.json", "[1]"), "tokenizer_config.json: not a JSON object"),
    ],
)
def test_a_damaged_checkpoint_is_refused_in_one_line_with_the_file(
    damage: Damage, named: str, whole: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(whole, tmp_path / "model"))
    if "index" in named:
        (folder / "model.safetensors").rename(folder / "model-00001-of-00001.safetensors")
    damage(folder)
    with pytest.raises(UnreadableModel) as refused:
        load_model(str(folder))
    assert str(refused.value).startswith(f"{folder}/")
    assert named in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_document_that_cannot_be_read_is_refused_with_its_file(tmp_path: Path) -> None:
    with pytest.raises(UnreadableModel, match=r"gone\.json cannot be read: No such file"):
        read_document(tmp_path / "gone.json")
    with pytest.raises(UnreadableModel, match="cannot be read: Is a directory"):
        read_document(tmp_path)
    (tmp_path / "twice.json").write_text('{"a": 1, "a": 2}')
    with pytest.raises(UnreadableModel, match=r"twice\.json: the key 'a' occurs twice"):
        read_document(tmp_path / "twice.json")


def test_a_model_of_images_is_known_by_its_config_alone(whole: Path, tmp_path: Path) -> None:
    refuse_images(str(whole))
    images = make_image_checkpoint("vit", tmp_path / "vit")
    (images / "model.safetensors").write_bytes(b"")
    with pytest.raises(UnsupportedModel, match="vit is a model of images"):
        refuse_images(str(images))
