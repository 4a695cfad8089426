"""Keys of tenants: `tk_`, 16 hexadecimal digits of id, `_`, and 43 base64url characters.

Only the SHA-256 of a key is kept. A slow hash guards secrets that people choose, because those
can be guessed; these hold 256 random bits, which nobody guesses, however fast the hash. So every
request can afford it.
"""

import hashlib
import hmac
import re
import secrets
from collections.abc import Mapping
from typing import Protocol, TypeVar

_KEY = re.compile(r"tk_([0-9a-f]{16})_[A-Za-z0-9_-]{43}", re.ASCII)
_NOBODYS_HASH = bytes(32)  # nothing hashes to it


class Held(Protocol):
    """A key as it is held in memory: whatever is known of it, and its hash."""

    @property
    def hash(self) -> bytes:
        """Return the SHA-256 of the whole key, 32 bytes."""
        ...


H = TypeVar("H", bound=Held)


def find(held: Mapping[str, H], key: str) -> H | None:
    """Return whose key this is, in a time that does not tell how much of it was right.

    `held` has the keys by their ids.
    """
    match = _KEY.fullmatch(key)
    if match is None:
        return None
    known = held.get(match[1])
    expected = _NOBODYS_HASH if known is None else known.hash
    same = hmac.compare_digest(hash_of(key), expected)
    return known if same else None


def hash_of(key: str) -> bytes:
    """Return what is kept of a key: 32 bytes; a row of keys has them in hexadecimal."""
    return hashlib.sha256(key.encode()).digest()


def new_id() -> str:
    """Return a random id for a new key."""
    return secrets.token_hex(8)


def new_key(key_id: str) -> str:
    """Return a new key of that id."""
    return f"tk_{key_id}_{secrets.token_urlsafe(32)}"
