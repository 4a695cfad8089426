"""How far a reader has read: a place per writer, as a value and as a file that retention knows."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import orjson

from service.events.disk import LocalDisk, replace_file
from service.events.folder import READERS

FORMAT = 1
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")


class InvalidCursor(ValueError):
    """A cursor that cannot be used; the text says which and why."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a reader goes on in one writer's segments."""

    segment: int = 1
    frame: int = 1  # the next one
    offset: int = 0  # where it was expected, in bytes; an erasure moves it
    sequence: int = 0  # of the next event


@dataclass(frozen=True, slots=True)
class Cursor:
    """A reader's places, by writer."""

    places: Mapping[str, Place] = field(default_factory=dict)

    def to_bytes(self) -> bytes:
        """Return the cursor as JSON."""
        places = {
            writer: [place.segment, place.frame, place.offset, place.sequence]
            for writer, place in self.places.items()
        }
        return orjson.dumps({"format": FORMAT, "places": places})

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Return the cursor of some JSON; raise `InvalidCursor`."""
        try:
            document = orjson.loads(data)
            if document["format"] != FORMAT:
                raise InvalidCursor(f"a cursor of format {document['format']}, not {FORMAT}")
            places = {
                str(writer): Place(*_four(numbers))
                for writer, numbers in document["places"].items()
            }
        except (TypeError, KeyError, AttributeError, orjson.JSONDecodeError) as error:
            raise InvalidCursor("not a cursor of the event log") from error
        return cls(places)


def cursor_path(folder: Path, name: str) -> Path:
    """Return where a reader's cursor lies; raise `InvalidCursor` for what cannot be its name."""
    if not _NAME.fullmatch(name):
        raise InvalidCursor(f"{name[:80]!r} cannot be a reader's name: 1 to 63 of a-z, 0-9 and -")
    return folder / READERS / f"{name}.json"


def load_cursor(folder: Path, name: str) -> Cursor:
    """Return a reader's cursor, one at the beginning where there is none; raise `InvalidCursor`."""
    path = cursor_path(folder, name)
    try:
        return Cursor.from_bytes(path.read_bytes())
    except FileNotFoundError:
        return Cursor()
    except InvalidCursor as error:
        raise InvalidCursor(f"{path}: {error}") from error


def store_cursor(folder: Path, name: str, cursor: Cursor) -> None:
    """Write a reader's cursor: the old one or the new one is there, whatever happens."""
    path = cursor_path(folder, name)
    path.parent.mkdir(mode=0o700, exist_ok=True)
    replace_file(LocalDisk(), path, cursor.to_bytes())


def _four(numbers: object) -> tuple[int, int, int, int]:
    if not isinstance(numbers, list) or len(numbers) != 4:
        raise InvalidCursor("not a cursor of the event log")
    if not all(isinstance(number, int) and number >= 0 for number in numbers):
        raise InvalidCursor("not a cursor of the event log")
    segment, frame, offset, sequence = numbers
    return segment, frame, offset, sequence
