"""The key file: what signs prediction ids, one per state directory, readable by its owner alone."""

import base64
import fcntl
import logging
import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import orjson

from service.events.disk import sync_folder
from service.events.ids import KEY_BYTES, KEY_IDS, InvalidPredictionId, PredictionId, Signer

log = logging.getLogger(__name__)

KEY_FILE = "prediction-keys.json"

_Mark = tuple[int, int, int]  # of a file: another one means other content


class InvalidKeyFile(ValueError):
    """The key file cannot be used; the text says why and what to do."""


@dataclass(frozen=True, slots=True)
class Rotated:
    """What a rotation did."""

    current: int  # id of the new key, which signs from now on
    kept: tuple[int, ...]  # ids of the older keys, whose prediction ids are still read
    dropped: int | None  # id of the key that made room: the prediction ids it signed are void


class KeyRing:
    """The signer of a state directory, renewed when the key file changes."""

    def __init__(self, path: Path, signer: Signer, mark: _Mark) -> None:
        self.signer = signer
        self.failure: str | None = None  # why the file that is there now was not taken over
        self._path = path
        self._mark = mark

    @classmethod
    def open(cls, state: Path) -> "KeyRing":
        """Return the key ring of a state directory, made with a new key where it has none yet.

        The file is complete and on the disk before it gets its name, and the first of several
        processes that start at once wins. Raises `InvalidKeyFile` and `OSError`.
        """
        path = state / KEY_FILE
        if not path.exists():
            _create(path)
        mark = _mark(path)
        return cls(path, Signer(*_read(path)), mark)

    def refresh(self) -> bool:
        """Take over the key file if it changed, and say whether; one `stat` where it did not.

        A file that cannot be used changes nothing; `failure` and a log line say so.
        """
        try:
            mark = _mark(self._path)
            if mark == self._mark:
                return False
            self._mark = mark
            self.signer = Signer(*_read(self._path))
        except (InvalidKeyFile, OSError) as error:
            if self.failure != str(error):
                log.warning("prediction keys: %s; those read before stay in use", error)
            self.failure = str(error)
            return False
        self.failure = None
        return True

    def read(self, text: str) -> PredictionId:
        """Return what an id says; raise `InvalidPredictionId` for one that was not issued here.

        An id of another process may be signed by a key that is newer than the last `refresh`, so
        an id that is not known makes it look at the file.
        """
        try:
            return self.signer.read(text)
        except InvalidPredictionId:
            if not self.refresh():
                raise
        return self.signer.read(text)


def rotate(state: Path) -> Rotated:
    """Add a new key that signs from now on; running processes take it over by themselves.

    The older keys are kept, so the ids that they signed are still read. A file holds 16 keys: when
    all are taken, the oldest one makes room. Raises `InvalidKeyFile` and `OSError`.
    """
    path = state / KEY_FILE
    if not path.exists():
        raise InvalidKeyFile(f"{path} is not there; the service makes it when it starts")
    with _locked(path):
        keys, current = _read(path)
        following = [(current + step) % KEY_IDS for step in range(1, KEY_IDS)]
        # Ids are given in turn, so of 16 keys the one behind the current is the oldest.
        new = next((key_id for key_id in following if key_id not in keys), following[0])
        kept = {key_id: key for key_id, key in keys.items() if key_id != new}
        draft = _draft(path, {**kept, new: secrets.token_bytes(KEY_BYTES)}, new)
        try:
            owner = path.stat()
            if (owner.st_uid, owner.st_gid) != (os.geteuid(), os.getegid()):
                os.chown(draft, owner.st_uid, owner.st_gid)  # an operator's, not the service's own
            draft.rename(path)
        finally:
            draft.unlink(missing_ok=True)
        sync_folder(path.parent)
    return Rotated(new, tuple(sorted(kept)), new if new in keys else None)


def _create(path: Path) -> None:
    draft = _draft(path, {0: secrets.token_bytes(KEY_BYTES)}, 0)
    try:
        path.hardlink_to(draft)
        sync_folder(path.parent)
    except FileExistsError:
        return
    finally:
        draft.unlink()


def _draft(path: Path, keys: Mapping[int, bytes], current: int) -> Path:
    """Write a key file under another name; return where, once it is on the disk."""
    document = {
        "current": current,
        "keys": {
            str(key_id): base64.b64encode(key).decode("ascii") for key_id, key in keys.items()
        },
    }
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(orjson.dumps(document))
            file.flush()
            os.fsync(file.fileno())
    except OSError:
        draft.unlink()
        raise
    return draft


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold the key file against other rotations."""
    while True:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            if os.fstat(file.fileno()).st_ino == path.stat().st_ino:  # not replaced meanwhile
                yield
                return


def _mark(path: Path) -> _Mark:
    status = path.stat()
    return status.st_ino, status.st_mtime_ns, status.st_size


def _read(path: Path) -> tuple[dict[int, bytes], int]:
    if path.stat().st_mode & 0o007:
        raise InvalidKeyFile(f"{path} can be read by everyone: chmod 600 {path}")
    try:
        document = orjson.loads(path.read_bytes())
        keys = {
            int(key_id): base64.b64decode(key, validate=True)
            for key_id, key in document["keys"].items()
        }
        current = int(document["current"])
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise InvalidKeyFile(f"{path} is damaged; restore it from a backup") from error
    sound = all(0 <= n < KEY_IDS and len(key) == KEY_BYTES for n, key in keys.items())
    if not sound or current not in keys:
        raise InvalidKeyFile(f"{path} is damaged; restore it from a backup")
    return keys, current
