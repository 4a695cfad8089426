"""The manifest of a backup: every file with its digest, and where the backup came from."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import orjson
from pydantic import TypeAdapter, ValidationError

from service.errors import StateDamaged
from service.state_tools.contents import is_content
from service.state_tools.files import Entry

FORMAT = 1


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a backup says of itself."""

    format: int
    made_at: str  # ISO 8601, UTC
    made_by: str  # which version of tenantry
    schema: str  # of the registry
    events: bool  # whether the event log is part of it
    files: Mapping[str, Entry]

    def to_bytes(self) -> bytes:
        """Return the manifest as it is written."""
        options = orjson.OPT_SORT_KEYS | orjson.OPT_INDENT_2
        return orjson.dumps(asdict(self), option=options) + b"\n"

    @property
    def bytes(self) -> int:
        """Return the size of all files together."""
        return sum(entry.bytes for entry in self.files.values())


_ADAPTER: TypeAdapter[Manifest] = TypeAdapter(Manifest)


def read_manifest(data: bytes, where: object) -> Manifest:
    """Return the manifest of some bytes; raise `StateDamaged`."""
    try:
        document: Any = orjson.loads(data)
        found = document.get("format") if isinstance(document, dict) else None
        if found != FORMAT:
            raise StateDamaged(
                f"{where} is a backup of format {found!r}, and this version of tenantry reads"
                f" {FORMAT}"
            )
        manifest = _ADAPTER.validate_python(document)
    except (orjson.JSONDecodeError, ValidationError) as error:
        raise StateDamaged(f"{where}: its manifest cannot be read: {error}") from error
    strangers = [name for name in manifest.files if not is_content(name)]
    if strangers:
        raise StateDamaged(
            f"{where}: its manifest names {strangers[0][:200]!r}, which is no file"
            " of a state directory"
        )
    return manifest
