"""The bill of materials: valid CycloneDX, whole, and the same as what the manifest says."""

import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import orjson
import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from exporter.provenance.packages import Package, loaded_packages
from exporter.provenance.sbom import bill_of_materials
from exporter.source import load_model
from service.bundle_tools.bill import bill_problems
from service.engine.bundle import SBOM_FILE, Manifest
from tests.fakes.manifests import manifest_of
from tests.fixtures_bundles import BundleCache

SHA = "sha256:" + "0123456789abcdef" * 4
PACKAGES = [
    Package("tenantry", "0.1.0", "Apache-2.0", None),
    Package("torch", "2.13.0+cpu", None, "BSD-3-Clause"),
    Package("Some_Thing", "1!2.0rc1", None, None),
]


def manifest(name: str = "acme/small-bert", licence: str = "apache-2.0") -> Manifest:
    plain = manifest_of("bert")
    source = plain.source.model_copy(
        update={"name": name, "revision": "a/b", "files": {"config.json": SHA, "vocab.txt": SHA}}
    )
    return plain.model_copy(
        update={
            "source": source,
            "licence": licence,
            "files": {"head.safetensors": SHA, "model.fp32.onnx": SHA},
            "versions": {"tenantry": "0.1.0", "torch": "2.13.0+cpu"},
            "exported_at": "2026-11-22T06:43:44+00:00",
        }
    )


def bill(of: Manifest) -> dict[str, Any]:
    document: dict[str, Any] = orjson.loads(bill_of_materials(of, PACKAGES))
    return document


@pytest.mark.parametrize("name", ["acme/small-bert", "folder", "a b/c#d"])
@pytest.mark.parametrize("licence", ["apache-2.0", "unknown", "MIT OR Apache-2.0"])
def test_the_bill_is_valid_cyclonedx(name: str, licence: str) -> None:
    text = bill_of_materials(manifest(name, licence), PACKAGES).decode()
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None


def test_the_bill_of_this_process_is_valid_cyclonedx() -> None:
    text = bill_of_materials(manifest()).decode()
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None


def test_the_validator_would_notice() -> None:
    document = bill(manifest())
    document["components"][0]["type"] = "model"
    broken = orjson.dumps(document).decode()
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(broken) is not None


def test_the_source_model_is_a_part_with_the_digest_of_each_file() -> None:
    (source,) = [
        part for part in bill(manifest())["components"] if part["type"] == "machine-learning-model"
    ]
    assert source["name"] == "acme/small-bert"
    assert source["purl"] == "pkg:huggingface/acme/small-bert@a%2Fb"
    assert source["licenses"] == [{"license": {"name": "apache-2.0"}}]
    assert {part["name"]: part["hashes"] for part in source["components"]} == {
        name: [{"alg": "SHA-256", "content": SHA[7:]}] for name in ("config.json", "vocab.txt")
    }


def test_a_folder_has_no_package_url_and_an_unknown_licence_is_not_told() -> None:
    source = bill(manifest("folder", "unknown"))["components"][0]
    assert "purl" not in source
    assert "licenses" not in source


def test_packages_have_urls_and_the_licence_that_their_metadata_names() -> None:
    parts = {part["name"]: part for part in bill(manifest())["components"]}
    assert parts["torch"]["purl"] == "pkg:pypi/torch@2.13.0%2Bcpu"
    assert parts["torch"]["licenses"] == [{"license": {"name": "BSD-3-Clause"}}]
    assert parts["tenantry"]["licenses"] == [{"expression": "Apache-2.0"}]
    assert parts["Some_Thing"]["purl"] == "pkg:pypi/some-thing@1%212.0rc1"
    assert "licenses" not in parts["Some_Thing"]


def test_the_same_making_has_the_same_serial_number_and_another_has_not() -> None:
    first, again, other = bill(manifest()), bill(manifest()), bill(manifest("acme/other"))
    assert first == again
    assert first["serialNumber"] != other["serialNumber"]


def test_loaded_packages_are_those_whose_modules_are_loaded() -> None:
    packages = {package.name.lower(): package for package in loaded_packages()}
    for name in ("torch", "transformers", "onnxruntime", "numpy", "tenantry"):
        assert packages[name].version == version(name)
    assert "selenium" not in {package.name for package in loaded_packages(["numpy.linalg"])}
    assert {package.name for package in loaded_packages(["numpy.linalg"])} == {"numpy", "tenantry"}


def test_no_licence_is_as_long_as_a_text_of_one() -> None:
    assert all(len(package.licence or "") <= 300 for package in loaded_packages())


def write(folder: Path, of: Manifest) -> Manifest:
    """Write the bill of a manifest; return the manifest that names it."""
    (folder / SBOM_FILE).write_bytes(bill_of_materials(of, PACKAGES))
    return of.model_copy(update={"files": {**of.files, SBOM_FILE: SHA}})


def test_a_bill_agrees_with_its_manifest(tmp_path: Path) -> None:
    assert list(bill_problems(tmp_path, write(tmp_path, manifest()))) == []


def _other_source(of: Manifest) -> Manifest:
    files = {**of.source.files, "vocab.txt": "sha256:" + "f" * 64}
    return of.model_copy(update={"source": of.source.model_copy(update={"files": files})})


OTHERS: dict[str, tuple[Callable[[Manifest], Manifest], str]] = {
    "a source file": (_other_source, "of vocab.txt of the source model, the manifest sha256:ffff"),
    "a file more": (
        lambda of: of.model_copy(update={"files": {**of.files, "more": SHA}}),
        "says nothing of more of the bundle",
    ),
    "a version": (
        lambda of: of.model_copy(update={"versions": {"torch": "2.14.0"}}),
        r"says 2\.13\.0\+cpu of torch, the manifest 2\.14\.0",
    ),
    "a package": (
        lambda of: of.model_copy(update={"versions": {"peft": "0.21.2"}}),
        r"says nothing of peft, the manifest 0\.21\.2",
    ),
    "the command": (
        lambda of: of.model_copy(update={"command": "tenantry export other"}),
        "has another command than the manifest",
    ),
    "the revision": (
        lambda of: of.model_copy(
            update={"source": of.source.model_copy(update={"revision": "main"})}
        ),
        "names the source acme/small-bert a/b",
    ),
}


@pytest.mark.parametrize("what", sorted(OTHERS))
def test_a_bill_that_says_another_thing_than_the_manifest_is_found(
    tmp_path: Path, what: str
) -> None:
    changed, told = OTHERS[what]
    found = list(bill_problems(tmp_path, changed(write(tmp_path, manifest()))))
    assert len(found) == 1
    assert re.search(told, found[0])


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"{", "cannot be read"),
        (b"[]", "cannot be read"),
        (b"{}", "is None None, not CycloneDX 1.6"),
        (b'{"bomFormat": "CycloneDX", "specVersion": "1.5"}', "is 'CycloneDX' '1.5'"),
        (b'{"bomFormat": "CycloneDX", "specVersion": "1.6"}', "not of the form"),
        (
            b'{"bomFormat": "CycloneDX", "specVersion": "1.6", "components": 3}',
            "not of the form",
        ),
    ],
)
def test_what_is_no_bill_is_told(tmp_path: Path, data: bytes, told: str) -> None:
    known = write(tmp_path, manifest())
    (tmp_path / SBOM_FILE).write_bytes(data)
    (found,) = bill_problems(tmp_path, known)
    assert told in found


def test_a_bundle_without_a_bill_is_told_how_to_get_one(tmp_path: Path) -> None:
    (found,) = bill_problems(tmp_path, manifest())
    assert "export the model again" in found


_opened: list[str] | None = None


def _note(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "open" and _opened is not None and isinstance(arguments[0], str):
        _opened.append(arguments[0])


sys.addaudithook(_note)  # for the rest of the process: one cannot be taken away


@contextmanager
def noting_what_is_opened() -> Iterator[list[str]]:
    """Give the list of every file that Python opens meanwhile."""
    global _opened  # noqa: PLW0603 - the hook has nobody else to ask
    found: list[str] = []
    _opened = found
    try:
        yield found
    finally:
        _opened = None


@pytest.mark.parametrize("family", ["bert", "roberta"])
def test_every_file_of_the_source_that_is_opened_has_its_digest_kept(
    bundle_cache: BundleCache, tmp_path: Path, family: str
) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    for file in bundle_cache.checkpoint(family).iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    (folder / "README.md").write_text("---\nlicense: mit\n---\n")
    (folder / "generation_config.json").write_text("{}")
    (folder / "added_tokens.json").write_text("{}")
    (folder / "chat_template.jinja").write_text("{{ messages }}")
    with noting_what_is_opened() as opened:
        loaded = load_model(str(folder))
    read = {Path(name).name for name in opened if Path(name).is_relative_to(folder)}
    assert {"config.json", "README.md"} <= read
    assert read <= loaded.files.keys()
    # What Rust opens is not told to Python.
    assert {"tokenizer.json", "model.safetensors"} <= loaded.files.keys()
