"""One member of an archive, before anything of it is believed."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

CHUNK_BYTES = 1 << 18

Kind = Literal["file", "folder", "link", "device or pipe", "sparse file", "member of unknown type"]


class UnreadableArchive(ValueError):
    """Bytes that are no archive, or a broken one; always translated by the caller."""


@dataclass(frozen=True, slots=True)
class Member:
    """What the archive says of a member, and a way to its bytes.

    `chunks` yields the bytes in pieces of at most 256 KiB, however many there really are, and
    raises `UnreadableArchive` where they are broken. Of a tar.gz archive it works until the next
    member is taken.
    """

    name: str
    kind: Kind
    size: int  # as stated
    chunks: Callable[[], Iterator[bytes]]
