"""`tenantry bundle verify|show` on a real bundle, whole and spoilt in every way."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
from typer.testing import CliRunner

from service.bundle_tools.command import bundle as command
from service.bundle_tools.verification import Verification, verify
from service.engine import digest
from service.engine.bundle import (
    HEAD_FILE,
    MANIFEST,
    SBOM_FILE,
    TOKENIZER_FILE,
    Bundle,
    Manifest,
    canonical,
    read_manifest,
)

RUNNER = CliRunner()


@pytest.fixture(scope="module")
def whole(bundle_of: Callable[[str], Bundle]) -> Bundle:
    return bundle_of("bert")


@pytest.fixture
def copied(whole: Bundle, tmp_path: Path) -> Path:
    folder = tmp_path / "bundle"
    shutil.copytree(whole.path, folder)
    return folder


def rewrite(folder: Path, **changed: object) -> Manifest:
    """Write a manifest with other fields; nothing else follows."""
    manifest = read_manifest(folder)[0].model_copy(update=changed)
    (folder / MANIFEST).write_bytes(canonical(manifest))
    return manifest


def failed(found: Verification) -> set[str]:
    return {check.name for check in found.checks if not check.passed}


def told(found: Verification) -> str:
    return "\n".join(problem for check in found.checks for problem in check.problems)


def test_a_bundle_that_was_exported_is_whole(whole: Bundle) -> None:
    found = verify(whole.path)
    assert told(found) == ""
    assert found.passed
    assert found.digest == whole.digest
    assert [check.name for check in found.checks] == [
        "manifest", "files", "proof", "provenance", "service", "graph"
    ]  # fmt: skip


def test_each_file_is_read_for_its_digest_once(
    whole: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []
    of_file = digest.of_file

    def noted(file: Path) -> str:
        read.append(file.name)
        return of_file(file)

    monkeypatch.setattr(digest, "of_file", noted)
    assert verify(whole.path).passed
    assert sorted(read) == sorted(whole.manifest.files)


def test_an_altered_file_is_named(copied: Path) -> None:
    with (copied / TOKENIZER_FILE).open("ab") as file:
        file.write(b" ")
    found = verify(copied)
    assert failed(found) == {"files", "service"}
    assert f"{TOKENIZER_FILE} has digest sha256:" in told(found)


def test_all_that_is_wrong_with_the_files_is_told_at_once(copied: Path) -> None:
    (copied / TOKENIZER_FILE).unlink()
    (copied / HEAD_FILE).write_bytes(b"")
    (copied / "stray.bin").write_bytes(b"")
    found = verify(copied)
    files = next(check for check in found.checks if check.name == "files")
    assert len(files.problems) == 3
    assert "stray.bin is there, and the manifest does not name it" in files.problems


def test_a_link_in_place_of_a_file_is_named(copied: Path, whole: Bundle) -> None:
    (copied / HEAD_FILE).unlink()
    (copied / HEAD_FILE).symlink_to(whole.path / HEAD_FILE)
    assert "files" in failed(verify(copied))


def test_a_proof_that_did_not_pass_is_found(copied: Path) -> None:
    fp32 = read_manifest(copied)[0].variants["fp32"]
    assert fp32.parity is not None
    parity = fp32.parity.model_copy(update={"passed": False})
    rewrite(copied, variants={"fp32": fp32.model_copy(update={"parity": parity})})
    assert failed(verify(copied)) == {"proof", "service"}


def test_a_proof_that_only_says_that_it_passed_is_found(copied: Path) -> None:
    fp32 = read_manifest(copied)[0].variants["fp32"]
    assert fp32.parity is not None
    parity = fp32.parity.model_copy(update={"max_embedding_error": 0.5})
    rewrite(copied, variants={"fp32": fp32.model_copy(update={"parity": parity})})
    found = verify(copied)
    assert failed(found) == {"proof"}
    assert "says that it passed, and its worst error 5.0e-01" in told(found)


def test_a_bill_of_another_making_is_found(copied: Path) -> None:
    bill = orjson.loads((copied / SBOM_FILE).read_bytes())
    bill["components"][0]["components"][0]["hashes"][0]["content"] = "0" * 64
    (copied / SBOM_FILE).write_bytes(orjson.dumps(bill))
    manifest = read_manifest(copied)[0]
    rewrite(copied, files={**manifest.files, SBOM_FILE: digest.of_file(copied / SBOM_FILE)})
    assert failed(verify(copied)) == {"provenance"}


def test_a_graph_that_is_none_is_found(copied: Path) -> None:
    manifest = read_manifest(copied)[0]
    file = manifest.variants["fp32"].file
    (copied / file).write_bytes(b"not a graph")
    rewrite(copied, files={**manifest.files, file: digest.of_file(copied / file)})
    found = verify(copied)
    assert failed(found) == {"provenance", "graph"}
    assert f"variant fp32: {file} cannot be opened" in told(found)


@pytest.mark.parametrize(
    ("changed", "what"),
    [
        ({"token_types": False}, "wants an input token_types"),
        ({"targets": ()}, "wants an input A.encoder.layer.0"),
        ({"hidden_size": 31}, "gives embeddings of 32 numbers, the manifest says 31"),
    ],
)
def test_a_graph_that_is_not_the_manifests_is_found(
    copied: Path, changed: dict[str, Any], what: str
) -> None:
    rewrite(copied, **changed)
    found = verify(copied)
    assert "graph" in failed(found)
    assert what in told(found)


def test_a_target_of_another_width_is_found(copied: Path) -> None:
    first, *others = read_manifest(copied)[0].targets
    rewrite(copied, targets=(first.model_copy(update={"in_features": 7}), *others))
    found = verify(copied)
    assert failed(found) == {"graph"}
    assert f"input A.{first.name} is ('tensor(float)', 32), expected ('tensor(float)', 7)" in told(
        found
    )


def test_a_manifest_that_cannot_be_read_ends_the_look(copied: Path) -> None:
    (copied / MANIFEST).write_bytes(b"{}")
    found = verify(copied)
    assert [check.name for check in found.checks] == ["manifest"]
    assert found.digest is None
    assert not found.passed


def test_the_command_says_whole_and_leaves_with_0(whole: Bundle) -> None:
    result = RUNNER.invoke(command, ["verify", str(whole.path)])
    assert result.exit_code == 0, result.output
    assert f"{whole.path} is whole: {whole.digest}" in result.stdout


def test_the_command_names_what_is_wrong_and_leaves_with_1(copied: Path) -> None:
    (copied / HEAD_FILE).unlink()
    result = RUNNER.invoke(command, ["verify", str(copied)])
    assert result.exit_code == 1
    assert f"WRONG files: 6 files and their digests\n      {HEAD_FILE} is missing" in result.stdout
    assert "NOT whole" in result.stdout


@pytest.mark.parametrize("called", ["verify", "show"])
def test_what_is_no_directory_leaves_with_2(tmp_path: Path, called: str) -> None:
    result = RUNNER.invoke(command, [called, str(tmp_path / "nothing")])
    assert result.exit_code == 2


def test_programs_get_json(whole: Bundle, copied: Path) -> None:
    said = orjson.loads(RUNNER.invoke(command, ["verify", str(whole.path), "--json"]).stdout)
    assert said["whole"] is True
    assert said["digest"] == whole.digest
    (copied / HEAD_FILE).unlink()
    result = RUNNER.invoke(command, ["verify", str(copied), "--json"])
    said = orjson.loads(result.stdout)
    assert result.exit_code == 1
    assert said["whole"] is False
    assert {one["name"] for one in said["checks"] if not one["passed"]} == {"files", "service"}


def test_a_bundle_is_shown_to_people(whole: Bundle) -> None:
    result = RUNNER.invoke(command, ["show", str(whole.path)])
    assert result.exit_code == 0, result.output
    for part in (
        whole.digest,
        "Apache-2.0",
        "LoRA on 12 layers (dense, key, query, value), rank up to 16, up to 256 labels",
        "texts of up to 160 tokens",
        "peft, 64 texts",
        SBOM_FILE,
    ):
        assert part in result.stdout


def test_a_bundle_is_shown_to_programs(whole: Bundle) -> None:
    said = orjson.loads(RUNNER.invoke(command, ["show", str(whole.path), "--json"]).stdout)
    assert said["digest"] == whole.digest
    assert Manifest.model_validate(said["manifest"]) == whole.manifest
    assert said["bytes"][HEAD_FILE] == (whole.path / HEAD_FILE).stat().st_size


def test_a_name_of_the_model_cannot_steer_the_terminal(copied: Path) -> None:
    source = read_manifest(copied)[0].source
    rewrite(copied, source=source.model_copy(update={"name": "\x1b[2Jowned"}))
    assert "\x1b" not in RUNNER.invoke(command, ["show", str(copied)]).stdout
