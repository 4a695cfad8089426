"""The part: a hidden folder beside `--out`, in which a folder is written until it is whole.

    .NAME.part-XXXXXXXX/
        lock      held by whoever writes there, for as long as it lives
        bundle/   what is renamed to NAME

An export, or a distillation, that is killed leaves its part behind, as large as the model. The next
one to the same place removes it: whose lock can be had is dead.
"""

import contextlib
import errno
import fcntl
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from safetensors import SafetensorError

from service.engine.errors import TenantryError

_LOCK = "lock"
_BUNDLE = "bundle"


@contextlib.contextmanager
def part_beside(out: Path) -> Iterator[Path]:
    """Give an empty folder on the same disk as `out`; remove what is left there afterwards.

    First it removes the parts that dead exports to `out` left behind.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    _sweep(out)
    folder, lock = _begin(out)
    try:
        bundle = folder / _BUNDLE
        bundle.mkdir()
        yield bundle
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        lock.close()


@contextlib.contextmanager
def telling(failure: type[TenantryError], what: str, advice: str) -> Iterator[None]:
    """Raise `failure` in place of what a disk says that does not take what is written."""
    try:
        yield
    except (OSError, SafetensorError) as error:
        raise failure(f"{what} could not be written: {error}; {advice}") from error


def put_in_place(part: Path, out: Path) -> None:
    """Make a finished folder durable and give it its name in one step."""
    for file in part.iterdir():
        file.chmod(0o644)
        sync(file)
    part.chmod(0o755)
    sync(part)
    if out.is_dir():
        out.rmdir()
    part.rename(out)
    sync(out.parent)


def sync(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _begin(out: Path) -> tuple[Path, IO[str]]:
    """Return a new part and its lock, held."""
    while True:
        folder = Path(tempfile.mkdtemp(prefix=_prefix(out), dir=out.parent))
        lock = _locked(folder)
        if lock is not None:
            return folder, lock
        # Another export began at this moment and took the new folder, without a lock yet, for a
        # dead one's.


def _sweep(out: Path) -> None:
    """Remove the parts of exports to `out` that are no more, if they are this user's."""
    ours = re.compile(re.escape(_prefix(out)) + "[a-z0-9_]{8}")
    for folder in out.parent.iterdir():
        if not ours.fullmatch(folder.name) or not _is_own_folder(folder):
            continue
        with contextlib.suppress(PermissionError):
            lock = _locked(folder)
            if lock is not None:
                with lock:
                    shutil.rmtree(folder)


def _is_own_folder(path: Path) -> bool:
    """Return whether this is a folder, and no link to one, that this user made."""
    try:
        found = path.lstat()
    except FileNotFoundError:  # its export ended meanwhile
        return False
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid()


def _locked(folder: Path) -> IO[str] | None:
    """Return the part's lock, held; None where another process has it or removed the part."""
    file = folder / _LOCK
    try:
        handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except FileNotFoundError:
        return None
    except OSError as error:
        if error.errno == errno.ELOOP:  # a link: no export made it
            return None
        raise
    lock = os.fdopen(handle, "w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.fstat(lock.fileno()).st_nlink:  # or it was removed before it was locked
            return lock
    except BlockingIOError:
        pass
    lock.close()
    return None


def _prefix(out: Path) -> str:
    return f".{out.name}.part-"
