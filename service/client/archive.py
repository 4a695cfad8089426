"""What is uploaded: the bytes of an archive, which can be read again from the beginning."""

import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from service.client.errors import UnusablePackage


@dataclass(frozen=True, slots=True)
class Archive:
    """A zip or tar.gz; every attempt to send it opens it anew."""

    name: str
    size: int  # bytes
    open: Callable[[], BinaryIO]


def archive_of(source: Path | bytes) -> Archive:
    """Return the archive of a file, or of bytes; raise `UnusablePackage`."""
    if isinstance(source, bytes):
        return Archive("package", len(source), lambda: io.BytesIO(source))
    if not source.is_file():
        raise UnusablePackage(
            f"{source} is no file",
            advice="give a zip or tar.gz, or the folder that `save_pretrained` wrote",
        )
    return Archive(source.name, source.stat().st_size, lambda: source.open("rb"))
