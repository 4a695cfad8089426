"""Opening a bundle: everything that must be true of its directory, and what is said if not."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import orjson
import pytest
from safetensors.numpy import save_file

from service.engine import digest
from service.engine.bundle import (
    HEAD_FILE,
    MANIFEST,
    TOKENIZER_FILE,
    Manifest,
    canonical,
    open_bundle,
)
from service.engine.errors import InvalidBundle
from tests.fakes.manifests import HIDDEN, manifest_of

MODEL_FILE = "model.fp32.onnx"
Change = Callable[[Path, dict[str, object]], None]


def write_bundle(folder: Path, change: Change | None = None) -> Path:
    """Write a whole bundle without a graph; `change` spoils its files or its manifest."""
    folder.mkdir(exist_ok=True)
    head = {
        "bert.pooler.dense.weight": np.eye(HIDDEN, dtype=np.float32),
        "bert.pooler.dense.bias": np.zeros(HIDDEN, np.float32),
    }
    save_file(head, folder / HEAD_FILE)
    (folder / TOKENIZER_FILE).write_text("{}")
    (folder / MODEL_FILE).write_bytes(b"a graph")
    (folder / f"{MODEL_FILE}.data").write_bytes(b"its weights")
    files = {file.name: digest.of_file(file) for file in folder.iterdir() if file.name != MANIFEST}
    manifest = manifest_of("bert").model_copy(update={"files": files})
    document = orjson.loads(canonical(manifest))
    (folder / MANIFEST).write_bytes(canonical(manifest))
    if change is not None:
        change(folder, document)
        (folder / MANIFEST).write_bytes(orjson.dumps(document))
    return folder


def test_a_whole_bundle_opens_and_is_named_by_its_manifest(tmp_path: Path) -> None:
    folder = write_bundle(tmp_path / "bundle")
    bundle = open_bundle(folder)
    assert bundle.digest == digest.of_file(folder / MANIFEST)
    assert bundle.model_path("fp32") == folder / MODEL_FILE
    assert set(bundle.head) == {"bert.pooler.dense.weight", "bert.pooler.dense.bias"}


def test_the_canonical_form_of_a_manifest_is_read_back_as_the_same() -> None:
    manifest = manifest_of("modernbert")
    assert Manifest.model_validate(orjson.loads(canonical(manifest))) == manifest
    assert canonical(manifest) == canonical(manifest.model_copy())


def test_a_variant_that_the_bundle_lacks_is_refused_with_those_it_has(tmp_path: Path) -> None:
    bundle = open_bundle(write_bundle(tmp_path / "bundle"))
    with pytest.raises(InvalidBundle, match="no variant 'int8'; the bundle has fp32"):
        bundle.model_path("int8")


def test_a_folder_without_a_manifest_is_no_bundle(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(InvalidBundle, match="tenantry export"):
            open_bundle(path)


def test_a_manifest_that_is_no_json_is_refused(tmp_path: Path) -> None:
    folder = write_bundle(tmp_path / "bundle")
    (folder / MANIFEST).write_bytes(b"{")
    with pytest.raises(InvalidBundle, match="not JSON"):
        open_bundle(folder)


def remove(name: str) -> Change:
    return lambda folder, _: (folder / name).unlink()


def alter(name: str) -> Change:
    def change(folder: Path, _: dict[str, object]) -> None:
        with (folder / name).open("r+b") as file:
            file.write(b"X")

    return change


def link(name: str) -> Change:
    """Put a link to the same bytes, outside, in the file's place."""

    def change(folder: Path, _: dict[str, object]) -> None:
        outside = (folder / name).rename(folder.parent / f"outside {name}")
        (folder / name).symlink_to(outside)

    return change


def edit(**changes: object) -> Change:
    return lambda _, document: document.update(changes)


def rename_in_manifest(name: str) -> Change:
    """List a file outside of the bundle under its true digest."""

    def change(folder: Path, document: dict[str, object]) -> None:
        (folder.parent / "secret").write_bytes(b"secret")
        files = document["files"]
        assert isinstance(files, dict)
        files[name] = digest.of_bytes(b"secret")

    return change


def unlist(name: str) -> Change:
    def change(_: Path, document: dict[str, object]) -> None:
        files = document["files"]
        assert isinstance(files, dict)
        del files[name]

    return change


def edit_variant(**changes: object) -> Change:
    def change(_: Path, document: dict[str, object]) -> None:
        variants = document["variants"]
        assert isinstance(variants, dict)
        variants["fp32"].update(changes)

    return change


def unproven(_: Path, document: dict[str, object]) -> None:
    variants = document["variants"]
    assert isinstance(variants, dict)
    variants["fp32"]["parity"]["passed"] = False


def replace_head(data: bytes) -> Change:
    """Put other bytes into the head's file, under their true digest."""

    def change(folder: Path, document: dict[str, object]) -> None:
        (folder / HEAD_FILE).write_bytes(data)
        files = document["files"]
        assert isinstance(files, dict)
        files[HEAD_FILE] = digest.of_bytes(data)

    return change


EMPTY_HEAD = (2).to_bytes(8, "little") + b"{}"

IMAGE = {"channels": 3, "height": 8, "width": 8, "tokens": 5}

SPOILED = {
    "a graph that is gone": (remove(MODEL_FILE), f"{MODEL_FILE} is missing"),
    "weights that are gone": (remove(f"{MODEL_FILE}.data"), "onnx.data is missing"),
    "altered weights": (alter(f"{MODEL_FILE}.data"), "onnx.data has digest"),
    "an altered tokenizer": (alter(TOKENIZER_FILE), "tokenizer.json has digest"),
    "an altered head": (alter(HEAD_FILE), "head.safetensors has digest"),
    "a link": (link(MODEL_FILE), "not a plain file"),
    "a path that leaves": (rename_in_manifest("../secret"), "'../secret' leaves the bundle"),
    "an absolute path": (rename_in_manifest("/etc/hostname"), "'/etc/hostname' leaves"),
    "a path to the folder above": (rename_in_manifest(".."), "'..' leaves"),
    "a path into a folder": (rename_in_manifest("sub/secret"), "leaves the bundle"),
    "a head without a digest": (unlist(HEAD_FILE), f"names no {HEAD_FILE}"),
    "a tokenizer without a digest": (unlist(TOKENIZER_FILE), f"names no {TOKENIZER_FILE}"),
    "a graph without a digest": (unlist(MODEL_FILE), f"{MODEL_FILE} has no digest"),
    "another format": (edit(format=1), "format 1, this version reads 2; export the model again"),
    "no format": (edit(format=None), "format None"),
    "a field that nobody knows": (edit(colour="blue"), "colour: Extra inputs"),
    "a field of another type": (edit(hidden_size="wide"), "hidden_size:"),
    "no variants": (edit(variants={}), "names no fp32 variant"),
    "an image that a text bundle takes": (edit(image=IMAGE), "an image bundle says what"),
    "an image bundle that takes none": (edit(task="image"), "an image bundle says what"),
    "a graph that was never proven": (unproven, "did not pass its parity report"),
    "a graph elsewhere": (edit_variant(file="../secret"), r"\.\./secret has no digest"),
    "a head that is no safetensors": (replace_head(b"nonsense"), f"{HEAD_FILE} cannot be read"),
    "a head that lacks a module": (replace_head(EMPTY_HEAD), r"lacks bert\.pooler\.dense"),
}


@pytest.mark.parametrize("case", sorted(SPOILED))
def test_a_bundle_is_refused_and_the_reason_is_said(case: str, tmp_path: Path) -> None:
    change, words = SPOILED[case]
    folder = write_bundle(tmp_path / "bundle", change)
    with pytest.raises(InvalidBundle, match=words):
        open_bundle(folder)


def test_a_manifest_that_is_a_list_is_refused(tmp_path: Path) -> None:
    folder = write_bundle(tmp_path / "bundle")
    (folder / MANIFEST).write_bytes(b"[]")
    with pytest.raises(InvalidBundle, match=MANIFEST):
        open_bundle(folder)


def test_files_that_the_manifest_does_not_name_do_no_harm(tmp_path: Path) -> None:
    folder = write_bundle(tmp_path / "bundle")
    (folder / "notes.txt").write_text("mine")
    open_bundle(folder)
