"""What the log tells of a text whether or not it keeps its words: sizes, and a fingerprint.

A fingerprint is the same for the same text of the same tenant, so that repetitions can be counted
without the text: BLAKE2b (RFC 7693) under a key of the state directory, of which 63 bits are kept.
Without that key nobody can find out by guessing whether some text was asked, and equal texts of two
tenants have different ones. The key follows from the one that signs prediction ids
(`Signer.fingerprint_key`), so it changes with each rotation.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from service.events.figures import Figures

REPLACED = "\N{REPLACEMENT CHARACTER}"

_PAIR = b"pair"


@dataclass(frozen=True, slots=True)
class TextFigures(Figures):
    """Figures of some texts, in their order; those of a pair are of both its texts together."""

    characters: Sequence[int]  # [n], code points
    bytes: Sequence[int]  # [n], in UTF-8
    replaced: Sequence[int]  # [n], replacement characters (U+FFFD)
    fingerprints: Sequence[int]  # [n], 1 to 2**63 - 1

    def __len__(self) -> int:
        return len(self.fingerprints)


def figures_of(texts: Sequence[str | tuple[str, str]], tenant: str, key: bytes) -> TextFigures:
    """Return the figures of a tenant's texts and pairs; `key` has 16 to 64 bytes."""
    characters: list[int] = []
    sizes: list[int] = []
    replaced: list[int] = []
    fingerprints: list[int] = []
    for text in texts:
        if isinstance(text, str):
            # Halves of surrogate pairs, which a client's JSON may hold, count as three bytes.
            data, salt = text.encode("utf-8", "surrogatepass"), b""
            size = len(data)
            characters.append(len(text))
            replaced.append(text.count(REPLACED))
        else:
            first, second = (part.encode("utf-8", "surrogatepass") for part in text)
            # The length tells where the first one ends.
            data, salt = len(first).to_bytes(8, "big") + first + second, _PAIR
            size = len(first) + len(second)
            characters.append(len(text[0]) + len(text[1]))
            replaced.append(text[0].count(REPLACED) + text[1].count(REPLACED))
        sizes.append(size)
        fingerprints.append(keyed_fingerprint(data, salt, tenant, key))
    return TextFigures(characters, sizes, replaced, fingerprints)


def keyed_fingerprint(data: bytes, salt: bytes, tenant: str, key: bytes) -> int:
    """Return 63 bits of a keyed hash, never 0; `salt`, at most 16 bytes, parts kinds of inputs."""
    hashed = hashlib.blake2b(data, digest_size=8, key=key, salt=salt, person=_whose(tenant))
    return int.from_bytes(hashed.digest(), "big") >> 1 or 1


@lru_cache(maxsize=4096)
def _whose(tenant: str) -> bytes:
    return hashlib.sha256(tenant.encode()).digest()[:16]
