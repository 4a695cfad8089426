"""Packing the folder that `save_pretrained` wrote: the same folder gives the same bytes.

Taken are config and weights, and hold-out, card and signature where they are there. What else
lies in such a folder (tokenizers, checkpoints of the optimizer) is left out, and told. A pickle
runs code when it is read, so it is never taken, and where it stands in place of safetensors the
error says how to convert it.
"""

import shutil
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from service.client.archive import Archive, archive_of
from service.client.errors import UnusablePackage

CONFIG_FILE = "adapter_config.json"
WEIGHTS_FILE = "adapter_model.safetensors"
HOLDOUT_FILE = "holdout.jsonl"
CARD_FILE = "README.md"
SIGNATURE_FILE = "model.sig"
METADATA_FILE = "metadata.json"  # goes beside the package, not into it

TAKEN = (CONFIG_FILE, WEIGHTS_FILE, HOLDOUT_FILE, CARD_FILE, SIGNATURE_FILE)

_PICKLED_WEIGHTS = ("adapter_model.bin", "adapter_model.pt", "adapter_model.pth")
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest that a zip can say
_MODE = 0o644
_PIECE_BYTES = 1 << 20
_EMPTY = b"PK\x05\x06" + bytes(18)  # a zip of nothing


@dataclass(frozen=True, slots=True)
class Packed:
    """A package that was written."""

    path: Path
    files: tuple[str, ...]
    left_out: tuple[str, ...]  # what else lay in the folder


def pack(folder: Path, target: Path, *, dedicated: bool = False) -> Packed:
    """Pack an adapter's folder into a new zip at `target`.

    `dedicated`: for the own classifier of a dedicated bundle, which goes without an adapter.
    Nothing is compressed, since weights hardly can be, and so the bytes depend on the files alone.
    Raises `UnusablePackage`, and `FileExistsError` where the target is there.
    """
    files = [name for name in TAKEN if (folder / name).is_file()]
    _check(folder, files, dedicated=dedicated)
    with target.open("xb") as file, zipfile.ZipFile(file, "w") as archive:
        for name in files:
            member = zipfile.ZipInfo(name, _EPOCH)
            member.create_system = 3  # Unix, whatever this runs on
            member.external_attr = _MODE << 16
            with (folder / name).open("rb") as source, archive.open(member, "w") as sink:
                shutil.copyfileobj(source, sink, _PIECE_BYTES)
    others = (path.name for path in folder.iterdir() if path.name not in files)
    left_out = tuple(sorted(name for name in others if name != METADATA_FILE))
    return Packed(target, tuple(files), left_out)


def _check(folder: Path, files: list[str], *, dedicated: bool) -> None:
    if not folder.is_dir():
        raise UnusablePackage(
            f"{folder} is no folder", advice="give the folder that `save_pretrained` wrote"
        )
    if dedicated:
        adapter = [name for name in (CONFIG_FILE, WEIGHTS_FILE) if name in files]
        if adapter:
            raise UnusablePackage(
                f"{folder} holds {' and '.join(adapter)}, and the own classifier of a dedicated"
                " bundle goes without an adapter",
                advice="give a folder that holds no more than holdout.jsonl and README.md, or none",
            )
        return
    if WEIGHTS_FILE not in files:
        for name in _PICKLED_WEIGHTS:
            if (folder / name).is_file():
                raise UnusablePackage(
                    f"{folder} holds its weights in {name}, a pickle, which can run code when it"
                    " is read and is never taken",
                    advice="load it with peft where it was trained and save it again with"
                    " `save_pretrained(folder)`, which writes safetensors",
                )
    missing = [name for name in (CONFIG_FILE, WEIGHTS_FILE) if name not in files]
    if missing:
        raise UnusablePackage(
            f"{folder} lacks {' and '.join(missing)}",
            advice="give the folder that `save_pretrained` of a peft model wrote",
        )


@contextmanager
def packaged(source: Path | bytes | None, *, dedicated: bool = False) -> Iterator[Archive]:
    """Give the archive of a folder, of a file that is packed already, or of bytes.

    A folder is packed beside nothing of the user's: in a temporary folder that goes at the end.
    The own classifier of a dedicated bundle needs no source.
    """
    if source is None:
        if not dedicated:
            raise UnusablePackage(
                "there is nothing to upload",
                advice="give the folder that `save_pretrained` wrote; only the own classifier of a"
                " dedicated bundle goes without one",
            )
        source = _EMPTY
    if isinstance(source, bytes) or not source.is_dir():
        yield archive_of(source)
        return
    with tempfile.TemporaryDirectory(prefix="tenantry-") as folder:
        try:
            packed = pack(source, Path(folder) / "package.zip", dedicated=dedicated)
        except OSError as error:
            raise UnusablePackage(f"{source} cannot be packed: {error}") from error
        yield archive_of(packed.path)
