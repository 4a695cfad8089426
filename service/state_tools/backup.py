"""Backups: one moment of a state directory, proven whole, in a folder or in one tar.

What has the name of a backup is complete: it is written under another name, synced, and renamed.
It holds the keys that sign prediction ids, so it is readable by its owner alone.
"""

import io
import os
import secrets
import shutil
import tarfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import BinaryIO, Protocol

from service.engine import digest
from service.errors import Conflict, StateDamaged, StoreFull
from service.registry import schema
from service.registry.database import Database
from service.registry.inspection import problems_of_state
from service.state_tools.contents import MANIFEST_FILE, contents_of
from service.state_tools.files import Entry, Hashing, private, put_in_place, sync_tree, transfer
from service.state_tools.manifest import FORMAT, Manifest
from service.state_tools.snapshot import snapshot

Progress = Callable[[str, int, int], object]  # what is done, how much of it, of how much

TAR = ".tar"

_NAMED_MAX = 10


@dataclass(frozen=True, slots=True)
class Backup:
    """A backup that was made."""

    path: Path
    digest: str  # of its manifest
    manifest: Manifest


def back_up(state: Path, target: Path, progress: Progress, *, events: bool = False) -> Backup:
    """Back a state directory up, while services use it; `target` ends in .tar, or is a folder.

    Raises `Conflict` where the target is there, `StateDamaged` where the state is not whole,
    `InvalidSettings` where there is none, and `StoreFull` where the backup cannot be written.
    """
    if target.exists() or target.is_symlink():
        raise Conflict(f"{target} is there already; a backup is never written over anything")
    with snapshot(state, events=events) as folder:
        _prove(folder, progress)
        names = contents_of(folder)
        total = sum((folder / name).stat().st_size for name in names)
        files: dict[str, Entry] = {}
        done = 0
        with _writing(target) as sink:
            for name in names:
                files[name] = sink.add(name, folder / name)
                done += files[name].bytes
                progress("writing", done, total)
            manifest = Manifest(
                format=FORMAT,
                made_at=datetime.now(UTC).isoformat(timespec="seconds"),
                made_by=f"tenantry {version('tenantry')}",
                schema=_schema(folder),
                events=events,
                files=files,
            )
            data = manifest.to_bytes()
            sink.end(data)
    return Backup(target, digest.of_bytes(data), manifest)


def _prove(folder: Path, progress: Progress) -> None:
    """Read everything once; raise `StateDamaged`, naming what is not as it was."""
    problems = list(
        problems_of_state(folder, lambda done, total: progress("checking", done, total))
    )
    if problems:
        listed = "; ".join(map(str, problems[:_NAMED_MAX]))
        more = len(problems) - _NAMED_MAX
        raise StateDamaged(
            f"not backed up, because the state is not whole: {listed}"
            + (f" and {more} more" if more > 0 else "")
        )


def _schema(folder: Path) -> str:
    with closing(Database(folder)) as database, database.read() as connection:
        return schema.read_schema(connection) or ""


class _Sink(Protocol):
    def add(self, name: str, source: Path) -> Entry:
        """Write a file and return what it was found to be."""
        ...

    def end(self, manifest: bytes) -> None:
        """Write the manifest, which comes last."""
        ...


class _FolderSink:
    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(mode=0o700)

    def add(self, name: str, source: Path) -> Entry:
        with source.open("rb") as file:
            return transfer(file, self._folder / name)

    def end(self, manifest: bytes) -> None:
        transfer(io.BytesIO(manifest), self._folder / MANIFEST_FILE)
        sync_tree(self._folder)


class _TarSink:
    def __init__(self, file: BinaryIO) -> None:
        self._archive = tarfile.open(fileobj=file, mode="w")  # noqa: SIM115 - closed in `end`

    def add(self, name: str, source: Path) -> Entry:
        with source.open("rb") as file:
            hashing = Hashing(file)
            member = self._member(name, os.fstat(file.fileno()).st_size)
            self._archive.addfile(member, hashing)
            return hashing.entry()

    def end(self, manifest: bytes) -> None:
        self._archive.addfile(self._member(MANIFEST_FILE, len(manifest)), io.BytesIO(manifest))
        self._archive.close()

    def _member(self, name: str, size: int) -> tarfile.TarInfo:
        member = tarfile.TarInfo(name)
        member.size, member.mode, member.mtime = size, 0o600, int(time.time())
        return member


@contextmanager
def _writing(target: Path) -> Iterator[_Sink]:
    """Give what writes a backup; at the end it gets its name, and nothing is left of a failure."""
    draft = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
    try:
        if target.suffix == TAR:
            with private(draft) as file:
                yield _TarSink(file)
        else:
            yield _FolderSink(draft)
        put_in_place(draft, target)
    except FileExistsError:
        raise Conflict(f"{target} is there already; a backup is never written over") from None
    except OSError as error:
        raise StoreFull(f"the backup {target} cannot be written: {error}") from error
    finally:
        if draft.is_dir():
            shutil.rmtree(draft)
        else:
            draft.unlink(missing_ok=True)
