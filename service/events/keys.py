"""The key file: what signs prediction ids, one per state directory, readable by its owner alone."""

import base64
import os
import secrets
from pathlib import Path

import orjson

from service.events.ids import KEY_BYTES, KEY_IDS, Signer

KEY_FILE = "prediction-keys.json"


class InvalidKeyFile(ValueError):
    """The key file cannot be used; the text says why and what to do."""


def open_signer(state: Path) -> Signer:
    """Return the signer of a state directory, made with a new key where it has none yet.

    The file is complete and on the disk before it gets its name, and the first of several
    processes that start at once wins. Raises `InvalidKeyFile` and `OSError`.
    """
    path = state / KEY_FILE
    if not path.exists():
        _create(path)
    return _read(path)


def _create(path: Path) -> None:
    key = base64.b64encode(secrets.token_bytes(KEY_BYTES)).decode("ascii")
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(orjson.dumps({"current": 0, "keys": {"0": key}}))
            file.flush()
            os.fsync(file.fileno())
        try:
            path.hardlink_to(draft)
        except FileExistsError:
            return
        _sync_folder(path.parent)
    finally:
        draft.unlink()


def _sync_folder(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _read(path: Path) -> Signer:
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
    return Signer(keys, current)
