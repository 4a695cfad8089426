"""The store: adapters in folders and other files, each named by its digest, below `state`.

    store/adapters/<2 digits>/<64 digits>/identity.json, adapter_config.json,
                                          adapter_model.safetensors
                                          (a dedicated bundle's own head: the identity alone)
    store/files/<2 digits>/<64 digits>    what else uploads brought: hold-outs, cards
    store/tmp/                            uploads on their way
    store/lock                            held by every process that has the store open

What is written is complete and on disk in `tmp` before a rename makes it visible, so a folder
that can be seen is whole, wherever the machine stopped. Whether it is *wanted*, the registry
knows: what no version names is swept away.
"""

import fcntl
import os
import secrets
import shutil
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from service.engine import digest as digests
from service.engine.adapter import Adapter, read_adapter
from service.engine.bundle import Manifest
from service.engine.dedicated import own_head
from service.engine.errors import InvalidAdapter
from service.engine.lora_config import CONFIG_FILE
from service.engine.safetensors_file import WEIGHTS_FILE, read_tensors
from service.engine.strict_json import UnreadableJson, parse_object
from service.errors import AdapterUnreadable
from service.events.disk import sync_folder
from service.registry.database import refusing_full
from service.uploads.identity import config_digest
from service.uploads.metadata import Metadata
from service.uploads.package import Package

IDENTITY_FILE = "identity.json"

Digests = tuple[set[str], set[str]]  # of adapters, of other files
Progress = Callable[[int, int], object]  # how many are done, of how many

_ADAPTER_FILES = {IDENTITY_FILE, CONFIG_FILE, WEIGHTS_FILE}
_CONFIG_BYTES_MAX = 16 << 20  # of an own file; uploads have a limit of their own
_ALGORITHM = "sha256:"
_KINDS = ("adapters", "files")


@dataclass(frozen=True, slots=True)
class Staged:
    """A package on disk that cannot be seen yet."""

    folder: Path
    digest: str
    extras: Mapping[str, str]  # name in the upload -> digest


def holds_anything(state: Path) -> bool:
    """Return whether a state directory holds adapters or files, without making anything."""
    return any(any((state / "store" / kind).glob("*/*")) for kind in _KINDS)


class Store:
    """Content-addressed files of one state directory."""

    def __init__(self, state: Path) -> None:
        self._root = state / "store"
        self._tmp = self._root / "tmp"
        for folder in (self._root, self._tmp, *(self._root / kind for kind in _KINDS)):
            folder.mkdir(parents=True, exist_ok=True)
        sync_folder(state)
        sync_folder(self._root)
        self._lock = (self._root / "lock").open("ab")

    def close(self) -> None:
        """Let others sweep."""
        self._lock.close()

    def folder(self, digest: str) -> Path:
        """Return the folder of an adapter, whether it is there or not."""
        return self._place("adapters", digest)

    def file(self, digest: str) -> Path:
        """Return the path of another file of an upload."""
        return self._place("files", digest)

    def _place(self, kind: str, digest: str) -> Path:
        name = digest.removeprefix(_ALGORITHM)
        assert len(name) == 64, "digests are made here, never taken from a request"
        return self._root / kind / name[:2] / name

    def stage(self, package: Package) -> Staged:
        """Write a package's files where nobody looks; raise `StoreFull` where they don't fit."""
        staging = self._tmp / secrets.token_hex(8)
        extras = {
            name: digests.of_bytes(data)
            for name, data in package.files.items()
            if name not in package.identity["files"]
        }
        try:
            with refusing_full():
                adapter = staging / "adapter"
                adapter.mkdir(parents=True)
                identity = orjson.dumps(package.identity, option=orjson.OPT_SORT_KEYS)
                _write(adapter / IDENTITY_FILE, identity)
                for name in package.identity["files"]:
                    _write(adapter / name, package.files[name])
                for name, digest in extras.items():
                    _write(staging / digest.removeprefix(_ALGORITHM), package.files[name])
                sync_folder(adapter)
                sync_folder(staging)
                sync_folder(self._tmp)
        except BaseException:
            shutil.rmtree(staging, ignore_errors=True)
            raise
        return Staged(staging, package.digest, extras)

    def admit(self, staged: Staged, *, with_extras: bool) -> None:
        """Make a staged package visible, in place of a damaged one if there is one.

        Called inside of the transaction that makes it wanted, so that no sweep runs beside it.
        """
        with refusing_full():
            folder = self.folder(staged.digest)
            if not self._is_whole(staged.digest):
                if folder.exists():
                    folder.rename(staged.folder / "damaged")
                _move(staged.folder / "adapter", folder)
            for digest in staged.extras.values() if with_extras else ():
                _move(staged.folder / digest.removeprefix(_ALGORITHM), self.file(digest))

    def discard(self, staged: Staged) -> None:
        """Remove what is left of a staged package."""
        shutil.rmtree(staged.folder, ignore_errors=True)

    def load(self, digest: str, manifest: Manifest) -> Adapter:
        """Read an adapter back; raise `AdapterUnreadable` unless every byte is as it was named."""
        identity, parts = self._verified(digest)
        try:
            metadata = Metadata.model_validate(identity["metadata"])
            temperature = metadata.temperature or 1.0
            if parts is None:
                return own_head(digest, metadata.labels, manifest, temperature)
            config, weights = parts
            return read_adapter(
                digest, config, read_tensors(weights), metadata.labels, manifest, temperature
            )
        except InvalidAdapter as error:
            raise AdapterUnreadable(
                f"the adapter {digest} does not fit this server's bundle: {error}"
            ) from error

    def files(self, digest: str) -> dict[str, bytes]:
        """Return the files that an adapter was uploaded as, by name.

        Raises `AdapterUnreadable` unless every byte is as it was named.
        """
        identity, _ = self._verified(digest)
        return {name: (self.folder(digest) / name).read_bytes() for name in identity["files"]}

    def read_file(self, digest: str) -> bytes:
        """Return another file of an upload; raise `AdapterUnreadable` where it was altered."""
        try:
            data = self.file(digest).read_bytes()
        except OSError as error:
            raise AdapterUnreadable(f"the file {digest} cannot be read: {error}") from error
        if digests.of_bytes(data) != digest:
            raise AdapterUnreadable(f"the file {digest} was altered")
        return data

    def _verified(
        self, digest: str
    ) -> tuple[Mapping[str, Any], tuple[dict[str, object], bytes] | None]:
        """Return an adapter's identity, and its config and weights, each as it was named.

        A dedicated bundle's own head has no files of its own: None.
        """
        folder = self.folder(digest)
        identity = self._identity(digest)
        if not identity["files"]:
            return identity, None
        try:
            config = parse_object((folder / CONFIG_FILE).read_bytes(), bytes_max=_CONFIG_BYTES_MAX)
            config_found = config_digest(config)
            weights = (folder / WEIGHTS_FILE).read_bytes()
        except (OSError, UnreadableJson, TypeError) as error:  # TypeError: no digest of it
            raise AdapterUnreadable(f"the adapter {digest} cannot be read: {error}") from error
        for name, found in (
            (CONFIG_FILE, config_found),
            (WEIGHTS_FILE, digests.of_bytes(weights)),
        ):
            if found != identity["files"][name]:
                raise AdapterUnreadable(f"the adapter {digest}: {name} was altered")
        return identity, (config, weights)

    def _identity(self, digest: str) -> Mapping[str, Any]:
        try:
            named = (self.folder(digest) / IDENTITY_FILE).read_bytes()
        except OSError as error:
            raise AdapterUnreadable(f"the adapter {digest} cannot be read: {error}") from error
        if digests.of_bytes(named) != digest:
            raise AdapterUnreadable(f"the adapter {digest}: {IDENTITY_FILE} was altered")
        identity: Mapping[str, Any] = orjson.loads(named)
        return identity

    def _is_whole(self, digest: str) -> bool:
        try:
            self._verified(digest)
        except AdapterUnreadable:
            return False
        return True

    def remove(self, digests: Iterable[str], files: Iterable[str]) -> None:
        """Remove adapters and other files; called inside of a transaction, as `admit` is."""
        for path in (*map(self.folder, digests), *map(self.file, files)):
            if path.exists():
                away = self._tmp / secrets.token_hex(8)
                path.rename(away)  # at once, so that nothing half is ever seen
                _remove(away)

    def check(
        self,
        wanted: Digests,
        allowed: Digests,
        progress: Progress | None = None,
        only: Container[str] | None = None,
    ) -> Iterator[tuple[str, str]]:
        """Walk over everything; yield digests, or paths where there are none, and what is wrong.

        What is `wanted` must be there, every byte as it was named; what is `allowed` may be
        there; anything else is told of. `only` these digests and paths are looked at, if given.
        """
        looks = [(self._adapter_flaw, digest) for digest in sorted(wanted[0])]
        looks += [(self._file_flaw, digest) for digest in sorted(wanted[1])]
        chosen = [look for look in looks if only is None or look[1] in only]
        for done, (flaw_of, digest) in enumerate(chosen, start=1):
            flaw = flaw_of(digest)
            if flaw is not None:
                yield digest, flaw
            if progress is not None:
                progress(done, len(chosen))
        known = {self.folder(digest) for digest in wanted[0] | allowed[0]}
        known |= {self.file(digest) for digest in wanted[1] | allowed[1]}
        for path in self._everything():
            name = str(path.relative_to(self._root))
            if path not in known and (only is None or name in only):
                yield name, "no version names it"

    def _adapter_flaw(self, digest: str) -> str | None:
        folder = self.folder(digest)
        if not folder.exists():
            return f"the adapter {digest} is missing"
        try:
            self._verified(digest)
        except AdapterUnreadable as error:
            return str(error)
        others = {path.name for path in folder.iterdir()} - _ADAPTER_FILES
        return f"its folder holds {', '.join(sorted(others)[:10])} too" if others else None

    def _file_flaw(self, digest: str) -> str | None:
        if not self.file(digest).exists():
            return f"the file {digest} is missing"
        try:
            self.read_file(digest)
        except AdapterUnreadable as error:
            return str(error)
        return None

    def _everything(self) -> Iterator[Path]:
        for kind in _KINDS:
            yield from sorted((self._root / kind).glob("*/*"))

    def share(self) -> None:
        """Keep others from sweeping while this process has the store open."""
        fcntl.flock(self._lock, fcntl.LOCK_SH)

    def sweep(self, digests_wanted: Iterable[str], files_wanted: Iterable[str]) -> int:
        """Remove what nothing names, if no other process has the store open; return how much.

        A process in the middle of an upload holds the lock, so nothing is taken from under it.
        """
        wanted = {self.folder(d) for d in digests_wanted} | {self.file(d) for d in files_wanted}
        removed = 0
        if self._alone():
            for path in (*self._tmp.iterdir(), *self._everything()):
                if path not in wanted:
                    _remove(path)
                    removed += 1
        self.share()
        return removed

    def _alone(self) -> bool:
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        return True


def _write(path: Path, data: bytes) -> None:
    with path.open("xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _move(source: Path, target: Path) -> None:
    """Rename, for good, unless the target is there: then it has the same content."""
    if target.exists():
        return
    if not target.parent.exists():
        target.parent.mkdir()
        sync_folder(target.parent.parent)
    source.rename(target)
    sync_folder(target.parent)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()
