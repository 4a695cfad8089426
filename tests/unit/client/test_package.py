"""Packing: the same folder gives the same bytes, and nothing but what is wanted goes along."""

import os
import zipfile
from pathlib import Path

import pytest

from service.client.errors import UnusablePackage
from service.client.package import (
    CARD_FILE,
    CONFIG_FILE,
    HOLDOUT_FILE,
    SIGNATURE_FILE,
    WEIGHTS_FILE,
    pack,
    packaged,
)
from service.engine.findings import Findings
from service.uploads.archive import read_archive
from service.uploads.limits import UploadLimits

FILES = {
    CONFIG_FILE: b"{}",
    WEIGHTS_FILE: bytes(range(256)) * 1000,
    HOLDOUT_FILE: b'{"text": "a", "label": "b"}\n',
    CARD_FILE: b"# A card\n",
    SIGNATURE_FILE: b"{}",
}


def folder_of(path: Path, files: dict[str, bytes]) -> Path:
    path.mkdir(parents=True)
    for name, data in files.items():
        (path / name).write_bytes(data)
    return path


def test_a_package_holds_what_an_upload_takes_and_the_service_reads_it(tmp_path: Path) -> None:
    others = {"tokenizer.json": b"{}", "optimizer.pt": b"pickle", "metadata.json": b"{}"}
    folder = folder_of(tmp_path / "adapter", FILES | others)
    packed = pack(folder, tmp_path / "package.zip")
    assert packed.files == tuple(FILES)
    assert packed.left_out == ("optimizer.pt", "tokenizer.json")
    findings = Findings()
    contents = read_archive(packed.path, UploadLimits(), findings)
    findings.settle()
    assert contents.files == FILES
    assert contents.ignored == ()


def test_the_bytes_depend_on_nothing_but_the_files(tmp_path: Path) -> None:
    first = folder_of(tmp_path / "first", FILES)
    second = folder_of(tmp_path / "elsewhere" / "second", dict(reversed(FILES.items())))
    for path in second.iterdir():
        path.chmod(0o600)
        os.utime(path, (1, 1_000_000_000))
    packages = [
        pack(folder, tmp_path / f"{number}.zip").path.read_bytes()
        for number, folder in enumerate((first, second))
    ]
    assert packages[0] == packages[1]
    (second / CARD_FILE).write_bytes(b"# Another\n")
    assert pack(second, tmp_path / "other.zip").path.read_bytes() != packages[0]


def test_what_is_there_is_never_written_over(tmp_path: Path) -> None:
    target = tmp_path / "package.zip"
    target.write_text("mine")
    with pytest.raises(FileExistsError):
        pack(folder_of(tmp_path / "adapter", FILES), target)
    assert target.read_text() == "mine"


@pytest.mark.parametrize("name", ["adapter_model.bin", "adapter_model.pt"])
def test_a_pickle_is_refused_with_the_way_out(tmp_path: Path, name: str) -> None:
    folder = folder_of(tmp_path / "adapter", {CONFIG_FILE: b"{}", name: b"pickle"})
    with pytest.raises(UnusablePackage, match=r"a pickle, which can run code.*save_pretrained"):
        pack(folder, tmp_path / "package.zip")
    assert not (tmp_path / "package.zip").exists()


def test_a_folder_that_is_no_adapter_s_says_what_is_missing(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "adapter", {"config.json": b"{}"})
    with pytest.raises(UnusablePackage, match=f"lacks {CONFIG_FILE} and {WEIGHTS_FILE}"):
        pack(folder, tmp_path / "package.zip")
    with pytest.raises(UnusablePackage, match="is no folder"):
        pack(tmp_path / "nowhere", tmp_path / "package.zip")


def test_an_archive_goes_as_it_is_and_a_folder_leaves_nothing_behind(tmp_path: Path) -> None:
    archive = tmp_path / "mine.tar.gz"
    archive.write_bytes(b"as it is")
    with packaged(archive) as found, found.open() as file:
        assert (found.size, file.read()) == (8, b"as it is")
    with packaged(b"bytes") as found, found.open() as file:
        assert (found.size, file.read()) == (5, b"bytes")
    paths = set()
    with packaged(folder_of(tmp_path / "adapter", FILES)) as found:
        for _ in range(2):
            with found.open() as file, zipfile.ZipFile(file) as opened:
                assert opened.namelist() == list(FILES)
                paths.add(Path(file.name))
    [path] = paths
    assert not path.exists()
    with pytest.raises(UnusablePackage, match="is no file"), packaged(tmp_path / "nowhere"):
        pass
