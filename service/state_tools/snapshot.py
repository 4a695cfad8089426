"""One moment of a state directory, while services go on writing into it.

The database is copied first, by SQLite's own online backup. Then everything that it names gets a
second name, by hard links: those files never change, and cannot go away any more. What was deleted
in between is looked up again in a newer copy of the database. The signing keys come last, so that
they read every prediction id that was issued before.
"""

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from service.errors import InvalidSettings, StateDamaged
from service.events.folder import segments, writers
from service.events.keys import KEY_FILE
from service.registry import schema, versions
from service.registry.database import FILE as REGISTRY_FILE
from service.registry.database import Database
from service.state_tools.contents import EVENTS, STORE
from service.state_tools.files import NO_LINKS
from service.state_tools.holding import LOCK, beside_others

_TRIES = 5


@contextmanager
def snapshot(state: Path, *, events: bool) -> Iterator[Path]:
    """Give a folder that holds the state of one moment; it is gone afterwards.

    It lies among the uploads on their way, so that whatever a death leaves of it is swept at the
    next start. Raises `InvalidSettings` where there is no registry, and `StateDamaged` where
    something is missing that it names.
    """
    if not (state / REGISTRY_FILE).is_file() or not (state / LOCK).is_file():
        raise InvalidSettings(f"{state} holds no registry: there is no {REGISTRY_FILE} in it")
    with beside_others(state):
        folder = state / STORE / "tmp" / f"backup-{secrets.token_hex(8)}"
        folder.mkdir(mode=0o700)
        try:
            _copy_registry(state, folder)
            if (state / KEY_FILE).is_file():
                shutil.copyfile(state / KEY_FILE, folder / KEY_FILE)
                (folder / KEY_FILE).chmod(0o600)
            if events:
                _copy_events(state / EVENTS, folder / EVENTS)
            yield folder
        finally:
            shutil.rmtree(folder)


def _copy_registry(state: Path, folder: Path) -> None:
    """Copy the database and all that it names, from one moment."""
    missing: set[Path] = set()
    for _ in range(_TRIES):
        schema.keep_copy(state / REGISTRY_FILE, folder / REGISTRY_FILE)
        (folder / REGISTRY_FILE).chmod(0o600)
        wanted = _wanted(folder)
        gone = {path for path in wanted if not _link(state / path, folder / path)}
        lost = sorted(str(path) for path in gone & missing)
        if lost:  # the database named it before, and names it still
            raise StateDamaged(
                f"the registry of {state} names {len(lost)} files that are not there, as {lost[0]};"
                " `tenantry state check` lists them all"
            )
        if not gone:
            return
        missing = gone
    raise StateDamaged(
        f"versions are deleted in {state} faster than they can be copied; try again later"
    )


def _wanted(folder: Path) -> list[Path]:
    """Return the paths of what a database names, as they lie below a state directory."""
    with closing(Database(folder)) as database, database.read() as connection:
        adapters, files = versions.wanted(connection)
    found = []
    for kind, digests in (("adapters", adapters), ("files", files)):
        for digest in digests:
            name = digest.removeprefix("sha256:")
            found.append(Path(STORE, kind, name[:2], name))
    return found


def _link(source: Path, target: Path) -> bool:
    """Give a file, or every file of an adapter, a second name; say whether all were there."""
    try:
        if source.is_dir():
            return all(_link(path, target / path.name) for path in sorted(source.iterdir()))
        target.parent.mkdir(parents=True, exist_ok=True)
        if not target.exists():
            _link_file(source, target)
    except FileNotFoundError:
        return False
    return True


def _link_file(source: Path, target: Path) -> None:
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError as error:
        if error.errno not in NO_LINKS:
            raise
        shutil.copyfile(source, target)  # a file system without hard links


def _copy_events(log: Path, folder: Path) -> None:
    """Take every segment of the event log; of open ones what is there now.

    An open segment grows, so it is copied. Its end may be half of a frame, which the log cuts off
    when it finds a segment whose writer is gone.
    """
    for writer in writers(log):
        for segment in segments(log, writer):
            target = folder / writer / segment.path.name
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                if segment.sealed:
                    _link_file(segment.path, target)
                else:
                    shutil.copyfile(segment.path, target)
            except FileNotFoundError:
                # Sealed since it was listed, or retired.
                sealed = segment.path.with_suffix(".log")
                if sealed.exists():
                    _link_file(sealed, target.with_suffix(".log"))
