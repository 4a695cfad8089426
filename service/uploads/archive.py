"""The archive of an upload: zip or tar.gz, from a stranger, to the few files that are wanted.

Nothing is written to disk and no member's name is ever used as a path, so a name can reach
nothing; names that try are refused all the same, because whoever sends them means no good. Sizes
that the archive states are not believed: members are read in pieces and counted.
"""

import io
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from service.engine.findings import Findings
from service.engine.lora_config import CONFIG_FILE
from service.engine.safetensors_file import WEIGHTS_FILE
from service.uploads import tar_members, zip_members
from service.uploads.limits import UploadLimits
from service.uploads.member import Member, UnreadableArchive

CARD_FILE = "README.md"
HOLDOUT_FILE = "holdout.jsonl"
SIGNATURE_FILE = "model.sig"

_PICKLES = (".bin", ".ckpt", ".joblib", ".pickle", ".pkl", ".pt", ".pth")
_NAME_CHARS_MAX = 512
_DEPTH_MAX = 16
_IGNORED_MAX = 100
_DRIVE = re.compile(r"[A-Za-z]:")


@dataclass(frozen=True, slots=True)
class Contents:
    """What an archive held: the wanted files by name, and the names of the others."""

    files: Mapping[str, bytes] = field(default_factory=dict)
    ignored: tuple[str, ...] = ()


def read_archive(
    source: bytes | Path, limits: UploadLimits, findings: Findings, *, needs_adapter: bool = True
) -> Contents:
    """Return the wanted files of a zip or tar.gz archive, which may lie in one folder.

    Without `needs_adapter` the archive must hold no adapter; it may be empty.

    Adds to the findings what is wrong: links and devices, names that leave the archive,
    duplicates, encrypted members, pickle files, sizes that are too large or not as stated, an
    archive that cannot be read, a file that is missing. Other files are ignored by name.
    """
    with _opened(source) as file:
        size = file.seek(0, io.SEEK_END)
        file.seek(0)
        if size > limits.archive_bytes_max:
            findings.add(
                "package", f"has {size:,} bytes, the limit is {limits.archive_bytes_max:,}"
            )
            return Contents()
        magic = file.read(4)
        file.seek(0)
        if magic in zip_members.MAGIC:
            members = zip_members.zip_members(file, limits.members_max)
        elif magic.startswith(tar_members.MAGIC):
            members = tar_members.tar_members(file, limits.unpacked_bytes_max)
        else:
            findings.add("package", "is neither a zip nor a tar.gz archive")
            return Contents()
        reading = _Reading(limits, findings, needs_adapter=needs_adapter)
        try:
            for member in members:
                reading.take(member)
        except UnreadableArchive as error:
            findings.add("package", f"cannot be read: {error}")
            return Contents()
    return reading.contents()


@contextmanager
def _opened(source: bytes | Path) -> Iterator[BinaryIO]:
    if isinstance(source, bytes):
        yield io.BytesIO(source)
    else:
        with source.open("rb") as file:
            yield file


class _Reading:
    """Judges members by their names, and reads those that may be wanted."""

    def __init__(self, limits: UploadLimits, findings: Findings, *, needs_adapter: bool) -> None:
        self._limits = limits
        self._findings = findings
        self._needs_adapter = needs_adapter
        self._bytes_max = {
            CONFIG_FILE: limits.config_bytes_max,
            WEIGHTS_FILE: limits.weights_bytes_max,
            CARD_FILE: limits.card_bytes_max,
            HOLDOUT_FILE: limits.holdout_bytes_max,
            SIGNATURE_FILE: limits.signature_bytes_max,
        }
        self._kept: dict[tuple[str, str], bytes] = {}  # folder, name
        self._flawed: set[tuple[str, str]] = set()  # wanted, and a finding says why not
        self._seen: set[tuple[str, ...]] = set()
        self._ignored: list[str] = []
        self._members = 0
        self._left = limits.unpacked_bytes_max

    def take(self, member: Member) -> None:
        """Read the member if it may be wanted, note it otherwise.

        Raises `UnreadableArchive` where the bounds of the whole archive are reached.
        """
        self._members += 1
        if self._members > self._limits.members_max:
            raise UnreadableArchive(f"it has more than {self._limits.members_max:,} members")
        parts = self._judge(member)
        if parts is None:
            return
        if len(parts) > 2 or parts[-1] not in self._bytes_max:
            self._ignored.append("/".join(parts))
            return
        data = self._read(member)
        if data is None:
            self._flawed.add(_place(parts))
        else:
            self._kept[_place(parts)] = data

    def _judge(self, member: Member) -> tuple[str, ...] | None:
        """Return the parts of a plain file's name, None where there is nothing to read."""
        name = member.name
        where = f"package/{name}"
        parts = tuple(part for part in name.split("/") if part not in ("", "."))
        if not name or len(name) > _NAME_CHARS_MAX or not name.isprintable() or "\\" in name:
            self._findings.add(
                where,
                f"must have a name of 1 to {_NAME_CHARS_MAX} printable characters, its parts"
                " joined by /",
            )
            return None
        if name.startswith("/") or ".." in parts or _DRIVE.match(name) or len(parts) > _DEPTH_MAX:
            self._findings.add(where, "has a name that leaves the archive")
            return None
        if member.kind == "folder":
            return None
        if member.kind != "file" or not parts:
            self._findings.add(where, f"is a {member.kind}; plain files only can be taken")
            self._flawed.add(_place(parts))
            return None
        if parts in self._seen:
            self._findings.add(where, "occurs twice")
            return None
        self._seen.add(parts)
        if parts[-1].lower().endswith(_PICKLES):
            self._findings.add(
                where,
                "may be a pickle, which can run code when it is loaded; leave it out"
                f" (save_pretrained writes {WEIGHTS_FILE})",
            )
            return None
        return parts

    def _read(self, member: Member) -> bytes | None:
        where = f"package/{member.name}"
        limit = self._bytes_max[member.name.rsplit("/", 1)[-1]]
        if member.size > limit:
            self._findings.add(where, f"has {member.size:,} bytes, the limit is {limit:,}")
            return None
        pieces = []
        size = 0
        try:
            for chunk in member.chunks():
                size += len(chunk)
                self._left -= len(chunk)
                if size > member.size:  # at most the limit
                    self._findings.add(
                        where, f"unpacks to more than the {member.size:,} bytes that are stated"
                    )
                    return None
                pieces.append(chunk)
        except UnreadableArchive as error:
            self._findings.add(where, f"cannot be read: {error}")
            return None
        if self._left < 0:
            raise UnreadableArchive(
                f"it unpacks to more than {self._limits.unpacked_bytes_max:,} bytes"
            )
        if size != member.size:
            self._findings.add(where, f"has {size:,} bytes, and the archive states {member.size:,}")
            return None
        return b"".join(pieces)

    def contents(self) -> Contents:
        """Return the files of the adapter's folder; find what is missing."""
        folders = {
            folder
            for folder, name in {*self._kept, *self._flawed}
            if name in (CONFIG_FILE, WEIGHTS_FILE) or not self._needs_adapter
        }
        if len(folders) > 1:
            listed = ", ".join(repr(folder or ".") for folder in sorted(folders))
            self._findings.add("package", f"holds several adapters, in the folders {listed}")
            return Contents()
        root = next(iter(folders), "")
        for name in (CONFIG_FILE, WEIGHTS_FILE):
            found = (root, name) in self._kept or (root, name) in self._flawed
            if self._needs_adapter and not found:
                self._findings.add(
                    f"package/{name}", "is missing; send the folder that save_pretrained wrote"
                )
            elif found and not self._needs_adapter:
                self._findings.add(
                    f"package/{name}",
                    "is not wanted: the metadata says `dedicated`, which publishes the bundle's own"
                    " classifier",
                )
        files = {name: data for (folder, name), data in self._kept.items() if folder == root}
        others = [
            f"{folder}/{name}" if folder else name for folder, name in self._kept if folder != root
        ]
        ignored = sorted([*self._ignored, *others])
        if len(ignored) > _IGNORED_MAX:
            more = len(ignored) - _IGNORED_MAX
            ignored = [*ignored[:_IGNORED_MAX], f"and {more} more"]
        return Contents(files, tuple(ignored))


def _place(parts: tuple[str, ...]) -> tuple[str, str]:
    return "/".join(parts[:-1]), parts[-1] if parts else ""
