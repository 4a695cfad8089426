"""Digests: what names every immutable thing, as `sha256:` and 64 hexadecimal digits."""

import hashlib
from pathlib import Path

import orjson

_CHUNK_BYTES = 1 << 20


def of_bytes(data: bytes) -> str:
    """Return the digest of `data`."""
    return "sha256:" + hashlib.sha256(data).hexdigest()


def of_file(path: Path) -> str:
    """Return the digest of the file's bytes, read in chunks of 1 MiB."""
    state = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            state.update(chunk)
    return "sha256:" + state.hexdigest()


def of_document(document: object) -> str:
    """Return the digest of a JSON document's canonical form: sorted keys, no white space."""
    return of_bytes(orjson.dumps(document, option=orjson.OPT_SORT_KEYS))
