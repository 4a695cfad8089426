"""Restoring a backup: into an empty state directory, and only what its manifest vouches for.

Everything is unpacked beside its place, compared with the manifest, and read once as the service
would read it. Only then it is moved, the registry last: a directory without it is no state.
"""

import secrets
import shutil
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from service.errors import Conflict, InvalidSettings, StateDamaged, StoreFull
from service.events.disk import sync_folder
from service.events.keys import KEY_FILE
from service.registry.database import FILE as REGISTRY_FILE
from service.registry.inspection import problems_of_state
from service.state_tools.backup import Progress
from service.state_tools.contents import EVENTS, MANIFEST_FILE, STORE, is_content
from service.state_tools.files import Entry, put_in_place, sync_tree, transfer
from service.state_tools.holding import LOCK, alone, is_held
from service.state_tools.manifest import Manifest, read_manifest

_MANIFEST_BYTES_MAX = 256 << 20
_NAMED_MAX = 10
# Into their places in this order.
_PARTS = (f"{STORE}/adapters", f"{STORE}/files", EVENTS, KEY_FILE, REGISTRY_FILE)


def restore(source: Path, state: Path, progress: Progress) -> Manifest:
    """Restore a backup into a state directory that is empty, or not there yet.

    Raises `Conflict` where it is not empty or a service has it open, `StateDamaged` where the
    backup is not as it was written, and `StoreFull` where it does not fit.
    """
    if not source.exists():
        raise InvalidSettings(f"{source} is not there")
    if is_held(state):
        raise Conflict(f"a service has {state} open; a backup is restored into an empty directory")
    _check_empty(state)
    try:
        state.mkdir(mode=0o700, parents=True, exist_ok=True)
        with alone(state):
            _check_empty(state)
            staging = state / f".restore-{secrets.token_hex(4)}"
            staging.mkdir(mode=0o700)
            try:
                manifest = _unpack(source, staging, progress)
                _prove(staging, progress)
                _move(staging, state)
            finally:
                shutil.rmtree(staging)
    except OSError as error:
        raise StoreFull(f"{state} cannot take the backup: {error}") from error
    return manifest


def _check_empty(state: Path) -> None:
    """Raise `Conflict` unless there is nothing in a directory but, perhaps, a lock."""
    if not state.exists():
        return
    if not state.is_dir():
        raise Conflict(f"{state} is no directory")
    found = [path for path in state.iterdir() if path.name != STORE]
    if (state / STORE).is_dir():
        found += [path for path in (state / STORE).iterdir() if path != state / LOCK]
    if found:
        raise Conflict(
            f"{state} is not empty ({found[0].name} is in it); a backup is restored into an empty"
            " directory: name another one, or move this one away"
        )


def _unpack(source: Path, staging: Path, progress: Progress) -> Manifest:
    """Copy everything out of a backup; raise `StateDamaged` unless it is as it was written."""
    if source.is_dir():
        path = source / MANIFEST_FILE
        if not path.is_file():
            raise StateDamaged(f"{source} is no backup: there is no {MANIFEST_FILE} in it")
        manifest = read_manifest(path.read_bytes(), source)
        found = _unpack_folder(source, staging, manifest, progress)
    else:
        found, data = _unpack_tar(source, staging, progress)
        if data is None:
            raise StateDamaged(f"{source} is no backup, or was cut off: it has no {MANIFEST_FILE}")
        manifest = read_manifest(data, source)
    flaws = [
        f"{name} is {'missing' if name not in found else 'not as it was written'}"
        for name, entry in manifest.files.items()
        if found.get(name) != entry
    ]
    flaws += [f"{name} is not in its manifest" for name in found if name not in manifest.files]
    if flaws:
        _damaged(source, flaws)
    sync_tree(staging)
    return manifest


def _unpack_folder(
    source: Path, staging: Path, manifest: Manifest, progress: Progress
) -> dict[str, Entry]:
    found: dict[str, Entry] = {}
    done = 0
    for name in manifest.files:
        path = source / name
        if path.is_symlink() or not path.is_file():
            continue
        with path.open("rb") as file:
            found[name] = transfer(file, staging / name)
        done += found[name].bytes
        progress("unpacking", done, manifest.bytes)
    return found


def _unpack_tar(
    source: Path, staging: Path, progress: Progress
) -> tuple[dict[str, Entry], bytes | None]:
    found: dict[str, Entry] = {}
    data: bytes | None = None
    size = source.stat().st_size
    with _reading(source), tarfile.open(source, "r:") as archive:
        for member in archive:
            file = archive.extractfile(member) if member.isreg() else None
            named = is_content(member.name) or member.name == MANIFEST_FILE
            if file is None or not named or member.name in found:
                _damaged(source, [f"it holds {member.name[:200]!r}, which no backup does"])
            assert file is not None
            if member.name == MANIFEST_FILE:
                data = file.read(_MANIFEST_BYTES_MAX)
            else:
                found[member.name] = transfer(file, staging / member.name)
            progress("unpacking", min(archive.offset, size), size)  # it can be cut off
    return found, data


@contextmanager
def _reading(source: Path) -> Iterator[None]:
    try:
        yield
    except (tarfile.TarError, EOFError) as error:
        raise StateDamaged(f"{source} cannot be read as a tar: {error}") from error


def _prove(staging: Path, progress: Progress) -> None:
    if not (staging / REGISTRY_FILE).exists():
        raise StateDamaged(f"the backup holds no {REGISTRY_FILE}")
    flaws = problems_of_state(staging, lambda done, total: progress("checking", done, total))
    listed = list(map(str, flaws))
    if listed:
        _damaged("the backup", listed)


def _damaged(what: object, flaws: list[str]) -> None:
    more = len(flaws) - _NAMED_MAX
    raise StateDamaged(
        f"nothing was restored, because {what} is not whole: {'; '.join(flaws[:_NAMED_MAX])}"
        + (f" and {more} more" if more > 0 else "")
    )


def _move(staging: Path, state: Path) -> None:
    """Put every part into its place; take all of them out again where one finds its place taken."""
    placed: list[Path] = []
    try:
        for part in _PARTS:
            if (staging / part).exists():
                put_in_place(staging / part, state / part)
                placed.append(state / part)
    except BaseException as error:
        for path in placed:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        if isinstance(error, FileExistsError):
            raise Conflict(f"a service began to use {state} meanwhile; stop it") from error
        raise
    sync_folder(state)
